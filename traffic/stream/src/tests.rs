//! Stories of connections: a real listener, a real pool, real servers, and the log line at the end.
#![allow(clippy::unwrap_used)]

use crate::{Local, Site, serve};
use listener::{Accepting, Gates, Intake, Quota};
use plan::log::LogHeader;
use plan::pool::{Redispatch, Server as ServerPlan};
use plan::rule::{IntRange, Matcher, Piece, RecordField, Style, Test};
use plan::{
    Action, Bind, BindAddress, Condition, Expr, Fetch, LogAddress, LogFormat, LogTarget, Place, Rule,
    ServerAddress, Severity, Template,
};
use pool::{Admission, Ask, NoObserver, Pool};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tasks::Worker;
use telemetry::{Line, LogHub, LogIdentity, LogProcess, ProcessStats, SiteStats};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// A time-out that is awaited, yet long enough for a few words on a busy machine.
const SHORT: Duration = Duration::from_millis(250);

/// What a story starts with.
struct Setup {
    bind: Bind,
    site: plan::Site,
    pool: plan::Pool,
}

/// One worker that serves one site, in front of the servers of one pool.
struct World {
    address: SocketAddr,
    servers: Vec<TcpListener>,
    pool: Arc<Pool>,
    stats: Arc<SiteStats>,
    worker: Worker,
    hub: LogHub,
    log: std::path::PathBuf,
    sessions: Rc<RefCell<VecDeque<JoinHandle<()>>>>,
    news: Rc<Notify>,
    _command: watch::Sender<Accepting>,
}

impl World {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn accept(&self) -> TcpStream {
        self.servers[0].accept().await.unwrap().0
    }

    /// Waits for the end of the oldest session; gives its log line.
    async fn line(&self) -> String {
        let session = loop {
            let first = self.sessions.borrow_mut().pop_front();
            match first {
                Some(session) => break session,
                None => self.news.notified().await,
            }
        };
        session.await.unwrap();
        assert!(self.hub.flush(Duration::from_secs(10)));
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

/// Two servers, no time-outs.
fn story(change: impl FnOnce(&mut Setup), tell: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut servers = Vec::new();
        let mut pool = plan::Pool { name: "db".to_owned(), ..plan::Pool::default() };
        for id in 1..=2 {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = ServerAddress::Tcp(server.local_addr().unwrap());
            pool.servers.push(ServerPlan::new(Place::none(), format!("db{id}"), id, address));
            servers.push(server);
        }
        let bind = Bind::new(Place::none(), BindAddress::Tcp("127.0.0.1:0".parse().unwrap()));
        let mut site = plan::Site { name: "front".to_owned(), ..plan::Site::default() };
        site.log.targets = vec![target(&log)];
        site.log.line = LogFormat::Text(format());
        let mut setup = Setup { bind, site, pool };
        change(&mut setup);
        tell(start(setup, servers, log)).await;
    });
}

pub(crate) fn target(file: &std::path::Path) -> LogTarget {
    LogTarget {
        address: LogAddress::File(file.to_owned()),
        header: LogHeader::Raw,
        facility: 16,
        level: Severity::Debug,
        max_level: Severity::Emergency,
        length: 1024,
        sample: None,
        tag: None,
    }
}

/// `front db/db1 -- 5 12 1+0`: site, pool/server, letters, bytes in and out, retries.
fn format() -> Template {
    let style = Style { dash: true, ..Style::default() };
    let field = |field| Piece::Value(Expr::of(Fetch::Record(field)), style);
    let text = |text: &str| Piece::Text(text.as_bytes().into());
    Template(vec![
        field(RecordField::SiteName),
        text(" "),
        field(RecordField::PoolName),
        text("/"),
        field(RecordField::ServerName),
        text(" "),
        field(RecordField::Termination),
        text(" in "),
        field(RecordField::BytesIn),
        text(" out "),
        field(RecordField::BytesOut),
        text(" retries "),
        field(RecordField::Retries),
    ])
}

