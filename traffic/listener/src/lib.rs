//! Sockets in: binding, accepting, the PROXY protocol. What a client says after that is for `web` and `stream`.
//!
//! ```text
//! plan::Bind ──bind──► Socket ──serve (one per worker)──► Accepted ──► handler
//! ```
//!
//! One listening socket per address, shared by all workers: each worker watches its own duplicate of the
//! descriptor. A socket per worker (SO_REUSEPORT) would spread connections better, but closing one of them
//! at a reload loses the connections in its queue.

#![forbid(unsafe_code)]

mod accept;
mod account;
mod datagram;
mod flow;
mod pace;
mod peer;
mod prelude;
mod quota;
mod seat;
mod socket;

pub use accept::{Accepted, Accepting, Intake, Told, Trouble, serve};
pub use account::{group_id, user_id};
pub use datagram::MAX_DATAGRAM;
pub use flow::{Arrived, DatagramIntake, Flow, MAX_FLOWS, Parting, Sink, WAITING, serve_datagrams};
pub use pace::Pace;
pub use peer::Peer;
pub use quota::{Gates, Quota, Ticket};
pub use seat::{At, Seat};
pub use socket::{BindError, Socket, adopt, bind, bind_for};
