//! The one task that asks name servers and moves servers: observe, decide, act, again. Runs on the control thread for
//! the whole life of the process; cycles come and go under it.

use crate::ask::{self, Heard, Question, Trouble};
use crate::counters::{NameServerCounts, Running, count};
use crate::demand::{Demand, Work};
use crate::machine::{Ask, Machine, Query};
use crate::message::Reply;
use crate::roll::{self, News, Table};
use parking_lot::Mutex;
use plan::resolver::{NameServer, Resolvers};
use pool::{Names, Pool};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Event;
use telemetry::event::{ServerChange, Usable};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Where events go; the pool tells the log targets.
pub type Emit = Box<dyn Fn(&Arc<Pool>, Event) + Send>;

/// The looking-up of names, as others see it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Discovery {
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
    counts: Mutex<Vec<(String, String, Arc<Running>)>>,
}

#[derive(Default)]
struct Mail {
    cycle: Option<(Vec<Arc<Pool>>, Vec<Resolvers>)>,
    look_again: bool,
}

impl Discovery {
    /// The looking-up, and the task that does it: to be spawned on a tokio runtime.
    /// `names` are those that requests ask for.
    pub fn new(emit: Emit, names: Names) -> (Discovery, impl Future<Output = ()> + Send + 'static) {
        let discovery = Discovery::default();
        let task = Task {
            inbox: Arc::clone(&discovery.inbox),
            emit,
            began: Instant::now(),
            pools: Vec::new(),
            groups: Vec::new(),
            running: JoinSet::new(),
            demand: Demand::new(names),
        };
        (discovery, task.run())
    }

    /// Servers of these pools are looked up from now on. What is known by groups of the same name stays known.
    pub fn replace(&self, pools: &[Arc<Pool>], resolvers: &[Resolvers]) {
        self.inbox.mail.lock().cycle = Some((pools.to_vec(), resolvers.to_vec()));
        self.inbox.arrived.notify_one();
    }

    /// Servers were added, removed or got another name.
    pub fn look_again(&self) {
        self.inbox.mail.lock().look_again = true;
        self.inbox.arrived.notify_one();
    }

    /// What happened with each name server, in order of the file.
    pub fn counts(&self) -> Vec<NameServerCounts> {
        let counts = self.inbox.counts.lock();
        let one = |(resolvers, name, running): &(String, String, Arc<Running>)| NameServerCounts {
            resolvers: resolvers.clone(),
            name: name.clone(),
            counts: running.read(),
        };
        counts.iter().map(one).collect()
    }
}

struct Task {
    inbox: Arc<Inbox>,
    emit: Emit,
    began: Instant,
    pools: Vec<Arc<Pool>>,
    groups: Vec<Group>,
    /// One for each question and name server; the machine bounds the questions.
    running: JoinSet<Answered>,
    /// What is looked up when it is needed.
    demand: Demand,
}

/// A group of name servers and the servers whose names it knows.
struct Group {
    settings: Resolvers,
    machine: Machine,
    tables: Vec<Table>,
    counters: Vec<Arc<Running>>,
}

/// A name server answered, or did not in time.
struct Answered {
    group: String,
    ask: Ask,
    server: usize,
    name: String,
    heard: Option<Heard>,
}

/// Why the loop turns.
enum Turn {
    Due,
    Mail,
    Answered(Result<Answered, JoinError>),
    Demand(Work),
}

impl Task {
    async fn run(mut self) {
        loop {
            match self.turn().await {
                Turn::Due => {}
                Turn::Mail => self.open(),
                Turn::Answered(Ok(answered)) => self.answered(answered),
                // A question that died of a fault of ours is a silent one.
                Turn::Answered(Err(_)) => {}
                Turn::Demand(work) => {
                    self.demand.act(work);
                    continue;
                }
            }
            self.act();
        }
    }