fn start(setup: Setup, servers: Vec<TcpListener>, log: std::path::PathBuf) -> World {
    let Setup { bind, site, pool } = setup;
    let worker = Worker::new(0);
    tokio::task::spawn_local(worker.deadlines.clone().sweep());
    let hub = LogHub::start().unwrap();
    let pool = Arc::new(Pool::build(&pool, 1, None, &|_| None, Arc::new(NoObserver)));
    let (stats, process) = (Arc::new(SiteStats::new(1)), Arc::new(ProcessStats::new(1, 0)));
    let identity = LogIdentity { tag: "test".to_owned(), hostname: None, pid: 1 };
    let site = Arc::new(Site {
        tables: tables::Tables::none(),
        stats: Arc::clone(&stats),
        pools: Arc::new(HashMap::from([("db".to_owned(), Arc::clone(&pool))])),
        routes: Vec::new(),
        default_pool: Some(Arc::clone(&pool)),
        log: Some(hub.route(&site.log.targets, &identity).unwrap()),
        line: Line::of(&site.log.line),
        error_line: None,
        access_logs: Vec::new(),
        process: Arc::clone(&process),
        log_process: Arc::new(LogProcess::default()),
        plan: site,
    });
    let local = Local::new(worker.clone(), hub.queue(), hub.zone(), pool::Names::default());
    let (sessions, news) = (Rc::<RefCell<VecDeque<_>>>::default(), Rc::<Notify>::default());
    let (kept, told) = (Rc::clone(&sessions), Rc::clone(&news));
    let socket = Arc::new(listener::bind(&bind, "front").unwrap());
    let (command, receiver) = watch::channel(Accepting::Yes);
    let unlimited = || Arc::new(Quota::new(None));
    let gates = Gates {
        process: unlimited(),
        site: unlimited(),
        bind: unlimited(),
        paces: Default::default(),
        stats: Arc::clone(&stats),
        process_stats: process,
    };
    let intake = Intake {
        worker: worker.clone(),
        socket: Arc::clone(&socket),
        plan: Arc::new(bind),
        site: 0,
        bind: 0,
        gates: Rc::new(gates),
        wants_broken: false,
        handler: Rc::new(move |accepted| {
            let session = serve(Rc::clone(&local), Arc::clone(&site), accepted);
            kept.borrow_mut().push_back(tokio::task::spawn_local(session));
            told.notify_one();
        }),
        report: Rc::new(|_| {}),
        command: receiver,
    };
    tokio::task::spawn_local(listener::serve(intake));
    let address = socket.local().ip().unwrap();
    World { address, servers, pool, stats, worker, hub, log, sessions, news, _command: command }
}

async fn expect(stream: &mut TcpStream, text: &[u8]) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, text, "{:?}", String::from_utf8_lossy(&got));
}

async fn expect_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

/// A client and its server after the first byte.
async fn dialogue(world: &World) -> (TcpStream, TcpStream) {
    let (mut client, mut server) = (world.connect().await, world.accept().await);
    client.write_all(b"x").await.unwrap();
    expect(&mut server, b"x").await;
    (client, server)
}

fn closed(result: &std::io::Result<usize>) {
    assert!(!matches!(result, Ok(1..)), "{result:?}");
}

#[test]
fn a_dialogue_passes_and_is_counted_while_it_lives() {
    story(
        |_| {},
        async |world| {
            let mut client = world.connect().await;
            let mut server = world.accept().await;
            client.write_all(b"hello").await.unwrap();
            expect(&mut server, b"hello").await;
            server.write_all(b"good morning").await.unwrap();
            expect(&mut client, b"good morning").await;
            let (first, sum) = (&world.pool.servers()[0].stats, world.stats.sum(|c| &c.bytes_out));
            assert_eq!((sum, first.sum(|c| &c.bytes_in), first.current.now()), (12, 5, 1));
            client.shutdown().await.unwrap();
            expect_end(&mut server).await;
            drop(server);
            expect_end(&mut client).await;
            assert_eq!(world.line().await, "front db/db1 -- in 5 out 12 retries 0");
            assert_eq!((first.current.now(), world.stats.current.now()), (0, 0));
            assert_eq!((first.sum(|c| &c.sessions), world.stats.sum(|c| &c.sessions)), (1, 1));
        },
    );
}

#[test]
fn who_breaks_it_is_in_the_letters() {
    story(
        |_| {},
        async |world| {
            let (client, _server) = dialogue(&world).await;
            client.set_zero_linger().unwrap();
            drop(client);
            assert_eq!(world.line().await, "front db/db1 CD in 1 out 0 retries 0");
        },
    );
    story(
        |_| {},
        async |world| {
            let (mut client, server) = dialogue(&world).await;
            server.set_zero_linger().unwrap();
            drop(server);
            closed(&client.read(&mut [0; 8]).await);
            assert_eq!(world.line().await, "front db/db1 SD in 1 out 0 retries 0");
            assert_eq!(world.pool.stats.sum(|c| &c.server_aborts), 1);
        },
    );
}

