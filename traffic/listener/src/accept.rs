//! One accept loop per worker and listening socket.
//!
//! Every connection wakes all workers that sleep, and one gets it: epoll's exclusive mode is not to be had
//! through tokio. Measured with short connections on two cores: 0.2 failed accepts per connection with one
//! worker, 0.45 with two, 0.7 with four, 1.6 with eight, against about 70 µs that a connection costs in all.
//! In return a busy worker, which does not sleep, takes fewer connections than an idle one, and all workers
//! get equal shares.

use crate::{Gates, Peer, Socket, Ticket, prelude};
use plan::Bind;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tasks::{Stream, Worker};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

/// Connections taken in one turn, so that a burst spreads over the workers.
const BATCH: u32 = 4;
/// Rest after the kernel had no descriptor or memory left. Trying at once would only burn the processor.
const REST: Duration = Duration::from_millis(100);

/// A client's connection.
#[derive(Debug)]
pub struct Accepted {
    /// Its bytes.
    pub stream: Stream,
    /// The client: as the socket says it, or as a trusted PROXY header does.
    pub client: Peer,
    /// What the client connected to, by the same source.
    pub local: Peer,
    /// What the PROXY header told; `None` without one, or when it told no addresses.
    pub told: Option<Told>,
    /// The PROXY header that must come was wrong or did not come in time: there is nothing to serve. Only given to
    /// handlers that ask for such connections.
    pub broken: bool,
    /// Index of the site in the plan.
    pub site: usize,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Its place among the limits. Keep it as long as the connection.
    pub ticket: Ticket,
}

/// Addresses that a PROXY header told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client.
    pub source: std::net::SocketAddr,
    /// What it connected to.
    pub destination: std::net::SocketAddr,
}

/// What an accept loop is told to do. Accepted connections are never touched by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// Accept.
    Yes,
    /// Leave connections in the kernel's queue.
    Paused,
    /// Accept what is in the queue, then end.
    Drain,
}

/// Something an operator should know about.
#[derive(Debug)]
pub enum Trouble {
    /// The kernel has no descriptor or memory left for a connection. Told at most once per second.
    Exhausted(io::Error),
    /// Datagrams of unknown clients were dropped, because a limit is reached. Told at most once per second.
    DatagramsDropped,
    /// A connection came without a right PROXY header (or not in time) and was closed.
    ProxyHeader {
        /// Who connected.
        peer: Peer,
        /// What was wrong.
        why: String,
    },
}

/// What one worker needs to accept on one socket.
pub struct Intake {
    /// The worker.
    pub worker: Worker,
    /// The socket.
    pub socket: Arc<Socket>,
    /// The bind it was made from.
    pub plan: Arc<Bind>,
    /// Index of the site in the plan.
    pub site: usize,
    /// Index of the bind in the site.
    pub bind: usize,
    /// Limits.
    pub gates: Rc<Gates>,
    /// Gets each connection that is ready to be served; starts its task.
    pub handler: Rc<dyn Fn(Accepted)>,
    /// The handler wants connections with a broken PROXY header too, to take note of them.
    pub wants_broken: bool,
    /// Gets what goes wrong.
    pub report: Rc<dyn Fn(Trouble)>,
    /// What to do; when the sender is gone, the queue is drained.
    pub command: watch::Receiver<Accepting>,
}

/// Accepts connections until told to drain. Runs inside a `LocalSet` of the worker's runtime.
///
/// # Errors
/// The socket cannot be duplicated or watched.
pub async fn serve(intake: Intake) -> io::Result<()> {
    run(intake, Source::poll_next).await
}

/// One worker's view of the listening socket.
enum Source {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Source {
    fn of(socket: &Socket) -> io::Result<Source> {
        let fd = socket.duplicate()?;
        Ok(match socket.local() {
            Peer::Ip(_) => Source::Tcp(TcpListener::from_std(fd.into())?),
            Peer::Unix => Source::Unix(UnixListener::from_std(fd.into())?),
        })
    }

    /// The next connection. While draining, the kernel is asked even if the runtime has not heard of one.
    fn poll_next(&self, cx: &mut Context<'_>, told: Accepting) -> Poll<io::Result<(Stream, Peer)>> {
        match self {
            _ if told == Accepting::Drain => Poll::Ready(self.next_now()),
            Source::Tcp(s) => {
                s.poll_accept(cx).map_ok(|(stream, peer)| (Stream::Tcp(stream), Peer::from(peer)))
            }
            Source::Unix(s) => s.poll_accept(cx).map_ok(|(stream, _)| (Stream::Unix(stream), Peer::Unix)),
        }
    }

