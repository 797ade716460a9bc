//! Lines of the runtime socket: every answer is whole, and a reader changes nothing.

use admin::{
    Answer, Control, ErrorSide, Order, RateLimit, Refusal, Reloaded, RingPart, RingView, ServerChange, Session,
    SiteChange,
};
use dashboard::{PoolView, ServerView, SiteView, Snapshot};
use plan::process::RuntimeLevel;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest line of the socket.
const LINE_BYTES: usize = admin::LINE_BYTES;

/// Checks one input: a byte for the rights, then lines.
pub fn check(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let levels = [RuntimeLevel::User, RuntimeLevel::Operator, RuntimeLevel::Admin];
    let level = levels[usize::from(*first) % levels.len()];
    let text = String::from_utf8_lossy(text);
    let farm = Farm::default();
    let mut session = Session::new(level, Duration::from_secs(10));
    for line in text.lines().filter(|line| line.len() <= LINE_BYTES) {
        let (line, payload) = match line.split_once("<<") {
            Some((line, payload)) => (line, Some(payload)),
            None => (line, None),
        };
        let before = session.level;
        let answer = session.line(line, payload, &farm);
        assert!(answer.is_empty() || answer.ends_with('\n'), "{line:?} is answered by {answer:?}");
        assert!(session.level <= before, "rights grew by {line:?}");
    }
    let changed = farm.changed.lock().unwrap();
    match level {
        RuntimeLevel::User => assert!(changed.is_empty(), "a reader changed {changed:?}"),
        RuntimeLevel::Operator => {
            assert!(changed.iter().all(|what| *what == "counters"), "an operator changed {changed:?}")
        }
        RuntimeLevel::Admin => {}
    }
}

/// One pool with one server, and what was changed.
#[derive(Default)]
struct Farm {
    changed: Mutex<Vec<&'static str>>,
}

impl Farm {
    fn note(&self, what: &'static str) -> Result<(), Refusal> {
        self.changed.lock().unwrap().push(what);
        Ok(())
    }
}

impl Control for Farm {
    fn snapshot(&self) -> Snapshot {
        let server = ServerView { name: "s".into(), id: 1, address: "::1".into(), initial_weight: 256, ..ServerView::default() };
        let pool = PoolView { name: "b".into(), id: 3, dynamic: true, servers: vec![server], ..PoolView::default() };
        let site = SiteView { name: "f".into(), id: 2, ..SiteView::default() };
        Snapshot { sites: vec![site], pools: vec![pool], ..Snapshot::default() }
    }

    fn change_server(&self, _: &str, _: &str, change: ServerChange) -> Result<(), Refusal> {
        if let ServerChange::Weight(weight) = change {
            assert!(weight <= 256);
        }
        self.note("a server")
    }

    fn add_server(&self, _: &str, server: &str, words: &str) -> Result<u32, Refusal> {
        assert!(!server.contains('\n') && !words.contains('\n'));
        self.note("servers").map(|()| 2)
    }

    fn remove_server(&self, _: &str, _: &str) -> Result<(), Refusal> {
        self.note("servers")
    }

    fn change_site(&self, _: &str, _: SiteChange) -> Result<(), Refusal> {
        self.note("a site")
    }

    fn set_process_limit(&self, _: u32) -> Result<(), Refusal> {
        self.note("a limit")
    }

    fn set_rate_limit(&self, _: RateLimit, _: u32) -> Result<(), Refusal> {
        self.note("a rate")
    }

    fn clear_counters(&self, all: bool) {
        let _ = self.note(if all { "all counters" } else { "counters" });
    }

    fn clear_server(&self, _: &str, _: &str) {
        let _ = self.note("counters of a server");
    }

    fn removable(&self, _: &str, _: &str) -> Result<bool, Refusal> {
        Ok(true)
    }

    fn invalid(&self, _: Option<u32>, _: Option<ErrorSide>) -> Vec<String> {
        Vec::new()
    }

    fn rings(&self) -> Vec<RingView> {
        Vec::new()
    }

    fn ring(&self, _: &str, _: u64) -> Option<RingPart> {
        Some(RingPart::default())
    }

    fn later(&self, _: &Order) -> Option<Pin<Box<dyn Future<Output = Answer>>>> {
        None
    }

    fn part(&self, order: &Order) -> Answer {
        assert!(!order.words.is_empty());
        Answer::done()
    }

    fn reload(&self) -> Option<oneshot::Receiver<Reloaded>> {
        None
    }
}