#[test]
fn who_is_silent_is_in_the_letters() {
    let client_silent = |s: &mut Setup| s.site.timeouts.client = Some(SHORT);
    let server_silent = |s: &mut Setup| s.pool.timeouts.server = Some(SHORT);
    for (change, letters) in [(&client_silent as &dyn Fn(&mut Setup), "cD"), (&server_silent, "sD")] {
        story(change, async |world| {
            let (mut client, mut server) = dialogue(&world).await;
            expect_end(&mut client).await;
            expect_end(&mut server).await;
            assert_eq!(world.line().await, format!("front db/db1 {letters} in 1 out 0 retries 0"));
        });
    }
}

#[test]
fn a_refused_connection_goes_to_another_server() {
    story(
        |_| {},
        async |mut world| {
            drop(world.servers.remove(0));
            drop(dialogue(&world).await);
            assert_eq!(world.line().await, "front db/db2 -- in 1 out 0 retries +1");
            assert_eq!(world.pool.servers()[0].stats.sum(|c| &c.redispatches), 1, "counts where it failed");
            assert_eq!(world.pool.stats.sum(|c| &c.redispatches), 1);
        },
    );
}

#[test]
fn without_redispatch_the_same_server_is_tried_again_after_a_rest() {
    let stubborn = |setup: &mut Setup| {
        setup.pool.retry.redispatch = Redispatch::Never;
        setup.pool.retry.tries = 2;
        setup.pool.timeouts.connect = Some(SHORT);
    };
    story(stubborn, async |mut world| {
        drop(world.servers.remove(0));
        let begun = std::time::Instant::now();
        closed(&world.connect().await.read(&mut [0; 8]).await);
        assert!(begun.elapsed() >= 2 * SHORT);
        assert_eq!(world.line().await, "front db/db1 SC in 0 out 0 retries 2");
    });
}

#[test]
fn a_full_server_keeps_clients_waiting() {
    let one_place = |setup: &mut Setup| {
        setup.pool.servers.truncate(1);
        setup.pool.servers[0].max_connections = Some(1);
        setup.pool.timeouts.queue = Some(SHORT);
    };
    story(one_place, async |world| {
        let _first = (world.connect().await, world.accept().await);
        world.sessions.borrow_mut().clear();
        let mut late = world.connect().await;
        closed(&late.read(&mut [0; 8]).await);
        assert_eq!(world.line().await, "front db/<NOSRV> sQ in 0 out 0 retries 0");
    });
}

#[test]
fn a_waiting_client_gets_the_place_and_its_early_bytes_are_not_lost() {
    let one_place = |setup: &mut Setup| {
        setup.pool.servers.truncate(1);
        setup.pool.servers[0].max_connections = Some(1);
    };
    story(one_place, async |world| {
        let ask = Ask { worker: 0, may_wait: false, ..Ask::default() };
        let Admission::Served(slot) = world.pool.admit(&ask) else { unreachable!("a free place") };
        let mut client = world.connect().await;
        client.write_all(b"early").await.unwrap();
        while world.pool.stats.queue.now() == 0 {
            tokio::task::yield_now().await;
        }
        drop(slot);
        let mut server = world.accept().await;
        client.write_all(b" late").await.unwrap();
        expect(&mut server, b"early late").await;
    });
}

#[test]
fn a_client_that_leaves_the_queue_is_noted() {
    let no_place = |setup: &mut Setup| {
        setup.pool.servers.truncate(1);
        setup.pool.servers[0].max_connections = Some(1);
    };
    story(no_place, async |world| {
        let (_first, _server) = (world.connect().await, world.accept().await);
        world.sessions.borrow_mut().clear();
        let client = world.connect().await;
        client.set_zero_linger().unwrap();
        while world.pool.stats.queue.now() == 0 {
            tokio::task::yield_now().await;
        }
        drop(client);
        assert_eq!(world.line().await, "front db/<NOSRV> CQ in 0 out 0 retries 0");
    });
}

