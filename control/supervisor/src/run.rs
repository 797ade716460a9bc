//! The life of the process, on the control thread: start, signals, reloads, stop.

use crate::control::{self, Desk, ReloadAsked};
use crate::cycle::{Cycle, Opened};
use crate::load::{FileSources, Input, load_to_run};
use crate::notify::Notifier;
use crate::process::{Process, hostname, node_name, say};
use crate::share::{self, Shares};
use crate::signals::{Asked, Meanings, Signals};
use crate::sockets::Sockets;
use crate::watcher::Watcher;
use crate::worker::{Command, Handle};
use crate::{caches, limits, privileges};
use admin::Reloaded;
use discovery::Discovery;
use health::Checks;
use health::mail::Post;
use listener::Quota;
use plan::{Plan, Problem, Problems, RuntimeSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::{Event, LogFiles, LogHub};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to load, now and at each reload.
    pub input: Input,
    /// Name in logs.
    pub name: String,
    /// File that holds the process id, besides the plan's.
    pub pid_file: Option<PathBuf>,
    /// How the process behaves towards whoever runs it.
    pub manner: Manner,
    /// Client connections at once, over the plan's.
    pub max_connections: Option<u32>,
    /// Say nothing on standard error when all is well.
    pub quiet: bool,
    /// The process stands for HAProxy's master and worker: a signal that ends it at once is told by the outcome.
    pub master: bool,
    /// Socket of the master.
    pub master_socket: Option<RuntimeSocket>,
    /// Processes that this one replaces: told when the configuration is known to be good.
    pub replaces: Option<Replaces>,
    /// Connection limit of sites that set none.
    pub site_connections: Option<u32>,
}

/// How a process behaves towards whoever runs it: what signals mean, what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// What signals mean.
    pub signals: Meanings,
    /// Longest graceful stop when the plan sets none; `None` = without limit.
    pub drain: Option<Duration>,
    /// What happens while it runs is told on standard error too, besides the log.
    pub speaks: bool,
    /// The log tells when what was begun before a reload has ended.
    pub tells_generations: bool,
}

impl Manner {
    /// `mainstay run`.
    pub const OWN: Manner =
        Manner { signals: Meanings::OWN, drain: Some(DRAIN), speaks: true, tells_generations: false };
    /// HAProxy's command line: a graceful stop has no limit unless one is set.
    pub const HAPROXY: Manner = Manner { signals: Meanings::HAPROXY, drain: None, ..Manner::OWN };
    /// nginx's command line.
    pub const NGINX: Manner =
        Manner { signals: Meanings::NGINX, drain: None, speaks: false, tells_generations: true };
}

impl Default for Manner {
    fn default() -> Manner {
        Manner::OWN
    }
}

/// Processes that are to be replaced, and how they are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Their numbers.
    pub processes: Vec<i32>,
    /// They finish what they serve (SIGUSR1), or end at once (SIGTERM).
    pub gracefully: bool,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// Stopped as asked.
    Stopped,
    /// Ended at once by the signal of this number.
    Signalled(i32),
    /// Could not start.
    Refused(Problems),
}

/// Time that open requests get at a graceful stop when the plan sets none.
const DRAIN: Duration = Duration::from_secs(30);
/// Longer than any process lives.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Runs until stopped. Must be called before the process has other threads.
pub fn run(options: &Options) -> Outcome {
    match run_inside(options) {
        Ok(None) => Outcome::Stopped,
        Ok(Some(signal)) => Outcome::Signalled(signal),
        Err(problems) => Outcome::Refused(problems),
    }
}

/// A running process.
struct Running {
    process: Arc<Process>,
    cycle: Arc<Cycle>,
    desk: Arc<Desk>,
    checks: Checks,
    discovery: Discovery,
    workers: Vec<Handle>,
    pid_files: PidFiles,
    notifier: Notifier,
    sockets: Sockets,
    shares: Shares,
    reloads: UnboundedReceiver<ReloadAsked>,
}

