//! A name server that says what a story wants, or nothing, or lies.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What it does with questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Answers from its records.
    #[default]
    Honest,
    /// Says nothing.
    Silent,
    /// Says that no name exists.
    Missing,
    /// Refuses.
    Refusing,
    /// Sends bytes that are no answers, and answers to other questions.
    Raving,
}

#[derive(Default)]
struct Records {
    hosts: HashMap<String, Vec<Ipv4Addr>>,
    services: HashMap<String, Vec<(String, u16, u16)>>,
    mood: Mood,
}

/// A name server on a port of its own; ends when it is dropped.
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    records: Arc<Mutex<Records>>,
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts it without records.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let (records, asked, stop) = (Arc::default(), Arc::default(), Arc::default());
        let inner = (Arc::clone(&records), Arc::clone(&asked), Arc::clone(&stop));
        let thread = thread::spawn(move || serve(&socket, &inner.0, &inner.1, &inner.2));
        Self { address, records, asked, stop, thread: Some(thread) }
    }

    /// These are the addresses of a name from now on.
    pub fn host(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        self.records.lock().unwrap().hosts.insert(name.to_owned(), addresses);
    }

    /// These are the instances of a service: host, port, weight.
    pub fn service(&self, name: &str, instances: &[(&str, u16, u16)]) {
        let instances = instances.iter().map(|(host, port, weight)| ((*host).to_owned(), *port, *weight));
        self.records.lock().unwrap().services.insert(name.to_owned(), instances.collect());
    }

    /// What it does from now on.
    pub fn mood(&self, mood: Mood) {
        self.records.lock().unwrap().mood = mood;
    }

    /// Questions that came.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until that many more questions have come.
    pub fn wait_for(&self, more: u64) {
        let goal = self.asked() + more;
        crate::eventually("the name server is asked", || self.asked() >= goal);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(socket: &UdpSocket, records: &Mutex<Records>, asked: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        asked.fetch_add(1, Ordering::Relaxed);
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        for answer in answers(&records.lock().unwrap(), question) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn answers(records: &Records, question: Message) -> Vec<Vec<u8>> {
    let code = |code| {
        let mut answer = question.clone().into_response();
        answer.metadata.response_code = code;
        vec![answer.to_vec().unwrap()]
    };
    match records.mood {
        Mood::Silent => Vec::new(),
        Mood::Missing => code(ResponseCode::NXDomain),
        Mood::Refusing => code(ResponseCode::Refused),
        Mood::Raving => {
            let mut other = question.clone().into_response();
            other.metadata.id = other.metadata.id.wrapping_add(1);
            let mut foreign = question.clone().into_response();
            foreign.queries[0].set_name(name("evil.test"));
            foreign.add_answer(Record::from_rdata(name("evil.test"), 1, a(Ipv4Addr::new(192, 0, 2, 66))));
            vec![vec![0xff; 40], Vec::new(), other.to_vec().unwrap(), foreign.to_vec().unwrap()]
        }
        Mood::Honest => vec![honest(records, question).to_vec().unwrap()],
    }
}

fn honest(records: &Records, question: Message) -> Message {
    let asked = question.queries[0].name().clone();
    let kind = question.queries[0].query_type();
    let text = asked.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let mut answer = question.into_response();
    let record = |data| Record::from_rdata(asked.clone(), 1, data);
    match (records.hosts.get(&text), records.services.get(&text)) {
        (Some(hosts), _) if kind == RecordType::A => {
            answer.add_answers(hosts.iter().map(|ip| record(a(*ip))));
        }
        (_, Some(services)) if kind == RecordType::SRV => {
            answer.add_answers(
                services
                    .iter()
                    .map(|(host, port, weight)| record(RData::SRV(SRV::new(0, *weight, *port, name(host))))),
            );
        }
        (None, None) => answer.metadata.response_code = ResponseCode::NXDomain,
        _ => {}
    }
    answer
}

fn a(ip: Ipv4Addr) -> RData {
    RData::A(A(ip))
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}
