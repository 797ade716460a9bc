//! Listening sockets: made from a [`Bind`] of the plan, inherited, or handed over by the process before us.

use crate::{Peer, account};
use plan::{Bind, BindAddress};
use rustix::fs::{Gid, Mode, Uid};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use socket2::{Domain, SockAddr, Type};
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Length of the kernel's accept queue unless the plan says otherwise. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// Abstract names are padded with zero bytes to this length, as HAProxy's peers expect them.
const ABSTRACT_BYTES: usize = 107;

/// A listening socket, shared by all workers.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Of a group of UDP sockets: those of the workers after the first.
    others: Vec<OwnedFd>,
    address: BindAddress,
    local: Peer,
    is_wildcard: bool,
}

impl Socket {
    /// What it was bound to, as the plan says it: sockets with equal addresses are the same across reloads.
    pub fn address(&self) -> &BindAddress {
        &self.address
    }

    /// The address it has; the port is the real one where the plan said 0.
    pub fn local(&self) -> Peer {
        self.local
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// The descriptor that a worker reads datagrams from: its own one of a group, else another one of the only socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn duplicate_for(&self, worker: usize) -> io::Result<OwnedFd> {
        match worker.checked_sub(1).and_then(|at| self.others.get(at)) {
            Some(own) => own.try_clone(),
            None => self.fd.try_clone(),
        }
    }

    /// True when this worker of so many reads the datagrams of this socket, or of one of its group. A socket without a
    /// group has one reader, or datagrams of a client would meet different workers, which know nothing of its session.
    pub fn is_read_by(&self, worker: usize, workers: usize) -> bool {
        match (&self.address, self.others.len()) {
            (BindAddress::Udp(address), 0) => {
                let mut hasher = std::hash::DefaultHasher::new();
                address.hash(&mut hasher);
                hasher.finish() as usize % workers.max(1) == worker
            }
            (BindAddress::Udp(_), others) => worker <= others,
            _ => true,
        }
    }

    /// TCP keep-alive on connections accepted from now on, which inherit it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn keep_alive(&self, on: bool) -> io::Result<()> {
        match self.local {
            Peer::Ip(_) if !self.address.is_datagrams() => {
                Ok(rustix::net::sockopt::set_socket_keepalive(&self.fd, on)?)
            }
            _ => Ok(()),
        }
    }

    /// True when connections may have other local addresses than the socket.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A listener that could not be opened: what was tried, on what, and what to do.
#[derive(Debug)]
pub struct BindError {
    tried: &'static str,
    address: String,
    site: String,
    hint: String,
    source: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self.source.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => self.source.to_string(),
        };
        write!(f, "{} {} for '{}': {why}", self.tried, self.address, self.site)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Opens the listening socket of a bind of the site named `site`, for a process with one worker.
///
/// # Errors
/// Says which step failed on which address, and what to do about it.
pub fn bind(bind: &Bind, site: &str) -> Result<Socket, BindError> {
    bind_for(bind, site, 1)
}

/// The same for so many workers: a bind that wants a socket for each gets them.
///
/// # Errors
/// Says which step failed on which address, and what to do about it.
pub fn bind_for(bind: &Bind, site: &str, workers: usize) -> Result<Socket, BindError> {
    let mut step = "open";
    let opened = match &bind.address {
        BindAddress::Tcp(address) => open_tcp(bind, *address, &mut step),
        BindAddress::Udp(address) => open_udp(bind, *address, workers, &mut step),
        BindAddress::Unix(path) => open_unix(bind, path, &mut step),
        BindAddress::Abstract(name) => open_abstract(bind, name, &mut step),
        BindAddress::Inherited(fd) => open_inherited(bind, *fd, &mut step),
    };
    opened.map_err(|source| explain(bind, site, step, source))
}

/// Takes over a listening socket from elsewhere (handed over at a reload, given by a service manager).
///
/// # Errors
/// It is no stream socket, or it cannot listen.
pub fn adopt(bind: &Bind, site: &str, fd: OwnedFd) -> Result<Socket, BindError> {
    let mut step = "take over";
    adopt_fd(bind, fd, &mut step).map_err(|source| explain(bind, site, step, source))
}

fn open_tcp(bind: &Bind, address: SocketAddr, step: &mut &'static str) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    *step = "set options of";
    socket.set_reuse_address(true)?;
    set_common(bind, &socket, address, step)?;
    *step = "bind";
    socket.bind(&address.into())?;
    finish(bind, socket, step)
}

fn open_udp(bind: &Bind, address: SocketAddr, workers: usize, step: &mut &'static str) -> io::Result<Socket> {
    let many = bind.socket_per_worker && workers > 1;
    if many {
        // Sockets that share an address would also share it with a stranger's: this one finds it.
        drop(open_one_udp(bind, address, false, step)?);
    }
    let first = open_one_udp(bind, address, many, step)?;
    let local = first.local_addr()?.as_socket();
    let own = local.unwrap_or(address);
    let others = (1..if many { workers } else { 1 })
        .map(|_| Ok(open_one_udp(bind, own, true, step)?.into()))
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    Ok(Socket {
        fd: first.into(),
        others,
        address: bind.address.clone(),
        local: local.map_or(Peer::Unix, Peer::from),
        is_wildcard: address.ip().is_unspecified(),
    })
}