    fn next_now(&self) -> io::Result<(Stream, Peer)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        Ok(match self {
            Source::Tcp(s) => {
                let (fd, peer) = rustix::net::acceptfrom_with(s, flags)?;
                (Stream::Tcp(TcpStream::from_std(fd.into())?), Peer::of(peer))
            }
            Source::Unix(s) => {
                let fd = rustix::net::accept_with(s, flags)?;
                (Stream::Unix(UnixStream::from_std(fd.into())?), Peer::Unix)
            }
        })
    }
}

/// How a turn of accepting ended.
enum Turn {
    /// There may be more.
    More,
    /// The queue is empty.
    Empty,
    /// A limit is reached.
    Full,
    /// The kernel is out of something.
    Exhausted(io::Error),
}

type Next = Poll<io::Result<(Stream, Peer)>>;

/// `next` is a parameter so that tests can let it fail.
async fn run(intake: Intake, next: impl Fn(&Source, &mut Context<'_>, Accepting) -> Next) -> io::Result<()> {
    let source = Source::of(&intake.socket)?;
    let mut command = intake.command.clone();
    let intake = Rc::new(intake);
    loop {
        let told = told(&mut command);
        // A drain is the last command.
        let watched = (told != Accepting::Drain).then_some(&mut command);
        if told == Accepting::Paused {
            until_told(watched, std::future::pending::<()>()).await;
            continue;
        }
        let taken = poll_fn(|cx| turn(&intake, told, || next(&source, cx, told)));
        match until_told(watched, taken).await {
            None => {}
            Some(Turn::More) => tokio::task::yield_now().await,
            Some(Turn::Empty) => return Ok(()),
            Some(Turn::Full) => {
                let watched = (told != Accepting::Drain).then_some(&mut command);
                until_told(watched, intake.gates.wait()).await;
                intake.gates.pass_on();
            }
            Some(Turn::Exhausted(error)) => {
                intake.complain(error);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Takes up to [`BATCH`] connections. A place is reserved first: what is accepted is within the limits.
fn turn(intake: &Rc<Intake>, told: Accepting, mut next: impl FnMut() -> Next) -> Poll<Turn> {
    for _ in 0..BATCH {
        let Some(place) = intake.gates.reserve() else { return Poll::Ready(Turn::Full) };
        match ready!(next()) {
            Ok((stream, client)) => {
                if let Some(ticket) = place.fill(intake.worker.index) {
                    begin(intake, stream, client, ticket);
                }
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) if told == Accepting::Drain => return Poll::Ready(Turn::Empty),
                Some(errno) if LOST.contains(&errno) => {}
                _ => return Poll::Ready(Turn::Exhausted(error)),
            },
        }
    }
    Poll::Ready(Turn::More)
}

/// The connection failed before it was accepted; the next one may be fine (accept(2), "Error handling").
const LOST: [Errno; 11] = [
    Errno::INTR,
    Errno::CONNABORTED,
    Errno::PERM,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
];

fn begin(intake: &Rc<Intake>, stream: Stream, client: Peer, ticket: Ticket) {
    let local = match intake.socket.is_wildcard() {
        true => Peer::of(rustix::net::getsockname(&stream).ok()),
        false => intake.socket.local(),
    };
    let (site, bind) = (intake.site, intake.bind);
    let accepted = Accepted { stream, client, local, told: None, broken: false, site, bind, ticket };
    if prelude::is_needed(&intake.plan, client) {
        tokio::task::spawn_local(prelude::finish(Rc::clone(intake), accepted));
    } else {
        (intake.handler)(accepted);
    }
}

impl Intake {
    fn complain(&self, error: io::Error) {
        if self.gates.may_complain() {
            (self.report)(Trouble::Exhausted(error));
        }
    }
}

fn told(command: &mut watch::Receiver<Accepting>) -> Accepting {
    match command.has_changed() {
        Ok(_) => *command.borrow_and_update(),
        Err(_) => Accepting::Drain,
    }
}

/// Waits for `event`, or for a new command when there may be one (`None`).
async fn until_told<T>(
    command: Option<&mut watch::Receiver<Accepting>>,
    event: impl Future<Output = T>,
) -> Option<T> {
    let Some(command) = command else { return Some(event.await) };
    tokio::select! {
        biased;
        _ = command.changed() => None,
        output = event => Some(output),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Quota;
    use plan::{BindAddress, Place};
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use telemetry::{ProcessStats, SiteStats};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    /// One worker with one listener on a free port.
    struct World {
        socket: Arc<Socket>,
        gates: Rc<Gates>,
        command: watch::Sender<Accepting>,
        inbox: Rc<Inbox>,
        serving: tokio::task::JoinHandle<io::Result<()>>,
    }

    #[derive(Default)]
    struct Inbox {
        accepted: RefCell<VecDeque<Accepted>>,
        troubles: RefCell<VecDeque<Trouble>>,
        news: Notify,
    }

    impl Inbox {
        async fn next<T>(&self, queue: &RefCell<VecDeque<T>>) -> T {
            loop {
                let first = queue.borrow_mut().pop_front();
                match first {
                    Some(one) => return one,
                    None => self.news.notified().await,
                }
            }
        }

        async fn accepted(&self) -> Accepted {
            self.next(&self.accepted).await
        }
    }

    impl World {
        fn address(&self) -> std::net::SocketAddr {
            self.socket.local().ip().unwrap()
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address()).await.unwrap()
        }
    }

    fn local(change: impl FnOnce(&mut Bind)) -> Bind {
        let mut bind = Bind::new(Place::none(), BindAddress::Tcp("127.0.0.1:0".parse().unwrap()));
        change(&mut bind);
        bind
    }

    fn story(bind: Bind, limit: Option<u32>, tell: impl AsyncFnOnce(World)) {
        story_with(bind, limit, Source::poll_next, tell);
    }

    fn story_with(
        bind: Bind,
        limit: Option<u32>,
        next: impl Fn(&Source, &mut Context<'_>, Accepting) -> Next + 'static,
        tell: impl AsyncFnOnce(World),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let worker = Worker::new(0);
            tokio::task::spawn_local(worker.deadlines.clone().sweep());
            let inbox = Rc::<Inbox>::default();
            let (for_handler, for_report) = (Rc::clone(&inbox), Rc::clone(&inbox));
            let (command, receiver) = watch::channel(Accepting::Yes);
            let gates = Rc::new(Gates {
                process: Arc::new(Quota::new(None)),
                site: Arc::new(Quota::new(limit)),
                bind: Arc::new(Quota::new(None)),
                paces: Default::default(),
                stats: Arc::new(SiteStats::new(1)),
                process_stats: Arc::new(ProcessStats::new(1, 0)),
            });
            let intake = Intake {
                worker,
                socket: Arc::new(crate::bind(&bind, "test").unwrap()),
                plan: Arc::new(bind),
                site: 3,
                bind: 1,
                gates: Rc::clone(&gates),
                wants_broken: false,
                handler: Rc::new(move |accepted| {
                    for_handler.accepted.borrow_mut().push_back(accepted);
                    for_handler.news.notify_one();
                }),
                report: Rc::new(move |trouble| {
                    for_report.troubles.borrow_mut().push_back(trouble);
                    for_report.news.notify_one();
                }),
                command: receiver,
            };
            let socket = Arc::clone(&intake.socket);
            let serving = tokio::task::spawn_local(run(intake, next));
            tell(World { socket, gates, command, inbox, serving }).await;
        });
    }

    #[test]
    fn a_client_is_accepted_with_its_addresses_and_without_delay() {
        story(local(|_| {}), None, async |world| {
            let client = world.connect().await;
            let accepted = world.inbox.accepted().await;
            assert_eq!(accepted.client, Peer::Ip(client.local_addr().unwrap()));
            assert_eq!(accepted.local, Peer::Ip(world.address()));
            assert_eq!((accepted.site, accepted.bind), (3, 1));
            assert!(accepted.stream.tcp().unwrap().nodelay().unwrap(), "the option is inherited");
            assert_eq!(world.gates.stats.current.now(), 1);
            drop(accepted);
            assert_eq!(world.gates.stats.current.now(), 0);
        });
    }

    #[test]
    fn ipv4_through_a_dual_stack_socket_looks_like_ipv4() {
        let bind = local(|b| b.address = BindAddress::Tcp("[::]:0".parse().unwrap()));
        story(bind, None, async |world| {
            let address = ("127.0.0.1", world.address().port());
            let client = TcpStream::connect(address).await.unwrap();
            let accepted = world.inbox.accepted().await;
            assert_eq!(accepted.client, Peer::Ip(client.local_addr().unwrap()));
            assert_eq!(accepted.local, Peer::Ip(client.peer_addr().unwrap()));
        });
    }

    #[test]
    fn a_client_of_a_unix_socket_has_no_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.sock");
        story(local(|b| b.address = BindAddress::Unix(path.clone())), None, async |world| {
            let mut client = UnixStream::connect(&path).await.unwrap();
            let mut accepted = world.inbox.accepted().await;
            assert_eq!((accepted.client, accepted.local), (Peer::Unix, Peer::Unix));
            client.write_all(b"x").await.unwrap();
            assert_eq!(accepted.stream.read_u8().await.unwrap(), b'x');
        });
    }

    #[test]
    fn a_full_site_accepts_again_when_a_connection_leaves() {
        story(local(|_| {}), Some(2), async |world| {
            let _clients = [world.connect().await, world.connect().await, world.connect().await];
            let first = world.inbox.accepted().await;
            let _second = world.inbox.accepted().await;
            tokio::task::yield_now().await;
            assert!(world.inbox.accepted.borrow().is_empty());
            drop(first);
            let _third = world.inbox.accepted().await;
            assert_eq!(world.gates.site.taken(), 2);
            let _client = world.connect().await;
            world.gates.site.set_limit(3);
            let _fourth = world.inbox.accepted().await;
        });
    }

    #[test]
    fn a_drain_takes_all_that_wait_and_then_closes() {
        story(local(|_| {}), None, async |world| {
            world.command.send(Accepting::Paused).unwrap();
            tokio::task::yield_now().await;
            let mut clients = Vec::new();
            for _ in 0..20 {
                clients.push(world.connect().await);
            }
            assert!(world.inbox.accepted.borrow().is_empty());
            world.command.send(Accepting::Drain).unwrap();
            world.serving.await.unwrap().unwrap();
            assert_eq!(world.inbox.accepted.borrow().len(), 20);
            let address = world.socket.local().ip().unwrap();
            drop(world.socket);
            assert!(TcpStream::connect(address).await.is_err());
        });
    }

    #[test]
    fn without_descriptors_it_rests_and_tells_once() {
        let tries = Rc::new(Cell::new(0));
        let counted = Rc::clone(&tries);
        let next = move |source: &Source, cx: &mut Context<'_>, told| {
            counted.set(counted.get() + 1);
            match counted.get() {
                1..=3 => Poll::Ready(Err(Errno::MFILE.into())),
                _ => source.poll_next(cx, told),
            }
        };
        story_with(local(|_| {}), None, next, async |world| {
            let begun = std::time::Instant::now();
            let _client = world.connect().await;
            let _accepted = world.inbox.accepted().await;
            assert!(begun.elapsed() >= 3 * REST);
            assert!(tries.get() <= 6, "{} tries", tries.get());
            assert_eq!(world.inbox.troubles.borrow().len(), 1);
        });
    }

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n";

    #[test]
    fn a_proxy_header_in_pieces_changes_the_addresses_and_the_rest_stays() {
        story(local(|b| b.accept_proxy = true), None, async |world| {
            let mut client = world.connect().await;
            for piece in [&HEADER[..3], &HEADER[3..20]] {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.write_all(&[&HEADER[20..], b"hello"].concat()).await.unwrap();
            let mut accepted = world.inbox.accepted().await;
            assert_eq!(accepted.client.to_string(), "192.0.2.7:5555");
            assert_eq!(accepted.local.to_string(), "198.51.100.1:443");
            let mut rest = [0; 5];
            accepted.stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"hello");
        });
    }

    #[test]
    fn without_a_right_proxy_header_the_connection_is_closed() {
        story(local(|b| b.accept_proxy = true), None, async |world| {
            for text in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 nonsense\r\n", b"PROXY TC"] {
                let mut client = world.connect().await;
                client.write_all(text).await.unwrap();
                client.shutdown().await.unwrap();
                let trouble = world.inbox.next(&world.inbox.troubles).await;
                assert!(matches!(trouble, Trouble::ProxyHeader { .. }), "{trouble:?}");
                let closed = client.read(&mut [0; 8]).await;
                assert!(!matches!(closed, Ok(1..)), "{closed:?}");
            }
            assert_eq!(world.gates.site.taken(), 0);
        });
    }

    #[test]
    fn the_header_of_a_stranger_is_data() {
        let stranger = |b: &mut Bind| {
            b.accept_proxy = true;
            b.proxy_from = Some(plan::Networks(vec!["192.0.2.0/24".parse().unwrap()]));
        };
        story(local(stranger), None, async |world| {
            let mut client = world.connect().await;
            client.write_all(HEADER).await.unwrap();
            let mut accepted = world.inbox.accepted().await;
            assert_eq!(accepted.client, Peer::Ip(client.local_addr().unwrap()));
            let mut got = vec![0; HEADER.len()];
            accepted.stream.read_exact(&mut got).await.unwrap();
            assert_eq!(got, HEADER);
        });
    }

    #[test]
    fn a_deferred_client_comes_with_its_first_byte() {
        story(local(|b| b.defer_accept = true), None, async |world| {
            let _silent = world.connect().await;
            let mut talking = world.connect().await;
            talking.write_all(b"x").await.unwrap();
            let accepted = world.inbox.accepted().await;
            assert_eq!(accepted.client, Peer::Ip(talking.local_addr().unwrap()));
            assert!(world.inbox.accepted.borrow().is_empty());
        });
    }
}
