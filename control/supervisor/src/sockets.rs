//! Runtime sockets: accepted on the control thread, so that they answer whatever the workers do.

use crate::control::{Desk, bind_of};
use crate::cycle::Opened;
use crate::process::say;
use admin::Session;
use listener::{Peer, Socket};
use plan::process::RuntimeLevel;
use plan::{BindAddress, Plan, RuntimeSocket};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, spawn_local};

/// Time after which a silent runtime connection is closed, when the plan says nothing.
const SILENCE: Duration = Duration::from_secs(10);

/// The runtime sockets of the running cycle.
pub(crate) struct Sockets {
    open: HashMap<BindAddress, (Arc<Socket>, AbortHandle)>,
}

/// What connections of a socket may do, and for how long they may be silent.
#[derive(Clone, Copy)]
struct Manner {
    level: RuntimeLevel,
    silence: Duration,
    master: bool,
}

impl Manner {
    fn of(plan: &Plan, socket: &RuntimeSocket) -> Manner {
        let silence = plan.process.runtime_timeout.unwrap_or(SILENCE);
        Manner { level: socket.level, silence, master: false }
    }

    fn session(self) -> Session {
        match self.master {
            true => Session::of_master(self.level, self.silence),
            false => Session::new(self.level, self.silence),
        }
    }
}

impl Sockets {
    /// Starts those of the plan, and the master's; they are open already.
    pub fn open(plan: &Plan, master: Option<&RuntimeSocket>, opened: &Opened, desk: &Arc<Desk>) -> Sockets {
        let mut sockets = Sockets { open: HashMap::new() };
        for runtime in &plan.process.runtime_sockets {
            if let Some(socket) = opened.get(&runtime.address) {
                sockets.start(&runtime.address, Manner::of(plan, runtime), Arc::clone(socket), desk);
            }
        }
        if let Some(master) = master
            && let Some(socket) = opened.get(&master.address)
        {
            // It outlives every plan.
            drop(start(Manner { master: true, ..Manner::of(plan, master) }, Arc::clone(socket), desk));
        }
        sockets
    }

    /// Opens what is new in a reloaded plan and closes what is gone.
    pub fn follow(&mut self, plan: &Plan, desk: &Arc<Desk>) {
        let wanted = &plan.process.runtime_sockets;
        self.open.retain(|address, (_, task)| {
            let stays = wanted.iter().any(|socket| socket.address == *address);
            if !stays {
                task.abort();
            }
            stays
        });
        for runtime in wanted {
            if self.open.contains_key(&runtime.address) {
                continue;
            }
            let (name, bind) = bind_of(runtime);
            match listener::bind(&bind, &name) {
                Ok(socket) => {
                    self.start(&runtime.address, Manner::of(plan, runtime), Arc::new(socket), desk);
                }
                Err(error) => say(&error.to_string()),
            }
        }
    }

    fn start(&mut self, address: &BindAddress, manner: Manner, socket: Arc<Socket>, desk: &Arc<Desk>) {
        let task = start(manner, Arc::clone(&socket), desk);
        self.open.insert(address.clone(), (socket, task));
    }
}

fn start(manner: Manner, socket: Arc<Socket>, desk: &Arc<Desk>) -> AbortHandle {
    let desk = Arc::clone(desk);
    let task = spawn_local(async move {
        if let Err(error) = accept(&socket, manner, desk).await {
            say(&format!("accept on runtime socket: {error}"));
        }
    });
    task.abort_handle()
}

async fn accept(socket: &Socket, manner: Manner, desk: Arc<Desk>) -> io::Result<()> {
    let fd = socket.duplicate()?;
    match socket.local() {
        Peer::Ip(_) => {
            let listener = TcpListener::from_std(std::net::TcpListener::from(fd))?;
            loop {
                let (stream, _) = listener.accept().await?;
                spawn_local(serve(stream, manner, Arc::clone(&desk)));
            }
        }
        Peer::Unix => {
            let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(fd))?;
            loop {
                let (stream, _) = listener.accept().await?;
                spawn_local(serve(stream, manner, Arc::clone(&desk)));
            }
        }
    }
}

async fn serve<S>(stream: S, manner: Manner, desk: Arc<Desk>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // A client that breaks off has its reasons; nobody needs to hear of it.
    let _ = admin::serve(stream, manner.session(), &*desk).await;
}
