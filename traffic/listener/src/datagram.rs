//! Single datagrams of a listening socket, with the address of ours that they were sent to.
//!
//! A socket that is bound to one address knows it. One that takes all (`0.0.0.0`, `::`) is told by the kernel with each
//! datagram (IP_PKTINFO), and tells it back when it answers: an answer from another address would be no answer.

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage,
    recvmsg, sendmsg, setsockopt, sockopt,
};
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

/// Longest datagram that IP carries, and a byte more to be sure that nothing is cut.
pub const MAX_DATAGRAM: usize = 65_536;

/// A datagram as it came; its bytes are in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub length: usize,
    pub from: SocketAddr,
    /// Where it was sent to, when the socket takes several addresses.
    pub to: Option<IpAddr>,
}

/// Asks the kernel to tell where datagrams were sent to.
pub(crate) fn tell_destination(socket: &socket2::Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Takes the next datagram, if there is one.
pub(crate) fn receive(socket: impl AsFd, told: bool, buffer: &mut [u8]) -> io::Result<Came> {
    if told {
        return receive_told(socket, buffer);
    }
    let (length, _, from) = rustix::net::recvfrom(socket, buffer, RecvFlags::DONTWAIT)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Came { length, from, to: None })
}

fn receive_told(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Came> {
    // Both kinds never come together.
    let mut room = nix::cmsg_space!(nix::libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut room), MsgFlags::MSG_DONTWAIT)?;
    let mut to = None;
    for told in message.cmsgs()? {
        match told {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                to = Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                to = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
            }
            _ => {}
        }
    }
    let from = message.address.as_ref().and_then(address_of).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Came { length: message.bytes, from, to })
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4((*v4).into())),
        (None, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        (None, None) => None,
    }
}

/// Sends a datagram to `to`, from the address of ours that it was sent to.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
    match (from, to) {
        (None, _) => {
            rustix::net::sendto(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &to)?;
            Ok(())
        }
        (Some(IpAddr::V4(from)), SocketAddr::V4(to)) => {
            let source = nix::libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            let info = nix::libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
            send_told(socket, bytes, &ControlMessage::Ipv4PacketInfo(&info), &SockaddrIn::from(to))
        }
        (Some(from), to) => {
            let (from, to) = (as_v6(from), as_v6_socket(to));
            let source = nix::libc::in6_addr { s6_addr: from.octets() };
            let info = nix::libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: 0 };
            send_told(socket, bytes, &ControlMessage::Ipv6PacketInfo(&info), &SockaddrIn6::from(to))
        }
    }
}

fn send_told(
    socket: impl AsFd,
    bytes: &[u8],
    told: &ControlMessage<'_>,
    to: &impl SockaddrLike,
) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg(fd, &[IoSlice::new(bytes)], std::slice::from_ref(told), flags, Some(to))?;
    Ok(())
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

fn as_v6_socket(address: SocketAddr) -> std::net::SocketAddrV6 {
    match address {
        SocketAddr::V4(v4) => std::net::SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        SocketAddr::V6(v6) => v6,
    }
}