fn run_inside(options: &Options) -> Result<Option<i32>, Problems> {
    let plan = load(options)?;
    let identity = privileges::identity(&plan)?;
    let threads = plan.process.threads.map_or_else(cores, usize::from).max(1);
    let connections = limits::connections(&plan, threads).map_err(|problem| vec![problem])?;
    let connections = options.max_connections.map_or(connections, |n| n.min(connections));
    let notifier = Notifier::from_environment();
    let opened = match &options.replaces {
        Some(replaces) => open_after(&plan, options, replaces)?,
        None => open_all(&plan, options)?,
    };
    let logs = open_logs(&plan)?;
    caches::make_directories(&plan, &identity)?;
    let pid_files = PidFiles::write(&plan, options)?;
    let options = &reachable(options, plan.process.chroot.is_some()).map_err(|problem| vec![problem])?;
    // Linux gives each thread rights of its own: they are given up before the first thread starts.
    identity.become_it(plan.process.chroot.as_deref()).map_err(|problem| vec![problem])?;
    let runtime = runtime().map_err(|problem| vec![problem])?;
    runtime.block_on(async {
        let running = Running::start(plan, options, connections, &opened, logs, pid_files, notifier)?;
        drop(opened);
        Ok(running.serve(options).await)
    })
}

/// The plan with what the command line says about it.
fn load(options: &Options) -> Result<Plan, Problems> {
    let plan = load_to_run(&options.input)?;
    let Some(limit) = options.site_connections else { return Ok(plan) };
    let mut draft = plan.into_draft();
    for site in &mut draft.sites {
        site.max_connections = site.max_connections.or(Some(limit));
    }
    draft.resolve()
}

/// Tells the processes that are replaced, then opens the sockets, which they may hold a moment longer.
fn open_after(plan: &Plan, options: &Options, replaces: &Replaces) -> Result<Opened, Problems> {
    /// Longest wait for the addresses.
    const PATIENCE: Duration = Duration::from_secs(10);
    const AGAIN: Duration = Duration::from_millis(20);
    let signal =
        if replaces.gracefully { rustix::process::Signal::USR1 } else { rustix::process::Signal::TERM };
    for pid in replaces.processes.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
        // One that is gone already needs no word.
        let _ = rustix::process::kill_process(pid, signal);
    }
    let begun = Instant::now();
    loop {
        match open_all(plan, options) {
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(AGAIN),
            result => return result,
        }
    }
}

/// The same options with paths that still lead to the files after a chroot.
fn reachable(options: &Options, confined: bool) -> Result<Options, Problem> {
    let mut options = options.clone();
    if confined {
        let failed =
            |error| Problem::new(plan::Place::none(), format!("keep the way to the configuration: {error}"));
        options.input.sources = FileSources::before_chroot().map_err(failed)?;
        options.input.files =
            options.input.files.iter().map(std::path::absolute).collect::<Result<_, _>>().map_err(failed)?;
    }
    Ok(options)
}

fn runtime() -> Result<tokio::runtime::LocalRuntime, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(tasks::clock::refresh)
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(|error| Problem::new(plan::Place::none(), format!("start the control thread: {error}")))
}

/// Opens every socket that a plan needs, or tells of all that cannot be opened.
fn open_all(plan: &Plan, options: &Options) -> Result<Opened, Problems> {
    let mut problems = Problems::new();
    let mut opened = Opened::new();
    let binds =
        plan.sites.iter().filter(|site| !site.disabled).flat_map(|s| s.binds.iter().map(|b| (&s.name, b)));
    let sockets = plan.process.runtime_sockets.iter().chain(&options.master_socket);
    let runtime: Vec<(String, plan::Bind)> =
        sockets.map(control::bind_of).chain(share::binds(plan)).collect();
    for (name, bind) in binds.chain(runtime.iter().map(|(name, bind)| (name, bind))) {
        match listener::bind_for(bind, name, threads(plan)) {
            Ok(socket) => drop(opened.insert(bind.address.clone(), Arc::new(socket))),
            Err(error) => problems.push(Problem::new(bind.place.clone(), error.to_string())),
        }
    }
    if problems.is_empty() { Ok(opened) } else { Err(problems) }
}

