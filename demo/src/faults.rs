//! POST /fault: tests tell this instance to misbehave. Only with `--allow-faults`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::application::Shared;

/// How to misbehave, as POST /fault says it. All of them but `health` hit every route except /fault.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Fault {
    /// Behave.
    #[default]
    None,
    /// Accept requests and never answer.
    Hang,
    /// Answer after a delay.
    Slow {
        /// The delay.
        ms: u64,
    },
    /// Answer with an error; /health stays good.
    Fail {
        /// The status to answer with, 500 if not given.
        status: Option<u16>,
    },
    /// Only /health fails.
    Health,
}

/// The fault in force, changed while requests run.
#[derive(Default)]
pub struct FaultSwitch {
    fault: Mutex<Fault>,
}

impl FaultSwitch {
    /// Whether /health must answer 503.
    pub fn spoils_health(&self) -> bool {
        self.now() == Fault::Health
    }

    fn now(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// POST /fault with `{"kind": …}`.
pub async fn set(State(application): State<Shared>, Json(fault): Json<Fault>) -> StatusCode {
    application.fault.set(fault);
    StatusCode::NO_CONTENT
}

/// Stands before every other route.
pub async fn apply(State(application): State<Shared>, request: Request, next: Next) -> Response {
    match application.fault.now() {
        Fault::None | Fault::Health => {}
        Fault::Hang => std::future::pending().await,
        Fault::Slow { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
        Fault::Fail { status } if request.uri().path() != "/health" => return failure(status),
        Fault::Fail { .. } => {}
    }
    next.run(request).await
}

fn failure(status: Option<u16>) -> Response {
    let code = status.and_then(|code| StatusCode::from_u16(code).ok());
    (code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "failing as told\n").into_response()
}
