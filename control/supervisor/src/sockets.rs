//! Runtime sockets: accepted on the control thread, so that they answer whatever the workers do.

use crate::control::{Desk, binds};
use crate::cycle::Opened;
use crate::process::say;
use listener::{Peer, Socket};
use plan::process::RuntimeLevel;
use plan::{BindAddress, Plan};
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

impl Sockets {
    /// Starts those of the plan; they are open already.
    pub fn open(plan: &Plan, opened: &Opened, desk: &Arc<Desk>) -> Sockets {
        let mut sockets = Sockets { open: HashMap::new() };
        for runtime in &plan.process.runtime_sockets {
            if let Some(socket) = opened.get(&runtime.address) {
                sockets.start(plan, runtime.address.clone(), runtime.level, Arc::clone(socket), desk);
            }
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
        for runtime in
            wanted.iter().filter(|socket| !self.open.contains_key(&socket.address)).collect::<Vec<_>>()
        {
            let bind = binds(plan).into_iter().find(|(_, bind)| bind.address == runtime.address);
            match bind.map(|(name, bind)| listener::bind(&bind, &name)) {
                Some(Ok(socket)) => {
                    self.start(plan, runtime.address.clone(), runtime.level, Arc::new(socket), desk);
                }
                Some(Err(error)) => say(&error.to_string()),
                None => {}
            }
        }
    }

    fn start(
        &mut self,
        plan: &Plan,
        address: BindAddress,
        level: RuntimeLevel,
        socket: Arc<Socket>,
        desk: &Arc<Desk>,
    ) {
        let silence = plan.process.runtime_timeout.unwrap_or(SILENCE);
        let (task, desk) = (Arc::clone(&socket), Arc::clone(desk));
        let handle = spawn_local(async move {
            if let Err(error) = accept(&task, level, silence, desk).await {
                say(&format!("accept on runtime socket: {error}"));
            }
        });
        self.open.insert(address, (socket, handle.abort_handle()));
    }
}

async fn accept(socket: &Socket, level: RuntimeLevel, silence: Duration, desk: Arc<Desk>) -> io::Result<()> {
    let fd = socket.duplicate()?;
    match socket.local() {
        Peer::Ip(_) => {
            let listener = TcpListener::from_std(std::net::TcpListener::from(fd))?;
            loop {
                let (stream, _) = listener.accept().await?;
                spawn_local(serve(stream, level, silence, Arc::clone(&desk)));
            }
        }
        Peer::Unix => {
            let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(fd))?;
            loop {
                let (stream, _) = listener.accept().await?;
                spawn_local(serve(stream, level, silence, Arc::clone(&desk)));
            }
        }
    }
}

async fn serve<S>(stream: S, level: RuntimeLevel, silence: Duration, desk: Arc<Desk>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // A client that breaks off has its reasons; nobody needs to hear of it.
    let _ = admin::serve(stream, admin::Session::new(level, silence), &*desk).await;
}
