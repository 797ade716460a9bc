//! Names that are looked up on demand, in front of a name server of our own.

#![allow(clippy::unwrap_used, clippy::panic)]

use discovery::Discovery;
use plan::pool::Balance;
use plan::resolver::{NameServer, OnDemand, Transport};
use plan::smooth::SmoothServer;
use plan::{Place, Resolvers, ServerAddress};
use pool::{NameError, Names, NoObserver, Pool};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(5);

/// A name server that answers questions for IPv4 addresses from a table; a name that is not there does not exist.
#[derive(Clone, Default)]
struct NameService {
    table: Arc<Mutex<HashMap<String, Vec<[u8; 4]>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameService {
    async fn open(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let service = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&service.answer(&buffer[..length]), from).await.unwrap();
            }
        });
        address
    }

    fn set(&self, name: &str, addresses: &[[u8; 4]]) {
        self.table.lock().unwrap().insert(name.into(), addresses.to_vec());
    }

    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let mut labels = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let length = usize::from(question[at]);
            labels.push(String::from_utf8(question[at + 1..at + 1 + length].to_vec()).unwrap());
            at += 1 + length;
        }
        let wants_v4 = question[at + 2] == 1;
        let name = labels.join(".");
        if wants_v4 {
            self.asked.lock().unwrap().push(name.clone());
        }
        let known = self.table.lock().unwrap().get(&name).cloned();
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&[0x81, if known.is_some() { 0x80 } else { 0x83 }]);
        for address in known.unwrap_or_default().iter().filter(|_| wants_v4) {
            bytes[7] += 1;
            bytes.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            bytes.extend_from_slice(address);
        }
        bytes
    }
}

async fn running(service: &NameService, pools: &[Arc<Pool>]) -> (Names, Discovery) {
    let names = Names::default();
    let (discovery, task) = Discovery::new(Box::new(|_, _| ()), names.clone());
    tokio::spawn(task);
    let mut group = Resolvers::new(Place::none(), "r");
    let address = service.open().await;
    group.servers.push(NameServer { name: "n".into(), address, transport: Transport::Udp });
    let valid = Some(Duration::from_secs(1));
    group.on_demand = Some(OnDemand { valid, v4: true, v6: true, timeout: PATIENCE });
    discovery.replace(pools, &[group]);
    (names, discovery)
}

#[tokio::test]
async fn a_name_is_asked_for_once_as_long_as_its_answer_counts() {
    let service = NameService::default();
    service.set("app.test", &[[127, 0, 0, 1], [127, 0, 0, 2]]);
    let (names, _discovery) = running(&service, &[]).await;
    let many = (0..5).map(|_| names.lookup("r", "App.Test.", PATIENCE));
    for answer in futures(many).await {
        assert_eq!(answer.unwrap().len(), 2);
    }
    assert_eq!(service.asked.lock().unwrap().as_slice(), ["app.test"]);
    assert_eq!(names.lookup("r", "nobody.test", PATIENCE).await, Err(NameError::Missing));
    assert_eq!(names.lookup("other", "app.test", PATIENCE).await, Err(NameError::NotAsked));
    assert_eq!(names.lookup("other", "10.0.0.1", PATIENCE).await.unwrap().len(), 1);
}

/// All of them, one after the other begun, together waited for.
async fn futures<F: Future<Output = Result<Arc<[std::net::IpAddr]>, NameError>> + Send>(
    all: impl Iterator<Item = F>,
) -> Vec<Result<Arc<[std::net::IpAddr]>, NameError>> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    while !all.is_empty() {
        let (answer, at) = std::future::poll_fn(|cx| {
            for (at, future) in all.iter_mut().enumerate() {
                if let std::task::Poll::Ready(answer) = future.as_mut().poll(cx) {
                    return std::task::Poll::Ready((answer, at));
                }
            }
            std::task::Poll::Pending
        })
        .await;
        drop(all.remove(at));
        done.push(answer);
    }
    done
}

#[tokio::test]
async fn nobody_answers() {
    let names = Names::default();
    let (discovery, task) = Discovery::new(Box::new(|_, _| ()), names.clone());
    tokio::spawn(task);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut group = Resolvers::new(Place::none(), "r");
    let address = silent.local_addr().unwrap();
    group.servers.push(NameServer { name: "n".into(), address, transport: Transport::Udp });
    group.on_demand = Some(OnDemand { valid: None, v4: true, v6: false, timeout: PATIENCE });
    discovery.replace(&[], &[group]);
    let answer = names.lookup("r", "app.test", Duration::from_millis(50)).await;
    assert_eq!(answer, Err(NameError::TimedOut));
}

#[tokio::test]
async fn servers_follow_their_name() {
    let service = NameService::default();
    service.set("app.test", &[[127, 0, 0, 1]]);
    let address = ServerAddress::Name("app.test".into(), 81);
    let mut server = plan::Server::new(Place::none(), "app", 1, address);
    server.lookup.resolvers = Some("r".into());
    server.smooth = Some(Box::new(SmoothServer { every_address: true, ..SmoothServer::new("app.test:81") }));
    let plan = plan::Pool {
        servers: vec![server],
        balance: Balance::Smooth(Box::default()),
        ..plan::Pool::default()
    };
    let pool = Arc::new(Pool::build(&plan, 1, None, &|_| None, Arc::new(NoObserver)));
    let (_names, _discovery) = running(&service, &[Arc::clone(&pool)]).await;
    becomes(&pool, &["127.0.0.1:81"]).await;
    service.set("app.test", &[[127, 0, 0, 2], [127, 0, 0, 3]]);
    becomes(&pool, &["127.0.0.2:81", "127.0.0.3:81"]).await;
}

/// Waits until the pool has these servers.
async fn becomes(pool: &Pool, expected: &[&str]) {
    let wait = async {
        loop {
            let now: Vec<String> = pool.instances("app").iter().map(|i| i.address.to_string()).collect();
            if now == expected {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}