fn open_one_udp(
    bind: &Bind,
    address: SocketAddr,
    shared: bool,
    step: &mut &'static str,
) -> io::Result<socket2::Socket> {
    *step = "open";
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    *step = "set options of";
    socket.set_reuse_port(shared)?;
    set_common(bind, &socket, address, step)?;
    if address.ip().is_unspecified() {
        crate::datagram::tell_destination(&socket, address)?;
    }
    *step = "bind";
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Options of TCP and UDP sockets before they are bound.
fn set_common(
    bind: &Bind,
    socket: &socket2::Socket,
    address: SocketAddr,
    step: &mut &'static str,
) -> io::Result<()> {
    if let Some(size) = bind.receive_buffer {
        socket.set_recv_buffer_size(size as usize)?;
    }
    if let Some(size) = bind.send_buffer {
        socket.set_send_buffer_size(size as usize)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(bind.v6_only)?;
    }
    if bind.transparent {
        set_freebind(socket, address)?;
    }
    if let Some(interface) = &bind.interface {
        *step = "use the interface of";
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(())
}

fn set_freebind(socket: &socket2::Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true),
        SocketAddr::V6(_) => socket.set_freebind_v6(true),
    }
}

/// Binds to a temporary name and renames: clients find the old socket or the new one, never none.
fn open_unix(bind: &Bind, path: &Path, step: &mut &'static str) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let temporary = temporary_name(path);
    let _ = std::fs::remove_file(&temporary);
    *step = "bind";
    socket.bind(&SockAddr::unix(&temporary)?)?;
    let placed = own(bind, &temporary, step).and_then(|()| {
        let socket = finish(bind, socket, step)?;
        *step = "put in place";
        std::fs::rename(&temporary, path)?;
        Ok(socket)
    });
    if placed.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

fn own(bind: &Bind, path: &Path, step: &mut &'static str) -> io::Result<()> {
    *step = "set the owner of";
    let user = bind.user.as_deref().map(account::user_id).transpose()?.map(Uid::from_raw);
    let group = bind.group.as_deref().map(account::group_id).transpose()?.map(Gid::from_raw);
    if user.is_some() || group.is_some() {
        rustix::fs::chown(path, user, group)?;
    }
    *step = "set the mode of";
    match bind.mode {
        Some(mode) => Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?),
        None => Ok(()),
    }
}

fn open_abstract(bind: &Bind, name: &str, step: &mut &'static str) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    *step = "bind";
    if name.is_empty() || name.len() > ABSTRACT_BYTES {
        let limit = format!("the name must have 1 to {ABSTRACT_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, limit));
    }
    let padding = "\0".repeat(ABSTRACT_BYTES - name.len());
    socket.bind(&SockAddr::unix(format!("\0{name}{padding}"))?)?;
    finish(bind, socket, step)
}

/// The descriptor belongs to whoever started us, so it is duplicated, and the original stays open.
fn open_inherited(bind: &Bind, number: i32, step: &mut &'static str) -> io::Result<Socket> {
    *step = "take over";
    let own = Pid::as_raw(Some(rustix::process::getpid()));
    let own = Pid::from_raw(own).ok_or(io::ErrorKind::InvalidInput)?;
    let process = rustix::process::pidfd_open(own, PidfdFlags::empty())?;
    let fd = rustix::process::pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
    adopt_fd(bind, fd, step)
}

fn adopt_fd(bind: &Bind, fd: OwnedFd, step: &mut &'static str) -> io::Result<Socket> {
    let socket = socket2::Socket::from(fd);
    if socket.r#type()? != Type::STREAM {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a stream socket"));
    }
    socket.set_nonblocking(true)?;
    finish(bind, socket, step)
}

/// Options that accepted connections inherit, and the accept queue. Listening again only sets its length.
fn finish(bind: &Bind, socket: socket2::Socket, step: &mut &'static str) -> io::Result<Socket> {
    let local = socket.local_addr()?.as_socket();
    if local.is_some() {
        *step = "set options of";
        socket.set_tcp_nodelay(true)?;
    }
    *step = "listen on";
    socket.listen(backlog(bind))?;
    let local = socket.local_addr()?.as_socket();
    Ok(Socket {
        fd: socket.into(),
        others: Vec::new(),
        address: bind.address.clone(),
        local: local.map_or(Peer::Unix, Peer::from),
        is_wildcard: local.is_some_and(|a| a.ip().is_unspecified()),
    })
}

