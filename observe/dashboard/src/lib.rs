//! Views of one moment of the process: functions from a [`Snapshot`] to text. No I/O, no clock.
//!
//! | view | function |
//! |---|---|
//! | statistics page | [`page::html`] |
//! | `;csv`, `show stat` | [`rows::csv`], [`rows::typed`], [`rows::json`] |
//! | `show info` | [`info::info`], [`info::info_typed`], [`info::info_json`] |
//! | `show servers state`, `show servers conn` | [`servers::servers_state`], [`servers::servers_conn`] |
//! | `show schema json` | [`schema::schema`] |
//! | Prometheus | [`metrics::prometheus`] |
//! | nginx `stub_status` | [`info::stub_status`] |
//!
//! [`request`] reads what a browser asks the statistics page for.

pub mod checks;
mod columns;
pub mod info;
pub mod metrics;
pub mod page;
pub mod request;
pub mod rows;
#[cfg(test)]
mod sample;
pub mod schema;
pub mod servers;
pub mod view;

pub use metrics::Scopes;
pub use page::PageOptions;
pub use request::{Form, FormAction, Outcome, PageForm, PageRequest};
pub use rows::{Row, RowKind, Selection};
pub use view::{
    Admin, CheckView, FlowView, Health, PoolView, ProcessView, ServerView, SiteStatus, SiteView, Snapshot,
};