#[test]
fn the_proxy_header_comes_in_and_goes_out() {
    use plan::ProxyVersion::{V1, V2};
    const TOLD: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 443\r\n";
    let mut binary = Vec::new();
    let (source, destination) = ("192.0.2.7:5555".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    wire::proxy::write_v2(&mut binary, &wire::proxy::Peers::Told { source, destination });
    for (version, header) in [(V1, TOLD), (V2, &binary)] {
        let both = |setup: &mut Setup| {
            setup.bind.accept_proxy = true;
            setup.pool.servers[0].send_proxy = Some(version);
        };
        story(both, async |world| {
            let mut client = world.connect().await;
            client.write_all(&[TOLD, b"hi"].concat()).await.unwrap();
            let mut server = world.accept().await;
            expect(&mut server, &[header, b"hi"].concat()).await;
        });
    }
}

fn rule(condition: Condition, action: Action) -> Rule {
    Rule { place: Place::none(), condition, action }
}

fn client_is(network: &str) -> Condition {
    let networks = plan::Networks(vec![network.parse().unwrap()]);
    Condition::Test(Test { expr: Expr::of(Fetch::ClientAddress), matcher: Matcher::Address(networks) })
}

#[test]
fn connection_rules_reject_before_there_is_a_session() {
    let strict =
        |s: &mut Setup| s.site.rules.connection = vec![rule(client_is("127.0.0.0/8"), Action::Reject)];
    story(strict, async |world| {
        closed(&world.connect().await.read(&mut [0; 8]).await);
        assert_eq!(world.line().await, "");
        assert_eq!(world.stats.sum(|c| &c.denied_connections), 1);
        assert_eq!(world.stats.sum(|c| &c.sessions), 0);
    });
}

/// `accept if at least five bytes`, then `reject`.
fn five_bytes_or_reject(setup: &mut Setup) {
    let five = Matcher::Int(vec![IntRange { from: 5, to: i64::MAX }]);
    let five = Condition::Test(Test { expr: Expr::of(Fetch::ReceivedBytes), matcher: five });
    setup.site.rules.content = vec![rule(five, Action::Allow), rule(Condition::Always, Action::Reject)];
    setup.site.inspect_delay = Some(SHORT);
}

#[test]
fn content_rules_wait_for_bytes_as_long_as_the_delay_allows() {
    story(five_bytes_or_reject, async |world| {
        let mut client = world.connect().await;
        client.write_all(b"abc").await.unwrap();
        tokio::task::yield_now().await;
        client.write_all(b"def").await.unwrap();
        expect(&mut world.accept().await, b"abcdef").await;
    });
    story(five_bytes_or_reject, async |world| {
        let mut client = world.connect().await;
        client.write_all(b"abc").await.unwrap();
        closed(&client.read(&mut [0; 8]).await);
        assert_eq!(world.line().await, "front front/<NOSRV> PR in 0 out 0 retries 0");
        assert_eq!(world.stats.sum(|c| &c.denied_requests), 1);
    });
}

#[test]
fn connections_are_cut_when_their_server_goes_down() {
    story(
        |s| s.pool.servers[0].cut_when_down = true,
        async |world| {
            let (mut client, mut server) = dialogue(&world).await;
            let first = &Arc::clone(&world.pool.servers()[0]);
            world.worker.deadlines.wake_watching(first.uid);
            server.write_all(b"y").await.unwrap();
            expect(&mut client, b"y").await;
            first.set_health(pool::Health::Down);
            world.worker.deadlines.wake_watching(first.uid);
            expect_end(&mut client).await;
            assert_eq!(world.line().await, "front db/db1 D- in 1 out 1 retries 0");
        },
    );
}

#[test]
fn without_servers_it_is_said_so() {
    story(
        |s| s.pool.servers.clear(),
        async |world| {
            closed(&world.connect().await.read(&mut [0; 8]).await);
            assert_eq!(world.line().await, "front db/<NOSRV> SC in 0 out 0 retries 0");
        },
    );
}

#[test]
fn a_short_line_is_written_when_the_tunnel_stands() {
    story(
        |s| s.site.log.line = LogFormat::Short,
        async |world| {
            let (client, _server) = (world.connect().await, world.accept().await);
            while world.stats.sum(|c| &c.sessions) == 0 || std::fs::read(&world.log).unwrap().is_empty() {
                world.hub.flush(Duration::from_secs(10));
                tokio::task::yield_now().await;
            }
            let (from, to) = (client.local_addr().unwrap(), world.address);
            let log = std::fs::read_to_string(&world.log).unwrap();
            assert_eq!(log.trim(), format!("Connect from {from} to {to} (front/TCP)"));
        },
    );
}

#[test]
fn an_idle_connection_is_small() {
    fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }
    let bytes = size_of_future(serve);
    assert!(bytes <= 1024, "{bytes} bytes");
}
