//! POST /work: work that must not be done twice, and GET /stats that tells what was done.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::application::Shared;

/// What was executed here. With a journal this outlives the process, even a killed one.
pub struct WorkLog {
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    ids: HashSet<String>,
    executed: u64,
    duplicates: u64,
    journal: Option<File>,
}

/// Query of POST /work.
#[derive(Deserialize)]
pub struct Effort {
    /// How long the work takes.
    #[serde(default)]
    ms: u64,
}

impl WorkLog {
    /// Reads what an earlier process wrote to the journal and goes on with it.
    pub fn open(journal: Option<&Path>) -> Result<Self, String> {
        let mut done = Done::default();
        if let Some(path) = journal {
            for id in fs::read_to_string(path).unwrap_or_default().lines() {
                done.note(id);
            }
            let file = OpenOptions::new().create(true).append(true).open(path);
            done.journal = Some(file.map_err(|e| format!("open journal {}: {e}", path.display()))?);
        }
        Ok(Self { done: Mutex::new(done) })
    }

    fn record(&self, id: &str) -> std::io::Result<()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = &mut done.journal {
            journal.write_all(format!("{id}\n").as_bytes())?;
        }
        done.note(id);
        Ok(())
    }
}

impl Done {
    fn note(&mut self, id: &str) {
        self.executed += 1;
        if !self.ids.insert(id.to_owned()) {
            self.duplicates += 1;
        }
    }
}

/// POST /work?ms=N with `X-Request-Id`. It counts as executed when it begins: what follows may be cut off.
pub async fn execute(
    State(application): State<Shared>,
    Query(effort): Query<Effort>,
    headers: HeaderMap,
) -> Response {
    let Some(id) = headers.get("x-request-id").and_then(|value| value.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "X-Request-Id is missing\n").into_response();
    };
    if let Err(error) = application.work.record(id) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("write journal: {error}\n")).into_response();
    }
    if effort.ms > 0 {
        tokio::time::sleep(Duration::from_millis(effort.ms)).await;
    }
    application.name.clone().into_response()
}

/// GET /stats.
pub async fn stats(State(application): State<Shared>) -> Response {
    let done = application.work.done.lock().unwrap_or_else(PoisonError::into_inner);
    let body = json!({
        "requests": application.requests.load(Ordering::Relaxed),
        "posts_executed": done.executed,
        "duplicates": done.duplicates,
    });
    Json(body).into_response()
}