/// How many workers a plan means.
fn threads(plan: &Plan) -> usize {
    plan.process.threads.map_or_else(cores, usize::from).max(1)
}

/// Opens the log files of a plan, with the rights of the start.
fn open_logs(plan: &Plan) -> Result<LogFiles, Problems> {
    LogFiles::open(plan.log_files()).map_err(|errors| {
        let problem = |error: telemetry::SinkError| {
            Problem::new(plan::Place::none(), format!("{error}: {}", error.source))
                .hint("check that its folder exists and may be written")
        };
        errors.into_iter().map(problem).collect()
    })
}

/// Files that hold the process id as long as this value lives.
struct PidFiles(Vec<PathBuf>);

impl PidFiles {
    fn write(plan: &Plan, options: &Options) -> Result<PidFiles, Problems> {
        let files: Vec<PathBuf> = plan.process.pid_file.iter().chain(&options.pid_file).cloned().collect();
        let text = format!("{}\n", std::process::id());
        let failed = |path: &PathBuf, error| {
            Problem::new(plan::Place::none(), format!("write pid file {}: {error}", path.display()))
                .hint("check that its folder exists and may be written")
        };
        let problems: Problems = files
            .iter()
            .filter_map(|path| std::fs::write(path, &text).err().map(|e| failed(path, e)))
            .collect();
        if problems.is_empty() { Ok(PidFiles(files)) } else { Err(problems) }
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // The right to remove it may be gone by now.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Running {
    fn start(
        plan: Plan,
        options: &Options,
        connections: u32,
        opened: &Opened,
        logs: LogFiles,
        pid_files: PidFiles,
        notifier: Notifier,
    ) -> Result<Running, Problems> {
        let threads = threads(&plan);
        let failed = |what: &str, error: std::io::Error| {
            vec![Problem::new(plan::Place::none(), format!("{what}: {error}"))]
        };
        let hub = LogHub::start().map_err(|error| failed("start the log thread", error))?;
        hub.adopt(logs);
        let desk = Arc::new(Desk::default());
        let quota = Arc::new(Quota::new(Some(connections)));
        let pages = Arc::clone(&desk) as Arc<dyn web::Pages>;
        let process =
            Process::new(options.name.clone(), threads, hub, pages, quota).speaking(options.manner.speaks);
        let process = Arc::new(process);
        let watcher = Arc::new(Watcher::default());
        process.set_watcher(Arc::clone(&watcher));
        let cycle = Arc::new(Cycle::prepare(plan, &process, None, opened)?);
        process.set_log(cycle.log.clone());
        let checks = start_checks(&process, &watcher);
        let discovery = start_discovery(&process);
        follow(&process, &checks, &discovery, &cycle);
        let workers: Vec<Handle> = (0..threads)
            .map(|index| Handle::start(index, Arc::clone(&process)))
            .collect::<Result<_, _>>()
            .map_err(|error| failed("start a worker", error))?;
        watcher.set_workers(workers.iter().map(Handle::commands).collect());
        desk.begin(&process, &cycle, &checks, workers.iter().map(Handle::commands).collect());
        desk.set_discovery(&discovery);
        let (ask, reloads) = unbounded_channel();
        desk.set_reloads(ask);
        process.set_startup_log(notes(&cycle.plan));
        crate::states::apply(&cycle);
        let sockets = Sockets::open(&cycle.plan, options.master_socket.as_ref(), opened, &desk);
        let mut shares = Shares::default();
        shares.follow(&cycle, &process.wakes, opened);
        tokio::task::spawn_local(sample(Arc::clone(&process), Arc::clone(&desk)));
        for worker in &workers {
            worker.tell(Command::Run(Arc::clone(&cycle)));
        }
        Ok(Running {
            process,
            cycle,
            desk,
            checks,
            discovery,
            workers,
            pid_files,
            notifier,
            sockets,
            shares,
            reloads,
        })
    }

    /// Serves until a signal ends it.
    async fn serve(mut self, options: &Options) -> Option<i32> {
        let mut signals = match Signals::new(options.manner.signals) {
            Ok(signals) => signals,
            Err(error) => {
                say(&format!("listen to signals: {error}"));
                return None;
            }
        };
        self.notifier.ready();
        let plan = &self.cycle.plan;
        let version = env!("CARGO_PKG_VERSION").to_string();
        self.process.event(Event::Started { version, sites: plan.sites.len(), pools: plan.pools.len() });
        if !options.quiet {
            say("ready");
        }
        let ended_by = loop {
            let asked = tokio::select! {
                asked = signals.next() => asked,
                Some(tell) = self.reloads.recv() => {
                    self.reload(options);
                    let (ok, log) = (self.process.last_reload_ok(), self.process.startup_log());
                    // Whoever asked may be gone.
                    let _ = tell.send(Reloaded { ok, log });
                    continue;
                }
            };
            match asked {
                Asked::Reload => self.reload(options),
                Asked::ReopenLogs => self.reopen_logs(),
                Asked::Nothing(why) => self.process.report(why),
                Asked::Graceful => {
                    self.drain(&mut signals, options).await;
                    break None;
                }
                Asked::Hard(signal) => break Some(signal),
            }
        };
        self.stop();
        ended_by.filter(|_| options.master)
    }

    /// The new configuration beside the old one; on any problem the old one goes on.
    fn reload(&mut self, options: &Options) {
        let begun = Instant::now();
        self.notifier.reloading();
        let prepared = load(options)
            .and_then(|plan| Cycle::prepare(plan, &self.process, Some(&self.cycle), &Opened::new()));
        match prepared {
            Ok(cycle) => self.swap(Arc::new(cycle), begun, options),
            Err(problems) => self.keep(&problems),
        }
        self.reopen_logs();
        self.notifier.ready();
    }

    fn reopen_logs(&self) {
        for problem in self.process.hub.reopen() {
            self.process.report(&format!("{problem}: {}", problem.source));
        }
    }

    fn swap(&mut self, cycle: Arc<Cycle>, begun: Instant, options: &Options) {
        self.process.set_log(cycle.log.clone());
        follow(&self.process, &self.checks, &self.discovery, &cycle);
        self.sockets.follow(&cycle.plan, &self.desk);
        self.shares.follow(&cycle, &self.process.wakes, &Opened::new());
        self.retire(&cycle, options);
        for worker in &self.workers {
            worker.tell(Command::Run(Arc::clone(&cycle)));
        }
        self.desk.show(&cycle);
        self.cycle = cycle;
        self.process.set_reload_ok(true);
        self.process.set_startup_log(notes(&self.cycle.plan));
        self.process.event(Event::Reloaded { took_ms: begun.elapsed().as_millis() as u64 });
        self.process.say("reloaded");
    }

    /// What was begun before this reload: it is cut off when the plan says so, and its end is told.
    fn retire(&self, cycle: &Cycle, options: &Options) {
        let limit = cycle.plan.process.cut_after_reload;
        if limit.is_none() && !options.manner.tells_generations {
            return;
        }
        let (tell, mut ends) = unbounded_channel();
        for worker in &self.workers {
            worker.tell(Command::Retire(limit, tell.clone()));
        }
        drop(tell);
        let process = Arc::clone(&self.process);
        let told = options.manner.tells_generations;
        tokio::task::spawn_local(async move {
            // Each worker drops its end when nothing is left.
            while ends.recv().await.is_some() {}
            if told {
                process.event(Event::Retired { pid: std::process::id() });
            }
        });
    }

    fn keep(&self, problems: &Problems) {
        for problem in problems {
            self.process.say(&problem.to_string());
        }
        self.process.say("reload refused; the running configuration goes on");
        for problem in problems.iter().skip(1) {
            self.process.log_error(&format!("{}: {}", problem.place, problem.what));
        }
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        self.process.set_reload_ok(false);
        self.process.set_startup_log(problems.iter().map(|problem| format!("[ALERT] {problem}\n")).collect());
        self.process.event(Event::ReloadFailed { reason: first });
    }

    /// Stops accepting and waits for open connections, up to a limit or a second signal.
    async fn drain(&self, signals: &mut Signals, options: &Options) {
        self.notifier.stopping();
        self.process.stop();
        self.process.event(Event::Stopping { connections: self.process.quota.taken() });
        // First ours, so that the last one to drain an address closes it.
        self.cycle.close_listeners();
        for worker in &self.workers {
            worker.tell(Command::Drain);
        }
        let limit = self.cycle.plan.process.hard_stop_after.or(options.manner.drain).unwrap_or(FOREVER);
        let quiet = async {
            while self.process.quota.taken() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let second = async {
            loop {
                match signals.next().await {
                    Asked::Hard(_) => break,
                    // Said twice: whoever says so is in a hurry, unless gracefully is the only way to say it.
                    Asked::Graceful if options.manner.drain.is_some() => break,
                    Asked::ReopenLogs => self.reopen_logs(),
                    Asked::Reload | Asked::Graceful | Asked::Nothing(_) => {}
                }
            }
        };
        tokio::select! {
            () = async { let _ = tokio::time::timeout(limit, quiet).await; } => {}
            () = second => {}
        }
    }

    fn stop(mut self) {
        for worker in &self.workers {
            worker.tell(Command::Stop);
        }
        for worker in &mut self.workers {
            worker.join();
        }
        self.process.hub.flush(Duration::from_secs(1));
        drop(self.pid_files);
    }
}

/// What `show startup-logs` tells of a plan: its warnings.
fn notes(plan: &Plan) -> String {
    let warnings = plan.notes.iter().filter(|note| note.warning);
    warnings.map(|note| format!("[WARNING] {note}\n")).collect()
}

/// Starts the checks; what they find goes to the logs and to whoever waits for a server.
fn start_checks(process: &Arc<Process>, watcher: &Watcher) -> Checks {
    let teller = Arc::clone(process);
    let (post, postman) = Post::new(hostname());
    tokio::task::spawn_local(postman);
    let (checks, task) = Checks::new(Box::new(move |pool, event| {
        if let Some(alerts) = &pool.plan.alerts {
            post.tell(alerts, &event);
        }
        teller.pool_event(&pool.plan.name, event);
    }));
    watcher.set_next(checks.observer());
    tokio::task::spawn_local(task);
    checks
}

/// Starts the looking-up of servers' names.
fn start_discovery(process: &Arc<Process>) -> Discovery {
    let teller = Arc::clone(process);
    let (discovery, task) = Discovery::new(
        Box::new(move |pool, event| teller.pool_event(&pool.plan.name, event)),
        process.web.names.clone(),
    );
    tokio::task::spawn_local(task);
    discovery
}

/// Checks, names of servers, rates and health events follow a cycle.
fn follow(process: &Process, checks: &Checks, discovery: &Discovery, cycle: &Cycle) {
    for (server, address) in &cycle.moved {
        server.set_address(address.clone());
    }
    process.connection_pace.set_limit(cycle.plan.process.connection_rate.unwrap_or(0));
    process.session_pace.set_limit(cycle.plan.process.session_rate.unwrap_or(0));
    process.pool_logs.store(Arc::clone(&cycle.pool_logs));
    let pools: Vec<_> = cycle.pools.values().cloned().collect();
    let plan = &cycle.plan.process;
    checks.replace(&pools, plan.spread_checks_percent, &node_name(plan));
    discovery.replace(&pools, &cycle.plan.resolvers);
}

/// Rates and load, every second.
async fn sample(process: Arc<Process>, desk: Arc<Desk>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let (mut then, mut used) = (Instant::now(), cpu_time());
    loop {
        every.tick().await;
        desk.sample();
        let (elapsed, cpu) = (then.elapsed(), cpu_time());
        (then, used) = {
            let busy =
                (cpu - used).as_micros() * 100 / (elapsed.as_micros().max(1) * process.workers as u128);
            process.set_idle_percent(100u64.saturating_sub(busy as u64));
            (Instant::now(), cpu)
        };
    }
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Cores this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
