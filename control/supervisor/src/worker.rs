//! A worker: one thread, one current-thread runtime, its own connections.

use crate::cycle::{Cycle, Listener, TcpSites};
use crate::guests::{GuestView, Guests, Newcomer};
use crate::process::Process;
use listener::{Accepted, Accepting, Arrived, DatagramIntake, Gates, Intake, Trouble};
use plan::Mode;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tasks::{Worker, clock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;

/// What a worker is told.
pub(crate) enum Command {
    /// This is the running cycle from now on.
    Run(Arc<Cycle>),
    /// Something about the server with this uid changed: look again, whoever waits for it.
    Look(u32),
    /// Servers were removed or moved: idle connections that lead nowhere are closed.
    Purge(Arc<Cycle>),
    /// Connections of this site are taken, or not.
    Accept(String, Accepting),
    /// What is being served now belongs to the past: it is cut off after this time, and the other end is
    /// dropped when all of it has ended.
    Retire(Option<Duration>, mpsc::UnboundedSender<()>),
    /// Tell of all client connections.
    Guests(oneshot::Sender<Vec<GuestView>>),
    /// End the client connection of this number; tell whether there was one.
    End(u64, oneshot::Sender<bool>),
    /// Stop accepting and end idle connections; those in use go on.
    Drain,
    /// End now.
    Stop,
}

/// The supervisor's end of a worker.
pub(crate) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Starts worker `index`.
    pub fn start(index: usize, process: Arc<Process>) -> io::Result<Handle> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let run = move || work(index, &process, inbox);
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)?;
        Ok(Handle { commands, thread: Some(thread) })
    }

    /// Tells the worker; a worker that ended hears nothing.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// A sender for those that only tell.
    pub fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.commands.clone()
    }

    /// Waits until the thread has ended.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(index: usize, process: &Arc<Process>, inbox: mpsc::UnboundedReceiver<Command>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(clock::refresh)
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(Station::new(index, process).run(inbox)),
        Err(error) => process.report(&format!("start worker {index}: {error}")),
    }
}

/// An accept loop.
struct Running {
    site: String,
    command: watch::Sender<Accepting>,
}

/// What a worker has at hand.
struct Station {
    worker: Worker,
    process: Arc<Process>,
    web: Rc<web::Local>,
    tcp: Rc<stream::Local>,
    tcp_sites: Rc<RefCell<Arc<TcpSites>>>,
    intakes: HashMap<*const Listener, Running>,
    guests: Guests,
}

