//! The task with real servers: what operators and pools see. Times are short or an hour, so that what is seen was
//! either scheduled or caused by what the test did.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use plan::check::{AgentCheck, Check};
use plan::pool::{Observe, ObserveAction, ObserveLayer};
use plan::{Place, ServerAddress};
use pool::{AdminCause, AdminState, Health, Outcome};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const HOUR: Duration = Duration::from_secs(3600);
const QUICK: Duration = Duration::from_millis(50);

/// An HTTP server that can be made to hang or to say 500.
#[derive(Clone)]
struct Fake {
    address: SocketAddr,
    hangs: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    async fn start() -> Fake {
        Fake::serve(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn serve(listener: TcpListener) -> Fake {
        let address = listener.local_addr().unwrap();
        let fake = Fake { address, hangs: Arc::default(), fails: Arc::default(), asked: Arc::default() };
        let own = fake.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    own.asked.fetch_add(1, SeqCst);
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await;
                    while own.hangs.load(SeqCst) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    let bad = own.fails.load(SeqCst);
                    let answer: &[u8] =
                        if bad { b"HTTP/1.0 500 Bang\r\n\r\n" } else { b"HTTP/1.0 200 OK\r\n\r\n" };
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        fake
    }
}

/// An address where nothing listens until told.
fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

struct Story {
    checks: Checks,
    events: UnboundedReceiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Story {
    fn begin() -> Story {
        let (tell, events) = unbounded_channel();
        let (checks, task) = Checks::new(Box::new(move |_, event| {
            let _ = tell.send(event);
        }));
        Story { checks, events, task: tokio::spawn(task) }
    }

    fn build(&self, plan: &plan::Pool, before: Option<&Pool>) -> Arc<Pool> {
        Arc::new(Pool::build(plan, 1, before, &|_| None, self.checks.observer()))
    }

    fn start(&self, plan: &plan::Pool) -> Arc<Pool> {
        let pool = self.build(plan, None);
        self.checks.replace(&[Arc::clone(&pool)], 0, "node");
        pool
    }

    /// Skips events until one says `text`.
    async fn hear(&mut self, text: &str) -> String {
        let wait = async {
            loop {
                let said = self.events.recv().await.unwrap().text();
                if said.contains(text) {
                    return said;
                }
            }
        };
        timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("never heard: {text}"))
    }
}

/// Waits until something holds.
async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn server(name: &str, address: SocketAddr, interval: Duration) -> plan::Server {
    let check = Check { interval, rise: 2, fall: 3, ..Check::default() };
    plan::Server {
        check: Some(check),
        ..plan::Server::new(Place::none(), name, 1, ServerAddress::Tcp(address))
    }
}

fn pool_of(servers: Vec<plan::Server>) -> plan::Pool {
    let probe = Some(Probe::Script(plan::check::Script::default()));
    plan::Pool { name: "web".into(), servers, probe, log_checks: true, ..plan::Pool::default() }
}

#[tokio::test]
async fn dead_server_is_found_and_comes_back() {
    let mut story = Story::begin();
    let (socket, address) = reserved();
    let pool = story.start(&pool_of(vec![server("s1", address, QUICK)]));
    let line = story.hear("Health check").await;
    assert!(
        line.starts_with(
            "Health check for server web/s1 failed, reason: Layer4 connection problem, \
             info: \"ECONNREFUSED returned by OS\", check duration: "
        ) && line.ends_with("ms, status: 0/2 DOWN."),
        "{line}"
    );
    let line = story.hear("is DOWN").await;
    assert!(line.ends_with(
        "0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
    ));
    assert_eq!(story.hear("no server").await, "backend web has no server available!");
    assert_eq!(pool.servers()[0].health(), Health::Down);
    let _alive = Fake::serve(socket.listen(16).unwrap());
    assert!(story.hear("succeeded").await.ends_with("status: 1/2 DOWN."));
    assert!(story.hear("succeeded").await.ends_with("status: 3/3 UP."));
    assert!(
        story
            .hear("is UP")
            .await
            .ends_with("1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.")
    );
    let report = pool.servers()[0].report();
    assert_eq!((report.status, report.code, report.health, report.failures), (CheckStatus::L7Ok, 200, 4, 1));
}

#[tokio::test]
async fn steady_server_is_logged_once() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    story.start(&pool_of(vec![server("s1", fake.address, QUICK)]));
    until(|| fake.asked.load(SeqCst) >= 6, "six checks").await;
    assert!(story.hear("succeeded").await.ends_with("status: 3/3 UP."));
    assert!(story.events.try_recv().is_err(), "a second line about nothing new");
}

#[tokio::test]
async fn hung_server_is_suspect_until_it_answers() {
    let story = Story::begin();
    let fake = Fake::start().await;
    let mut plan = pool_of(vec![server("s1", fake.address, QUICK)]);
    plan.timeouts.check = Some(Duration::from_millis(300));
    plan.servers[0].check.as_mut().unwrap().fall = 1000;
    let pool = story.start(&plan);
    until(|| pool.servers()[0].report().status == CheckStatus::L7Ok, "a pass").await;
    fake.hangs.store(true, SeqCst);
    until(|| pool.servers()[0].suspect(), "suspected").await;
    assert!(pool.servers()[0].is_up());
    pool.servers()[0].note_outcome(Outcome::Ok);
    until(|| !pool.servers()[0].suspect(), "cleared by an answer").await;
    until(|| pool.servers()[0].suspect(), "suspected again").await;
    fake.hangs.store(false, SeqCst);
    until(|| !pool.servers()[0].suspect(), "cleared by a check").await;
}

#[tokio::test]
async fn failed_requests_bring_checks_forward() {
    let mut story = Story::begin();
    let (socket, address) = reserved();
    let mut plan = pool_of(vec![server("s1", address, HOUR)]);
    let fake = Fake::start().await;
    plan.servers[0].check.as_mut().unwrap().port = Some(fake.address.port());
    let pool = story.start(&plan);
    story.hear("3/3 UP").await;
    fake.fails.store(true, SeqCst);
    // Requests go on failing, as they do.
    until(
        || {
            pool.servers()[0].note_outcome(Outcome::ConnectFailed);
            pool.servers()[0].health() == Health::Down
        },
        "down within the hour",
    )
    .await;
    drop(socket);
}

#[tokio::test]
async fn pool_without_servers_is_back_soon_whatever_the_interval() {
    let mut story = Story::begin();
    let (socket, address) = reserved();
    let pool = story.start(&pool_of(vec![server("s1", address, HOUR)]));
    story.hear("no server available").await;
    let _alive = Fake::serve(socket.listen(16).unwrap());
    until(|| pool.servers()[0].rising(), "a last resort").await;
    assert!(pool.is_up(), "requests find it before it is up");
    story.hear("is UP").await;
    assert!(!pool.servers()[0].rising());
}

#[tokio::test]
async fn maintenance_pauses_checks_and_is_told() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let pool = story.start(&pool_of(vec![server("s1", fake.address, QUICK)]));
    story.hear("3/3 UP").await;
    pool.servers()[0].set_admin(AdminState::Maintenance, AdminCause::Operator);
    story.hear("Server web/s1 is going DOWN for maintenance. 0 active").await;
    story.hear("backend web has no server available!").await;
    let asked = fake.asked.load(SeqCst);
    tokio::time::sleep(QUICK * 4).await;
    assert!(fake.asked.load(SeqCst) <= asked + 1, "one may have been on its way");
    pool.servers()[0].set_admin(AdminState::Drain, AdminCause::Operator);
    story.hear("enters drain state").await;
    pool.servers()[0].set_admin(AdminState::Ready, AdminCause::Operator);
    story.hear("Server web/s1 is UP (leaving forced drain).").await;
    pool.servers()[0].set_admin(AdminState::Maintenance, AdminCause::Operator);
    story.hear("going DOWN").await;
    pool.servers()[0].set_admin(AdminState::Ready, AdminCause::Operator);
    story.hear("Server web/s1 is UP/READY (leaving forced maintenance).").await;
    let asked = fake.asked.load(SeqCst);
    until(|| fake.asked.load(SeqCst) > asked, "checked again").await;
}

