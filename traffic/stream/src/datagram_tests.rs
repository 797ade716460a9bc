//! Stories of datagrams: a real socket, a real pool, real servers, and the log line at the end of a session.
#![allow(clippy::unwrap_used)]

use crate::{AccessLog, Local, LogEnd, Site, serve_flow};
use listener::{Accepting, DatagramIntake, Gates, Quota};
use plan::rule::{Piece, RecordField, Style, UpstreamFact, VisitFact};
use plan::stream::{Content, Datagrams, NextServer, StreamSettings};
use plan::{Bind, BindAddress, Expr, Fetch, Place, ServerAddress, Template};
use pool::{NoObserver, Pool};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tasks::Worker;
use telemetry::{Line, LogHub, LogIdentity, LogProcess, ProcessStats, SiteStats};
use tokio::net::UdpSocket;
use tokio::sync::watch;

const SHORT: Duration = Duration::from_millis(250);

struct World {
    address: SocketAddr,
    servers: Vec<UdpSocket>,
    stats: Arc<SiteStats>,
    hub: LogHub,
    log: std::path::PathBuf,
    _command: watch::Sender<Accepting>,
}

impl World {
    async fn client(&self) -> UdpSocket {
        let any = match self.address {
            SocketAddr::V4(_) => "127.0.0.1:0",
            SocketAddr::V6(_) => "[::1]:0",
        };
        let client = UdpSocket::bind(any).await.unwrap();
        client.connect(self.address).await.unwrap();
        client
    }

    /// Waits until so many sessions are open.
    async fn sessions(&self, number: u32) {
        while self.stats.current.now() != number {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn lines(&self) -> Vec<String> {
        assert!(self.hub.flush(Duration::from_secs(10)));
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn story(address: &str, limit: Option<u32>, settings: StreamSettings, tell: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut servers = Vec::new();
        let mut pool = plan::Pool { name: "dns".to_owned(), ..plan::Pool::default() };
        for id in 1..=2 {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = ServerAddress::Tcp(server.local_addr().unwrap());
            pool.servers.push(plan::Server::new(Place::none(), format!("dns{id}"), id, address));
            servers.push(server);
        }
        let bind = Bind::new(Place::none(), BindAddress::Udp(address.parse().unwrap()));
        let site = plan::Site {
            name: "front".to_owned(),
            stream: Some(Arc::new(settings)),
            ..plan::Site::default()
        };
        tell(start(bind, site, &pool, limit, servers, log)).await;
    });
}

/// `200 dns1 4 8`: status, server, bytes in and out.
fn format() -> Template {
    let value = |fetch| Piece::Value(Expr::of(fetch), Style { dash: true, ..Style::default() });
    let blank = || Piece::Text((*b" ").into());
    Template(vec![
        value(Fetch::Visit(VisitFact::Status)),
        blank(),
        value(Fetch::Record(RecordField::ServerName)),
        blank(),
        value(Fetch::Visit(VisitFact::BytesReceived)),
        blank(),
        value(Fetch::Visit(VisitFact::BytesSent)),
        blank(),
        value(Fetch::Visit(VisitFact::Upstream(UpstreamFact::BytesSent))),
        Piece::Text((*b"/").into()),
        value(Fetch::Visit(VisitFact::Upstream(UpstreamFact::BytesReceived))),
    ])
}

fn start(
    bind: Bind,
    site: plan::Site,
    pool: &plan::Pool,
    limit: Option<u32>,
    servers: Vec<UdpSocket>,
    log: std::path::PathBuf,
) -> World {
    let worker = Worker::new(0);
    tokio::task::spawn_local(worker.deadlines.clone().sweep());
    let hub = LogHub::start().unwrap();
    let pool = Arc::new(Pool::build(pool, 1, None, &|_| None, Arc::new(NoObserver)));
    let (stats, process) = (Arc::new(SiteStats::new(1)), Arc::new(ProcessStats::new(1, 0)));
    let identity = LogIdentity { tag: "test".to_owned(), hostname: None, pid: 1 };
    let target = crate::tests::target(&log);
    let line = AccessLog {
        target: LogEnd::Open(hub.route(&[target], &identity).unwrap()),
        line: format(),
        when: None,
    };
    let site = Arc::new(Site {
        tables: tables::Tables::none(),
        stats: Arc::clone(&stats),
        pools: Arc::new(HashMap::from([("dns".to_owned(), Arc::clone(&pool))])),
        routes: Vec::new(),
        default_pool: Some(pool),
        log: None,
        line: Line::of(&plan::LogFormat::None),
        error_line: None,
        access_logs: vec![line],
        process: Arc::clone(&process),
        log_process: Arc::new(LogProcess::default()),
        plan: site,
    });
    let local = Local::new(worker.clone(), hub.queue(), hub.zone(), pool::Names::default());
    let socket = Arc::new(listener::bind(&bind, "front").unwrap());
    let (command, receiver) = watch::channel(Accepting::Yes);
    let unlimited = || Arc::new(Quota::new(None));
    let intake = DatagramIntake {
        worker,
        socket: Arc::clone(&socket),
        plan: Arc::new(bind),
        bind: 0,
        gates: Rc::new(Gates {
            process: unlimited(),
            site: Arc::new(Quota::new(limit)),
            bind: unlimited(),
            paces: Default::default(),
            stats: Arc::clone(&stats),
            process_stats: process,
        }),
        handler: Rc::new(move |arrived| {
            tokio::task::spawn_local(serve_flow(Rc::clone(&local), Arc::clone(&site), arrived));
        }),
        report: Rc::new(|_| {}),
        command: receiver,
    };
    tokio::task::spawn_local(listener::serve_datagrams(intake));
    let mut address = socket.local().ip().unwrap();
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 2].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    World { address, servers, stats, hub, log, _command: command }
}

async fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut block = [0; 2048];
    let (length, from) = socket.recv_from(&mut block).await.unwrap();
    (String::from_utf8_lossy(&block[..length]).into_owned(), from)
}