impl Station {
    fn new(index: usize, process: &Arc<Process>) -> Station {
        let worker = Worker::new(index);
        let web = web::Local::new(
            worker.clone(),
            process.hub.queue(),
            process.hub.zone(),
            &process.clock,
            Arc::clone(&process.idle),
        );
        let tcp = stream::Local::new(
            worker.clone(),
            process.hub.queue(),
            process.hub.zone(),
            process.web.names.clone(),
        );
        Station {
            guests: Guests::new(index, process.workers),
            worker,
            web,
            tcp,
            tcp_sites: Rc::default(),
            process: Arc::clone(process),
            intakes: HashMap::new(),
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        spawn_local(self.worker.deadlines.clone().sweep());
        spawn_local(keep_house(Rc::clone(&self.web)));
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Run(cycle) => self.follow(&cycle),
                Command::Look(uid) => self.worker.deadlines.wake_watching(uid),
                Command::Purge(cycle) => self.purge(&cycle),
                Command::Accept(site, accepting) => {
                    let of_site = self.intakes.values().filter(|intake| intake.site == site);
                    of_site.for_each(|intake| tell(&intake.command, accepting));
                }
                Command::Retire(limit, done) => {
                    spawn_local(self.guests.retire(limit, done));
                }
                // Whoever asked may be gone.
                Command::Guests(tell) => drop(tell.send(self.guests.list())),
                Command::End(id, tell) => drop(tell.send(self.guests.end(id))),
                Command::Drain => {
                    self.intakes.drain().for_each(|(_, intake)| tell(&intake.command, Accepting::Drain));
                    self.web.stop();
                }
                Command::Stop => break,
            }
        }
    }

    /// Starts what is new, drains what is gone; what stays does not notice.
    fn follow(&mut self, cycle: &Arc<Cycle>) {
        self.web.replace(Arc::clone(&cycle.http));
        *self.tcp_sites.borrow_mut() = Arc::clone(&cycle.tcp);
        self.purge(cycle);
        let listeners = cycle.listeners();
        let wanted: HashMap<*const Listener, &Arc<Listener>> =
            listeners.iter().map(|l| (Arc::as_ptr(l), l)).collect();
        self.intakes.retain(|key, intake| {
            let stays = wanted.contains_key(key);
            if !stays {
                tell(&intake.command, Accepting::Drain);
            }
            stays
        });
        for (key, listener) in wanted {
            if !self.intakes.contains_key(&key) {
                let running = Running { site: listener.site.clone(), command: self.accept(listener) };
                self.intakes.insert(key, running);
            }
        }
    }

    fn purge(&self, cycle: &Cycle) {
        let in_use = |server: &pool::Server| {
            cycle.pools.get(&*server.pool_name).is_some_and(|pool| pool.in_use(server))
        };
        self.web.idle.room(self.worker.index).purge(in_use);
    }

    fn accept(&self, listener: &Arc<Listener>) -> watch::Sender<Accepting> {
        let (tell, command) = watch::channel(listener.state.accepting());
        match listener.socket.address().is_datagrams() {
            true => self.accept_datagrams(listener, command),
            false => self.accept_connections(listener, command),
        }
        tell
    }

    fn accept_connections(&self, listener: &Arc<Listener>, command: watch::Receiver<Accepting>) {
        let intake = Intake {
            worker: self.worker.clone(),
            socket: Arc::clone(&listener.socket),
            plan: Arc::clone(&listener.bind),
            site: 0,
            bind: listener.index,
            gates: self.gates(listener),
            handler: self.handler(listener),
            wants_broken: listener.mode == Mode::Tcp && listener.bind.proxy_only_tells,
            report: self.report(listener),
            command,
        };
        self.keep_serving(listener, listener::serve(intake));
    }

    fn accept_datagrams(&self, listener: &Arc<Listener>, command: watch::Receiver<Accepting>) {
        if !listener.socket.is_read_by(self.worker.index, self.process.workers) {
            return;
        }
        let intake = DatagramIntake {
            worker: self.worker.clone(),
            socket: Arc::clone(&listener.socket),
            plan: Arc::clone(&listener.bind),
            bind: listener.index,
            gates: self.gates(listener),
            handler: self.flow_handler(listener),
            report: self.report(listener),
            command,
        };
        self.keep_serving(listener, listener::serve_datagrams(intake));
    }

    fn keep_serving(
        &self,
        listener: &Arc<Listener>,
        serving: impl Future<Output = io::Result<()>> + 'static,
    ) {
        let process = Arc::clone(&self.process);
        // The listener is kept as long as it accepts: its address is the key of its loop.
        let kept = Arc::clone(listener);
        spawn_local(async move {
            if let Err(error) = serving.await {
                process.report(&format!("accept on {}: {error}", kept.bind.address));
            }
        });
    }

    fn gates(&self, listener: &Listener) -> Rc<Gates> {
        Rc::new(Gates {
            process: Arc::clone(&self.process.quota),
            site: Arc::clone(&listener.state.quota),
            bind: Arc::clone(&listener.quota),
            paces: [
                Arc::clone(&self.process.connection_pace),
                Arc::clone(&self.process.session_pace),
                Arc::clone(&listener.state.pace),
            ],
            stats: Arc::clone(&listener.state.stats),
            process_stats: Arc::clone(&self.process.stats),
        })
    }

    fn report(&self, listener: &Listener) -> Rc<dyn Fn(Trouble)> {
        let (process, site) = (Arc::clone(&self.process), listener.site.clone());
        Rc::new(move |trouble| process.report(&told(&site, &trouble)))
    }

    fn handler(&self, listener: &Arc<Listener>) -> Rc<dyn Fn(Accepted)> {
        let name: Arc<str> = listener.site.as_str().into();
        let guests = self.guests.clone();
        match listener.mode {
            Mode::Http => {
                let local = Rc::clone(&self.web);
                Rc::new(move |accepted| {
                    if let Some(site) = local.site(&name) {
                        let who = Newcomer::of(&accepted);
                        guests.serve(&name, who, web::serve(Rc::clone(&local), site, accepted));
                    }
                })
            }
            Mode::Tcp => {
                let (local, sites) = (Rc::clone(&self.tcp), Rc::clone(&self.tcp_sites));
                Rc::new(move |accepted| {
                    if let Some(site) = sites.borrow().get(&*name) {
                        let (who, site) = (Newcomer::of(&accepted), Arc::clone(site));
                        guests.serve(&name, who, stream::serve(Rc::clone(&local), site, accepted));
                    }
                })
            }
        }
    }

    fn flow_handler(&self, listener: &Arc<Listener>) -> Rc<dyn Fn(Arrived)> {
        let name: Arc<str> = listener.site.as_str().into();
        let guests = self.guests.clone();
        let (local, sites) = (Rc::clone(&self.tcp), Rc::clone(&self.tcp_sites));
        Rc::new(move |arrived| {
            if let Some(site) = sites.borrow().get(&*name) {
                let (who, site) = (Newcomer::of_flow(&arrived), Arc::clone(site));
                guests.serve(&name, who, stream::serve_flow(Rc::clone(&local), site, arrived));
            }
        })
    }
}

/// A loop that ended hears nothing.
fn tell(command: &watch::Sender<Accepting>, accepting: Accepting) {
    let _ = command.send(accepting);
}

fn told(site: &str, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Exhausted(error) => {
            format!("accept for '{site}': {error}; raise the descriptor limit or lower maxconn")
        }
        Trouble::DatagramsDropped => {
            format!("datagrams of new clients for '{site}' dropped: raise the connection limit")
        }
        Trouble::ProxyHeader { peer, why } => format!("PROXY header from {peer} for '{site}': {why}"),
    }
}

/// Every second: server connections that nobody used for a while are closed, and the clock is set.
async fn keep_house(local: Rc<web::Local>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        local.follow_wall_clock();
        let mut idle = local.idle.room(local.worker.index);
        if !idle.is_empty() {
            idle.close_expired();
        }
        drop(idle);
        local.publish_idle();
    }
}
