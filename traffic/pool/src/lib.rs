//! The running form of [`plan::Pool`]: which server, a place at it, the queue, idle connections, connecting.
//!
//! `web` and `stream` ask here for a server; `health` and `admin` change what is known about servers.
//! State is shared by all workers, so sequences are exact whatever the number of threads; only
//! [`Idle`] belongs to one worker.
//!
//! ```text
//!   Pool::admit(Ask) ──► Served(Slot)   a place at a server; dropping it frees the place
//!                    ├─► Wait(Waiting)  a future that gives a Slot, first come first served
//!                    └─► Refused(Cause)
//! ```

mod balance;
mod budget;
mod choice;
mod clock;
mod connect;
pub mod facts;
mod hash;
mod idle;
mod instances;
mod key;
mod names;
mod observer;
mod passing;
mod pool;
mod queue;
mod report;
mod roster;
mod server;
mod sessions;
mod slot;
mod smooth;

pub use clock::Clock;
pub use connect::{ConnectError, Connection, Manner, connect, connect_as, connect_for, open_datagrams};
pub use idle::{Idle, IdleLimits, IdleRooms};
pub use instances::{Instance, is_template};
pub use key::{main_domain, uri_key};
pub use names::{NameError, Names, Request};
pub use observer::{Change, NoObserver, Observer, Outcome};
pub use passing::Passing;
pub use pool::{Admission, Ask, Pool};
pub use queue::{WaitReason, Waiting};
pub use report::{CheckReport, CheckStatus};
pub use roster::{AddError, RemoveError};
pub use server::{AdminCause, AdminState, Health, Server, ServerEndpoint};
pub use sessions::Sessions;
pub use slot::Slot;
pub use smooth::Journey;