/// The server answers each datagram with itself, so many times.
fn echo(server: UdpSocket, times: usize) {
    tokio::task::spawn_local(async move {
        let mut block = [0; 2048];
        while let Ok((length, from)) = server.recv_from(&mut block).await {
            for _ in 0..times {
                let _ = server.send_to(&block[..length], from).await;
            }
        }
    });
}

fn settings(datagrams: Datagrams) -> StreamSettings {
    StreamSettings { datagrams, ..StreamSettings::default() }
}

#[test]
fn a_client_keeps_its_server_until_it_is_silent() {
    let settings = StreamSettings { silence: SHORT, ..StreamSettings::default() };
    story("127.0.0.1:0", None, settings, async |world| {
        let (one, two) = (world.client().await, world.client().await);
        one.send(b"one").await.unwrap();
        let (text, near) = receive(&world.servers[0]).await;
        assert_eq!(text, "one");
        two.send(b"two").await.unwrap();
        assert_eq!(receive(&world.servers[1]).await.0, "two");
        one.send(b"more").await.unwrap();
        assert_eq!(receive(&world.servers[0]).await, ("more".to_owned(), near));
        world.servers[0].send_to(b"answer", near).await.unwrap();
        assert_eq!(receive(&one).await.0, "answer");
        world.sessions(0).await;
        assert_eq!(world.lines(), ["200 dns1 7 6 7/6", "200 dns2 3 0 3/0"]);
    });
}

#[test]
fn a_session_ends_with_the_answers_it_expects() {
    let ends = Datagrams { requests: None, responses: Some(2) };
    story("127.0.0.1:0", None, settings(ends), async |mut world| {
        world.servers.drain(..).for_each(|server| echo(server, 2));
        let client = world.client().await;
        for _ in 0..2 {
            client.send(b"ask").await.unwrap();
            assert_eq!((receive(&client).await.0, receive(&client).await.0), ("ask".into(), "ask".into()));
            world.sessions(0).await;
        }
        assert_eq!(world.lines(), ["200 dns1 3 6 3/6", "200 dns2 3 6 3/6"]);
    });
}

