//! The sample application: one instance of a small web service that a balancer stands in front of.
//!
//! People start it by hand or by `make demo`; the end-to-end tests start several and break them on
//! purpose. Each instance has a name, so that one can see which of them answered.

mod accounts;
mod application;
mod dependencies;
mod dialogs;
mod faults;
mod options;
mod pages;
mod token;
mod work;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use application::Application;
use options::Options;

/// How long open requests may take to finish after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&format!("demo: {problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let address = options.listen;
    let application = Arc::new(Application::new(options)?);
    let listener = TcpListener::bind(address).await.map_err(|e| format!("listen on {address}: {e}"))?;
    say(&format!("demo: {} listens on {address}", application.name));
    let listener = listener.tap_io(|connection| {
        // Small answers must not wait for more. A connection that is already gone tells so on first use.
        let _ = connection.set_nodelay(true);
    });
    let serving =
        axum::serve(listener, application::routes(application)).with_graceful_shutdown(stop_asked());
    tokio::select! {
        served = serving.into_future() => served.map_err(|e| format!("serve {address}: {e}")),
        () = stop_limit() => Ok(()),
    }
}

/// Ends when SIGTERM or SIGINT arrives.
async fn stop_asked() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

async fn stop_limit() {
    stop_asked().await;
    tokio::time::sleep(STOP_LIMIT).await;
}

#[expect(clippy::print_stderr, reason = "this is the program's only way to talk to its operator")]
fn say(line: &str) {
    eprintln!("{line}");
}
