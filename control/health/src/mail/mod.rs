//! Alert mails: what happened to servers, by plain SMTP. Called by `supervisor` with the events that `task` tells.
//!
//! A mail waits in a queue of [`QUEUE`] and is lost when that is full: nothing ever waits for a mail server.

pub mod machine;

use machine::{Letter, Machine, Todo};
use plan::alert::MailAlerts;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use telemetry::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

/// Most mails that wait.
pub const QUEUE: usize = 256;

/// Where mails are handed in. Cheap to clone.
#[derive(Clone)]
pub struct Post {
    queue: Sender<Mail>,
    lost: Arc<AtomicU64>,
}

struct Mail {
    alerts: Arc<MailAlerts>,
    text: String,
    at: Duration,
}

impl Post {
    /// The post office, and the task that does the work: to be spawned on a tokio runtime. It ends with the last `Post`.
    /// `hostname` is said in `EHLO` when the alerts say no other.
    pub fn new(hostname: String) -> (Post, impl Future<Output = ()> + Send + 'static) {
        let (queue, mails) = channel(QUEUE);
        (Post { queue, lost: Arc::default() }, carry(mails, hostname))
    }

    /// Sends a mail if these alerts want to hear of such an event. Never waits.
    pub fn tell(&self, alerts: &Arc<MailAlerts>, event: &Event) {
        let Some(severity) = severity(event).filter(|severity| *severity <= alerts.level) else { return };
        let _ = severity;
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mail = Mail { alerts: Arc::clone(alerts), text: event.text(), at };
        if self.queue.try_send(mail).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Mails lost because too many waited.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// What mails count an event for; those that no mail tells are `None`.
fn severity(event: &Event) -> Option<plan::Severity> {
    match event {
        Event::Server { .. } => Some(event.severity()),
        Event::Check { .. } => Some(plan::Severity::Info),
        _ => None,
    }
}

async fn carry(mut mails: Receiver<Mail>, hostname: String) {
    while let Some(mail) = mails.recv().await {
        let alerts = &mail.alerts;
        let letter = Letter {
            hostname: alerts.hostname.as_deref().unwrap_or(&hostname),
            from: &alerts.from,
            to: &alerts.to,
            text: &mail.text,
            unix: mail.at.as_secs(),
        };
        for server in &alerts.mailers {
            // A mail server that fails is no news for others: traffic and the next mail go on.
            let _ = timeout(alerts.timeout, deliver(*server, &letter)).await;
        }
    }
}

async fn deliver(server: SocketAddr, letter: &Letter<'_>) -> io::Result<bool> {
    let mut stream = TcpStream::connect(server).await?;
    let mut machine = Machine::new(letter);
    let mut buffer = [0; 1024];
    let mut todo = Todo::Read;
    loop {
        todo = match todo {
            Todo::Read => match stream.read(&mut buffer).await? {
                0 => return Ok(false),
                count => machine.received(&buffer[..count]),
            },
            Todo::Send(bytes) => {
                stream.write_all(&bytes).await?;
                Todo::Read
            }
            Todo::Done(sent) => return Ok(sent),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::Severity;
    use telemetry::event::{ServerChange, Usable, Why};
    use tokio::net::TcpListener;

    fn down() -> Event {
        Event::Server {
            pool: "be".into(),
            server: "s1".into(),
            backup: false,
            change: ServerChange::Down(Why::Operator),
            usable: Usable::default(),
        }
    }

    fn alerts(server: SocketAddr, level: Severity) -> Arc<MailAlerts> {
        Arc::new(MailAlerts {
            mailers: vec![server],
            timeout: Duration::from_secs(20),
            from: "lb@a.test".into(),
            to: "ops@a.test".into(),
            level,
            hostname: Some("lb.a.test".into()),
        })
    }

    #[tokio::test]
    async fn a_server_that_goes_down_is_told_by_mail() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (post, task) = Post::new("host".into());
        tokio::spawn(task);
        let alerts = alerts(listener.local_addr().unwrap(), Severity::Alert);
        post.tell(&alerts, &Event::PoolEmpty { pool: "be".into(), listen: false });
        post.tell(&alerts, &down());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = String::new();
        let mut buffer = [0; 4096];
        stream.write_all(b"220 hello\r\n").await.unwrap();
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            let said = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let answer: &[u8] = match said.as_str() {
                "DATA\r\n" => b"354 go on\r\n",
                "QUIT\r\n" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            heard.push_str(&said);
            stream.write_all(answer).await.unwrap();
        }
        assert!(
            heard.starts_with("EHLO lb.a.test\r\nMAIL FROM:<lb@a.test>\r\nRCPT TO:<ops@a.test>\r\nDATA\r\n")
        );
        assert!(
            heard.contains("Subject: [HAProxy Alert] Server be/s1 is DOWN, changed from CLI."),
            "{heard}"
        );
        assert!(heard.ends_with("\r\n.\r\nQUIT\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn a_full_queue_loses_mails_and_waits_for_nobody() {
        let (post, task) = Post::new("host".into());
        let alerts = alerts("127.0.0.1:1".parse().unwrap(), Severity::Alert);
        for _ in 0..QUEUE + 3 {
            post.tell(&alerts, &down());
        }
        assert_eq!(post.lost(), 3);
        drop(task);
    }
}