    async fn turn(&mut self) -> Turn {
        let next = self.groups.iter().filter_map(|group| group.machine.next_at()).min();
        // A day, when nothing is due: any end of the sleep is harmless.
        let next = self.began + next.unwrap_or_else(|| self.now() + Duration::from_secs(86_400));
        tokio::select! {
            // What is configured counts before anybody asks.
            biased;
            () = self.inbox.arrived.notified() => Turn::Mail,
            Some(answered) = self.running.join_next() => Turn::Answered(answered),
            work = self.demand.next() => Turn::Demand(work),
            () = sleep_until(next) => Turn::Due,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn open(&mut self) {
        let mail = std::mem::take(&mut *self.inbox.mail.lock());
        let now = self.now();
        if let Some((pools, resolvers)) = mail.cycle {
            self.pools = pools;
            self.demand.replace(&self.pools, &resolvers);
            let (_, resolvers) = resolvers.into_iter().partition(|group| group.on_demand.is_some());
            self.replace(now, resolvers);
        } else if mail.look_again {
            let settings = self.groups.iter().map(|group| group.settings.clone()).collect();
            self.replace(now, settings);
        }
    }

    fn replace(&mut self, now: Duration, resolvers: Vec<Resolvers>) {
        let mut before = std::mem::take(&mut self.groups);
        for settings in resolvers {
            let old = before.iter().position(|group| group.settings.name == settings.name);
            let group = match old.map(|at| before.swap_remove(at)) {
                Some(mut group) => {
                    group.machine.reconfigure(now, &settings);
                    group.tables = all_tables(&self.pools, &settings.name, &group.tables);
                    group.counters = counters_of(&settings, Some(&group));
                    Group { settings, ..group }
                }
                None => Group {
                    machine: Machine::new(&settings),
                    tables: all_tables(&self.pools, &settings.name, &[]),
                    counters: counters_of(&settings, None),
                    settings,
                },
            };
            self.groups.push(group);
        }
        let named = self.groups.iter().flat_map(|group| {
            let names = group.settings.servers.iter().zip(&group.counters);
            names.map(|(s, running)| (group.settings.name.clone(), s.name.clone(), Arc::clone(running)))
        });
        *self.inbox.counts.lock() = named.collect();
    }

    fn answered(&mut self, answered: Answered) {
        let now = self.now();
        let Some(group) = self.groups.iter_mut().find(|group| group.settings.name == answered.group) else {
            return;
        };
        // A reload may have changed the list of name servers meanwhile.
        let known = group.settings.servers.get(answered.server).is_some_and(|s| s.name == answered.name);
        let (true, Some(counters)) = (known, group.counters.get(answered.server).cloned()) else { return };
        let Some(heard) = answered.heard else { return count(&counters.silent) };
        if heard.cut {
            count(&counters.cut);
        }
        let reply = match heard.reply {
            Ok(reply) => reply,
            Err(trouble) => {
                match trouble {
                    Trouble::System => count(&counters.send_errors),
                    Trouble::Foreign => count(&counters.invalid),
                    Trouble::Name => {}
                }
                // As good as silent: the deadline of the attempt decides.
                return;
            }
        };
        let counter = match &reply {
            Reply::Hosts(_) | Reply::Services(_) => &counters.valid,
            Reply::Empty | Reply::Missing => &counters.missing,
            Reply::Refused => &counters.refused,
            Reply::Failed => &counters.other,
        };
        let good = matches!(reply, Reply::Hosts(_) | Reply::Services(_));
        let query = &answered.ask.query;
        let (in_time, next) = group.machine.reply(now, query, answered.ask.attempt, answered.server, reply);
        count(if in_time { counter } else { &counters.late });
        send(&mut self.running, group, next);
        if good && in_time && self.move_servers(now) {
            count(&counters.updates);
        }
    }

    /// Servers follow what is known, questions what is to be known.
    fn act(&mut self) {
        let now = self.now();
        self.move_servers(now);
        for group in &mut self.groups {
            let queries: BTreeSet<Query> =
                group.tables.iter().flat_map(|table| table.queries(&group.machine)).collect();
            group.machine.follow(now, &queries);
            let asks = group.machine.due(now);
            send(&mut self.running, group, asks);
        }
    }

    /// True when one moved.
    fn move_servers(&mut self, now: Duration) -> bool {
        let mut moved = false;
        for group in &mut self.groups {
            for table in &mut group.tables {
                for news in table.follow(now, &group.machine) {
                    moved = true;
                    (self.emit)(&table.pool, event(&table.pool, news, &group.settings.name));
                }
            }
        }
        moved
    }
}

fn all_tables(pools: &[Arc<Pool>], resolvers: &str, before: &[Table]) -> Vec<Table> {
    pools.iter().flat_map(|pool| roll::tables(pool, resolvers, before)).collect()
}

/// Name servers of the same name go on counting.
fn counters_of(settings: &Resolvers, before: Option<&Group>) -> Vec<Arc<Running>> {
    let same = |server: &NameServer| {
        let before = before?;
        let at = before.settings.servers.iter().position(|other| other.name == server.name)?;
        before.counters.get(at).cloned()
    };
    settings.servers.iter().map(|server| same(server).unwrap_or_default()).collect()
}

/// Asks every name server of the group.
fn send(running: &mut JoinSet<Answered>, group: &Group, asks: impl IntoIterator<Item = Ask>) {
    for ask in asks {
        for (at, server) in group.settings.servers.iter().enumerate() {
            let question = Question {
                name: ask.query.name.clone(),
                wanted: ask.wanted,
                id: ask::random_id(),
                payload_bytes: group.settings.payload_bytes,
            };
            let Some(counters) = group.counters.get(at).cloned() else { continue };
            count(&counters.sent);
            let (ask, server, patience) = (ask.clone(), server.clone(), group.settings.patience);
            let group = group.settings.name.clone();
            running.spawn(async move {
                let heard = timeout(patience, ask::ask(&server, &question, &counters)).await.ok();
                Answered { group, ask, server: at, name: server.name, heard }
            });
        }
    }
}

fn event(pool: &Arc<Pool>, news: News, resolvers: &str) -> Event {
    let News::Address { server, from, to } = news;
    Event::Server {
        pool: pool.plan.name.clone(),
        server: server.plan.name.clone(),
        backup: server.plan.backup,
        change: ServerChange::Address { from, to, by: format!("resolvers {resolvers}") },
        usable: Usable::default(),
    }
}
