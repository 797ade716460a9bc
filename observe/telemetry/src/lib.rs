//! What happened, as values: counters, causes, records of requests, events. A leaf that all may use.
//!
//! Log lines, metrics, the statistics page and alerts are drawn from these. Only [`sink`] does I/O.

pub mod cause;
pub mod clock;
pub mod counters;
pub mod event;
pub mod invalid;
pub mod json;
pub mod process;
pub mod rates;
pub mod record;
pub mod sink;

pub use cause::Cause;
pub use clock::{LogClock, Zone};
pub use counters::{Counter, FlowCell, FlowStats, Gauge, SiteCell, SiteStats};
pub use event::{Event, Events};
pub use invalid::{Invalid, Invalids};
pub use process::{ProcessCell, ProcessStats};
pub use rates::{RateKey, RateSet, Rates, Readings};
pub use record::{Line, LogProcess, Record, RequestLine, Timers, write_line};
pub use sink::{LogFiles, LogHub, LogIdentity, LogQueue, LogRoute, SinkError};