#[tokio::test]
async fn operators_word_holds_while_checks_are_disabled() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let pool = story.start(&pool_of(vec![server("s1", fake.address, QUICK)]));
    story.hear("3/3 UP").await;
    let server = &Arc::clone(&pool.servers()[0]);
    assert!(story.checks.checks_enabled(server) && !story.checks.agent_enabled(server));
    assert!(story.checks.enable_checks(server, false));
    assert!(!story.checks.enable_agent(server, false), "it has none");
    assert!(!story.checks.checks_enabled(server));
    server.set_health(Health::Down);
    story.hear("Server web/s1 is DOWN, changed from CLI.").await;
    let asked = fake.asked.load(SeqCst);
    tokio::time::sleep(QUICK * 4).await;
    assert!(fake.asked.load(SeqCst) <= asked + 1);
    assert_eq!(server.health(), Health::Down);
    assert_eq!(server.report().health, 0);
    story.checks.enable_checks(server, true);
    story.hear("Server web/s1 is UP. 1 active and 0 backup servers online.").await;
}

#[tokio::test]
async fn errors_of_requests_mark_an_observed_server_down() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let mut plan = pool_of(vec![server("s1", fake.address, HOUR)]);
    plan.servers[0].observe =
        Some(Observe { layer: ObserveLayer::Http, error_limit: 3, action: ObserveAction::MarkDown });
    let pool = story.start(&plan);
    story.hear("3/3 UP").await;
    let server = &Arc::clone(&pool.servers()[0]);
    for outcome in [500, 502, 200, 500, 502, 501, 503, 504] {
        server.note_outcome(Outcome::Status(outcome));
    }
    server.note_outcome(Outcome::Status(404));
    tokio::time::sleep(QUICK).await;
    assert!(server.is_up(), "never three in a row");
    for outcome in [Outcome::Status(500), Outcome::BadAnswer, Outcome::ConnectFailed] {
        server.note_outcome(outcome);
    }
    story.hear("is DOWN, reason: Health analyze").await;
    assert_eq!(server.report().status, CheckStatus::Hana);
    assert_eq!(server.report().health, 0);
}

