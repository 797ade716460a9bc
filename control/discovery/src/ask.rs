//! One question to one name server: a socket of its own with a random port and a random id, so that an answer
//! cannot be guessed (RFC 5452). Called by the task; the time-out is its business.

use crate::counters::{Running, count};
use crate::message::{self, Reply, Unfit, Wanted};
use plan::resolver::{NameServer, Transport};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Datagrams that do not match before it is taken for an attack and given up.
const MAX_FOREIGN: u32 = 64;

/// An id that nobody can guess: from the generator that the operating system seeds.
pub(crate) fn random_id() -> u16 {
    hickory_proto::op::Message::query().metadata.id
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub name: String,
    pub wanted: Wanted,
    pub id: u16,
    pub payload_bytes: u16,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Heard {
    pub reply: Result<Reply, Trouble>,
    /// It was asked again over a connection.
    pub cut: bool,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The system would not send it, or the other side closed.
    System,
    /// The name cannot be asked for.
    Name,
    /// What came was no answer.
    Foreign,
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Trouble {
        Trouble::System
    }
}

/// Asks and waits for the answer, without a limit of time.
pub(crate) async fn ask(server: &NameServer, question: &Question, counters: &Running) -> Heard {
    let mut heard = Heard { reply: Err(Trouble::Name), cut: false };
    let Some(bytes) = message::question(question.id, &question.name, question.wanted, question.payload_bytes)
    else {
        return heard;
    };
    if server.transport == Transport::Udp {
        match by_datagram(server.address, &bytes, question, counters).await {
            Ok(Ok(reply)) => heard.reply = Ok(reply),
            Ok(Err(Unfit::Cut)) => heard.cut = true,
            Ok(Err(Unfit::Foreign)) => heard.reply = Err(Trouble::Foreign),
            Err(error) => heard.reply = Err(error.into()),
        }
        if !heard.cut {
            return heard;
        }
    }
    heard.reply = by_connection(server.address, &bytes, question).await;
    heard
}

async fn by_datagram(
    to: SocketAddr,
    bytes: &[u8],
    question: &Question,
    counters: &Running,
) -> io::Result<Result<Reply, Unfit>> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: the kernel drops what comes from elsewhere.
    socket.connect(to).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(question.payload_bytes).max(512)];
    let mut foreign = 0;
    loop {
        let length = socket.recv(&mut buffer).await?;
        match message::answer(&buffer[..length], question.id, &question.name, question.wanted) {
            Err(Unfit::Foreign) if foreign < MAX_FOREIGN => {
                foreign += 1;
                count(&counters.invalid);
            }
            answer => return Ok(answer),
        }
    }
}

async fn by_connection(to: SocketAddr, bytes: &[u8], question: &Question) -> Result<Reply, Trouble> {
    let mut stream = TcpStream::connect(to).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Trouble::Name)?;
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    message::answer(&buffer, question.id, &question.name, question.wanted).map_err(|_| Trouble::Foreign)
}
