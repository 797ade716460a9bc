//! A syslog receiver that counts what it gets. Owned by the harness while it measures.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;

/// A UDP socket whose datagrams are counted and thrown away.
pub struct Sink {
    /// Where log lines go, on 127.0.0.1.
    pub port: u16,
    count: Arc<AtomicU64>,
}

impl Sink {
    /// Open a free port and count in a thread until the process ends.
    pub fn start() -> Result<Sink> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let port = socket.local_addr()?.port();
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20)?;
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        std::thread::Builder::new().name("syslog sink".into()).spawn(move || drain(&socket, &counter))?;
        Ok(Sink { port, count })
    }

    /// Log lines received so far. The kernel may drop some under load.
    pub fn lines(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

fn drain(socket: &UdpSocket, counter: &AtomicU64) {
    let mut buffer = [0; 2048];
    while socket.recv(&mut buffer).is_ok() {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