#[tokio::test]
async fn agent_sets_weight_limit_and_state() {
    let mut story = Story::begin();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let fake = Fake::start().await;
    let agent = AgentCheck { port, address: None, interval: QUICK, send: Some(b"hi\n".to_vec()) };
    let mut plan =
        pool_of(vec![plan::Server { weight: 40, agent: Some(agent), ..server("s1", fake.address, QUICK) }]);
    plan.log_checks = false;
    let pool = story.start(&plan);
    let server = &Arc::clone(&pool.servers()[0]);
    let says = async |line: &str| {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"hi\n");
        stream.write_all(line.as_bytes()).await.unwrap();
    };
    says("75% maxconn:30\n").await;
    until(|| (server.weight(), server.max_connections()) == (30, Some(30)), "weight and limit").await;
    says("down #disk full\n").await;
    story.hear("is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (disk full)\"").await;
    assert_eq!((server.health(), server.agent_health()), (Health::Up, Health::Down));
    says("").await;
    says("up\n").await;
    story.hear("is UP, reason: Layer7 check passed, code: 0, info: \"via agent : up\"").await;
    says("maint\n").await;
    story.hear("for maintenance").await;
    says("ready\n").await;
    story.hear("UP/READY").await;
    says("drain\n").await;
    story.hear("drain").await;
    assert_eq!(server.admin(), AdminState::Drain);
}

#[tokio::test]
async fn reload_keeps_known_servers_and_lets_go_of_the_others() {
    let mut story = Story::begin();
    let (_socket, nowhere) = reserved();
    let (stays, goes, comes) = (Fake::start().await, Fake::start().await, Fake::start().await);
    let plan = pool_of(vec![
        server("dead", nowhere, QUICK),
        server("stays", stays.address, QUICK),
        server("goes", goes.address, QUICK),
    ]);
    let old = story.start(&plan);
    story.hear("Server web/dead is DOWN").await;
    until(|| stays.asked.load(SeqCst) > 2 && goes.asked.load(SeqCst) > 2, "checked").await;
    let mut plan = plan;
    plan.servers[2] = server("comes", comes.address, QUICK);
    let new = story.build(&plan, Some(&old));
    story.checks.replace(&[Arc::clone(&new)], 10, "node");
    drop(old);
    until(|| comes.asked.load(SeqCst) > 2, "the new one is checked").await;
    assert_eq!(new.server("dead").unwrap().health(), Health::Down);
    let gone = goes.asked.load(SeqCst);
    let before = stays.asked.load(SeqCst);
    until(|| stays.asked.load(SeqCst) > before + 4, "the old one is still checked").await;
    assert!(goes.asked.load(SeqCst) <= gone + 1, "the lost one is not");
    while let Ok(event) = story.events.try_recv() {
        let text = event.text();
        assert!(!text.contains("is DOWN") && !text.contains("is UP"), "a reload is no change: {text}");
    }
}

#[tokio::test]
async fn stop_ends_the_task() {
    let story = Story::begin();
    let fake = Fake::start().await;
    fake.hangs.store(true, SeqCst);
    story.start(&pool_of(vec![server("s1", fake.address, HOUR)]));
    until(|| fake.asked.load(SeqCst) == 1, "asked").await;
    story.checks.stop();
    timeout(Duration::from_secs(30), story.task).await.unwrap().unwrap();
}