#[test]
fn after_so_many_requests_a_new_session_begins_and_the_old_one_still_gets_its_answers() {
    let ends = Datagrams { requests: Some(2), responses: Some(1) };
    story("127.0.0.1:0", None, settings(ends), async |world| {
        let client = world.client().await;
        for text in ["1", "2", "3"] {
            client.send(text.as_bytes()).await.unwrap();
        }
        let (_, first) = receive(&world.servers[0]).await;
        assert_eq!(receive(&world.servers[0]).await, ("2".to_owned(), first));
        assert_eq!(receive(&world.servers[1]).await.0, "3");
        for text in ["a", "b"] {
            world.servers[0].send_to(text.as_bytes(), first).await.unwrap();
        }
        assert_eq!((receive(&client).await.0, receive(&client).await.0), ("a".into(), "b".into()));
        world.sessions(1).await;
    });
}

#[test]
fn a_refused_datagram_ends_the_session_or_goes_to_another_server() {
    let next = |datagrams| StreamSettings {
        next: NextServer { datagrams, ..NextServer::default() },
        datagrams: Datagrams { requests: None, responses: Some(1) },
        ..StreamSettings::default()
    };
    story("127.0.0.1:0", None, next(true), async |mut world| {
        drop(world.servers.remove(0));
        echo(world.servers.remove(0), 1);
        let client = world.client().await;
        client.send(b"ask").await.unwrap();
        assert_eq!(receive(&client).await.0, "ask");
        world.sessions(0).await;
        assert_eq!(world.lines(), ["200 dns2 6 3 3, 3/0, 3"]);
    });
    story("127.0.0.1:0", None, next(false), async |mut world| {
        drop(world.servers.remove(0));
        let client = world.client().await;
        client.send(b"ask").await.unwrap();
        while world.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.lines(), ["502 dns1 3 0 3/0"]);
    });
}

#[test]
fn a_text_answers_each_datagram_also_empty_ones() {
    let text = Template(vec![
        Piece::Text((*b"you are at ").into()),
        Piece::Value(Expr::of(Fetch::Visit(VisitFact::Protocol)), Style::default()),
    ]);
    let settings = StreamSettings { content: Content::Text(text), ..StreamSettings::default() };
    story("127.0.0.1:0", None, settings, async |world| {
        let client = world.client().await;
        for _ in 0..2 {
            client.send(b"").await.unwrap();
            assert_eq!(receive(&client).await.0, "you are at UDP");
        }
    });
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let ends = Datagrams { requests: None, responses: Some(1) };
        story(address, None, settings(ends), async |mut world| {
            world.servers.drain(..).for_each(|server| echo(server, 1));
            // A connected socket takes answers from nowhere else.
            let client = world.client().await;
            client.send(b"ask").await.unwrap();
            assert_eq!(receive(&client).await.0, "ask");
        });
    }
}

#[test]
fn a_flood_of_clients_stops_at_the_limit_and_known_ones_go_on() {
    story("127.0.0.1:0", Some(3), StreamSettings::default(), async |world| {
        let known = world.client().await;
        known.send(b"first").await.unwrap();
        let (_, near) = receive(&world.servers[0]).await;
        let mut flood = Vec::new();
        for _ in 0..20 {
            let client = world.client().await;
            client.send(b"x").await.unwrap();
            flood.push(client);
        }
        known.send(b"second").await.unwrap();
        loop {
            let (text, from) = receive(&world.servers[0]).await;
            if from == near {
                assert_eq!(text, "second");
                break;
            }
        }
        assert_eq!(world.stats.current.now(), 3);
        assert_eq!(world.stats.current.max(), 3);
    });
}