fn backlog(bind: &Bind) -> i32 {
    let wanted = bind.backlog.or(bind.max_connections.map(|n| n.max(BACKLOG))).unwrap_or(BACKLOG);
    wanted.try_into().unwrap_or(i32::MAX)
}

fn explain(bind: &Bind, site: &str, tried: &'static str, source: io::Error) -> BindError {
    let address = match &bind.address {
        BindAddress::Tcp(a) if a.ip().is_unspecified() => format!("*:{}", a.port()),
        BindAddress::Udp(a) if a.ip().is_unspecified() => format!("udp@*:{}", a.port()),
        other => other.to_string(),
    };
    BindError { tried, address, site: site.to_owned(), hint: hint(bind, source.kind()), source }
}

fn hint(bind: &Bind, kind: io::ErrorKind) -> String {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, NotFound, PermissionDenied};
    match (&bind.address, kind) {
        (BindAddress::Tcp(a), AddrInUse) => {
            format!("stop the program that holds it (ss -ltnp 'sport = :{}')", a.port())
        }
        (BindAddress::Udp(a), AddrInUse) => {
            format!("stop the program that holds it (ss -lunp 'sport = :{}')", a.port())
        }
        (BindAddress::Abstract(name), AddrInUse) => {
            format!("stop the program that holds it (ss -lxp | grep '{name}')")
        }
        (BindAddress::Tcp(a) | BindAddress::Udp(a), PermissionDenied) if a.port() < 1024 => {
            "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        (BindAddress::Tcp(a) | BindAddress::Udp(a), AddrNotAvailable) => {
            format!(
                "{} is not an address of this machine (ip address); 'transparent' binds it all the same",
                a.ip()
            )
        }
        (BindAddress::Unix(_), PermissionDenied) => "the directory must be writable for this user".to_owned(),
        (BindAddress::Unix(_), NotFound) => {
            "create the directory, or correct the path or the name".to_owned()
        }
        (BindAddress::Inherited(fd), _) => {
            format!("descriptor {fd} must be a stream socket opened by the parent")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::Place;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    fn at(address: BindAddress) -> Bind {
        Bind::new(Place::none(), address)
    }

    fn tcp(address: &str) -> BindAddress {
        BindAddress::Tcp(address.parse().unwrap())
    }

    #[test]
    fn a_taken_address_says_who_wanted_it_and_what_to_do() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let error = bind(&at(BindAddress::Tcp(address)), "http_front").unwrap_err();
        let (port, text) = (address.port(), error.to_string());
        assert_eq!(
            text,
            format!(
                "bind 127.0.0.1:{port} for 'http_front': address already in use; \
                 stop the program that holds it (ss -ltnp 'sport = :{port}')"
            )
        );
    }

    #[test]
    fn a_foreign_address_needs_transparent() {
        let mut foreign = at(tcp("192.0.2.1:0"));
        let error = bind(&foreign, "x").unwrap_err().to_string();
        assert!(error.contains("not an address of this machine"), "{error}");
        foreign.transparent = true;
        bind(&foreign, "x").unwrap();
    }

    #[test]
    fn a_v6_only_socket_takes_no_ipv4() {
        let mut v6 = at(tcp("[::]:0"));
        v6.v6_only = true;
        let socket = bind(&v6, "x").unwrap();
        let port = socket.local().ip().unwrap().port();
        assert!(TcpStream::connect(("::1", port)).is_ok());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_unix_socket_replaces_the_one_before_and_has_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.sock");
        let mut unix = at(BindAddress::Unix(path.clone()));
        unix.mode = Some(0o640);
        unix.group = Some("0".to_owned());
        let _old = bind(&unix, "x").unwrap();
        let new = bind(&unix, "x").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary name is left");
        assert_eq!(new.local(), Peer::Unix);
        unix.user = Some("no-such-user".to_owned());
        let error = bind(&unix, "x").unwrap_err().to_string();
        assert!(error.contains("set the owner of") && error.contains("no user 'no-such-user'"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abstract_socket_has_its_name_padded() {
        let name = format!("listener-test-{}", std::process::id());
        let _socket = bind(&at(BindAddress::Abstract(name.clone())), "x").unwrap();
        let padded = format!("{name}{}", "\0".repeat(ABSTRACT_BYTES - name.len()));
        let address = std::os::unix::net::SocketAddr::from_abstract_name(padded).unwrap();
        UnixStream::connect_addr(&address).unwrap();
    }

    #[test]
    fn an_inherited_socket_is_used_and_left_open() {
        let parent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = parent.local_addr().unwrap();
        let inherited = at(BindAddress::Inherited(parent.as_raw_fd()));
        let socket = bind(&inherited, "x").unwrap();
        assert_eq!(socket.local(), Peer::Ip(address));
        drop(socket);
        TcpStream::connect(address).unwrap();
        let error = bind(&at(BindAddress::Inherited(999_999)), "x").unwrap_err().to_string();
        assert!(error.contains("take over fd@999999") && error.contains("opened by the parent"), "{error}");
    }
}