/// Suspended or starved, as far as one process can play it: between the steps of each check the loop stands still
/// for longer than the check may take. The server is well all the time.
#[tokio::test]
async fn stall_of_our_own_takes_nobody_down() {
    const STALL: Duration = Duration::from_millis(700);
    let mut story = Story::begin();
    let address = server_on_a_thread();
    let servers = (0..10).map(|i| {
        let mut server = server(&format!("s{i}"), address, Duration::from_millis(500));
        server.check.as_mut().unwrap().fall = 1;
        server
    });
    let pool = story.start(&pool_of(servers.collect()));
    until(|| pool.servers().iter().all(|s| s.report().status == CheckStatus::L7Ok), "all passed").await;
    for _ in 0..2 {
        for _ in 0..2 {
            std::thread::sleep(STALL);
            // One round to see what is due, one to begin it: the next stall meets connections half made.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    while let Ok(event) = story.events.try_recv() {
        let text = event.text();
        assert!(!text.contains("is DOWN"), "{text}");
    }
}

/// Answers whatever the runtime of the test does.
fn server_on_a_thread() -> SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                // Long enough not to be there in the very round in which we ask.
                std::thread::sleep(Duration::from_millis(40));
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            });
        }
    });
    address
}

#[tokio::test]
async fn many_servers_are_all_checked_in_time() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let interval = Duration::from_millis(1500);
    let servers =
        (0..300).map(|i| plan::Server { id: i, ..server(&format!("s{i}"), fake.address, interval) });
    let pool = story.start(&pool_of(servers.collect()));
    until(|| pool.servers().iter().all(|s| s.report().status == CheckStatus::L7Ok), "all passed").await;
    assert_eq!(pool.usable(), 300);
    story.hear("3/3 UP").await;
}

#[tokio::test]
async fn a_follower_goes_where_its_leader_goes() {
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let mut plan = pool_of(vec![server("s1", fake.address, QUICK), server("s2", fake.address, QUICK)]);
    plan.servers[1].check = None;
    plan.servers[1].track = Some(plan::pool::Tracked { pool: "web".into(), server: "s1".into() });
    let pool = story.start(&plan);
    story.hear("3/3 UP").await;
    let servers = pool.servers();
    servers[0].set_admin(AdminState::Drain, AdminCause::Operator);
    story.hear("Server web/s1 enters drain state.").await;
    story.hear("Server web/s2 enters drain state via web/s1.").await;
    assert_eq!(servers[1].admin(), AdminState::Drain);
    servers[0].set_admin(AdminState::Ready, AdminCause::Operator);
    story.hear("Server web/s2 is UP (leaving forced drain).").await;
    servers[0].set_admin(AdminState::Maintenance, AdminCause::Operator);
    story.hear("Server web/s2 is going DOWN for maintenance via web/s1.").await;
    servers[0].set_admin(AdminState::Ready, AdminCause::Operator);
    story.hear("Server web/s2 is UP/READY (leaving maintenance).").await;
    fake.fails.store(true, SeqCst);
    story.hear("Server web/s2 is DOWN via web/s1.").await;
    assert!(!servers[1].is_up());
    fake.fails.store(false, SeqCst);
    story.hear("Server web/s2 is UP via web/s1.").await;
}

#[tokio::test]
async fn a_check_that_passes_on_a_condition_stops_the_server() {
    use plan::check::{Expect, Expectation, PassAs, Probe, Script, StepAct};
    let mut story = Story::begin();
    let fake = Fake::start().await;
    let mut plan = pool_of(vec![server("s1", fake.address, QUICK)]);
    let only_bound =
        Expect { passes_as: PassAs::Conditional, ..Expect::from(Expectation::Status(vec![(200, 200)])) };
    let steps = vec![StepAct::Expect(only_bound).into()];
    plan.probe = Some(Probe::Script(Script { steps, ..Script::default() }));
    let pool = story.start(&plan);
    assert!(story.hear("conditionally").await.contains("Layer7 check conditionally passed, code: 200"));
    story.hear("Server web/s1 is stopping.").await;
    let server = &pool.servers()[0];
    assert!(server.is_up() && server.takes_bound() && !server.is_usable());
    fake.fails.store(true, SeqCst);
    story.hear("Server web/s1 is DOWN.").await;
    assert_eq!(server.admin(), AdminState::Ready);
}
