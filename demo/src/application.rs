//! What one instance knows, and which route leads where. Built in `main`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::accounts::Accounts;
use crate::dependencies::{Database, Redis};
use crate::faults::FaultSwitch;
use crate::options::Options;
use crate::work::WorkLog;
use crate::{accounts, dependencies, dialogs, faults, pages, work};

/// Handle by which every route reaches the instance.
pub type Shared = Arc<Application>;

/// One running instance.
pub struct Application {
    /// Name given on the command line.
    pub name: String,
    /// PostgreSQL, if configured.
    pub database: Option<Database>,
    /// Redis, if configured.
    pub redis: Option<Redis>,
    /// Who may log in, and their tokens.
    pub accounts: Accounts,
    /// What POST /work has executed.
    pub work: WorkLog,
    /// The fault we were told to show.
    pub fault: FaultSwitch,
    /// Requests received, of any kind.
    pub requests: AtomicU64,
    allow_faults: bool,
}

impl Application {
    /// Opens the files that the options name. Errors say which file, and why.
    pub fn new(options: Options) -> Result<Self, String> {
        Ok(Self {
            database: options.database.map(Database::new),
            redis: options.redis.map(Redis::new),
            accounts: Accounts::new(options.users.as_deref(), options.jwt_secret)?,
            work: WorkLog::open(options.journal.as_deref())?,
            fault: FaultSwitch::default(),
            requests: AtomicU64::new(0),
            allow_faults: options.allow_faults,
            name: options.name,
        })
    }
}

/// The routes of an instance.
pub fn routes(application: Shared) -> Router {
    let mut router = Router::new()
        .route("/", get(pages::home))
        .route("/whoami", get(pages::whoami))
        .route("/bytes/{count}", get(pages::bytes))
        .route("/echo", post(pages::echo))
        .route("/slow/{ms}", get(pages::slow))
        .route("/health", get(dependencies::health))
        .route("/api/v1/users", get(dependencies::users))
        .route("/api/v1/auth/login", post(accounts::login))
        .route("/api/v1/payments", post(accounts::pay))
        .route("/dialogs", get(dialogs::open))
        .route("/work", post(work::execute))
        .route("/stats", get(work::stats));
    if application.allow_faults {
        router = router
            .layer(middleware::from_fn_with_state(application.clone(), faults::apply))
            .route("/fault", post(faults::set));
    }
    router.layer(middleware::from_fn_with_state(application.clone(), count)).with_state(application)
}

async fn count(State(application): State<Shared>, request: Request, next: Next) -> Response {
    application.requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}
