//! The check by a program: run without a shell, with an environment of its own, killed at the deadline. Its exit status
//! judges; what it prints goes nowhere.

use super::{Attempt, Verdict};
use crate::steps::Subject;
use plan::check::CheckProgram;
use pool::{CheckStatus, ServerEndpoint};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;

/// What a check by a program is told where there is nothing to tell.
const NOT_USED: &str = "NOT_USED";

/// Runs the program and waits for its end.
pub(super) async fn check(
    attempt: &mut Attempt<'_>,
    program: &CheckProgram,
    subject: &Subject,
) -> Result<Verdict, Verdict> {
    attempt.late = CheckStatus::ProcTimeout;
    if let Some(answer) = attempt.limits.answer {
        attempt.deadline = attempt.began + answer;
    }
    let mut command = command(program, &attempt.target.endpoint, subject);
    let mut child = command.spawn().map_err(|error| {
        let text = format!("cannot run {}: {error}", program.command);
        Verdict::new(CheckStatus::ProcErr, None, text)
    })?;
    // Dropped at the deadline, it is killed.
    let ended = attempt.within(child.wait()).await?;
    match ended {
        Ok(status) => Ok(judge(status)),
        Err(error) => Err(Verdict::new(CheckStatus::ProcErr, None, error.to_string())),
    }
}

fn judge(status: ExitStatus) -> Verdict {
    match status.code() {
        Some(0) => Verdict::new(CheckStatus::ProcOk, 0, ""),
        Some(code) => Verdict::new(CheckStatus::ProcErr, u16::try_from(code).ok(), ""),
        None => Verdict::new(CheckStatus::ProcErr, None, "the program was killed"),
    }
}

/// The program with what it is told: arguments and variables, as HAProxy's manual lists them.
fn command(program: &CheckProgram, endpoint: &ServerEndpoint, subject: &Subject) -> Command {
    let (address, port) = match endpoint {
        ServerEndpoint::Tcp(address) => (address.ip().to_string(), address.port().to_string()),
        ServerEndpoint::Unix(path) => (path.display().to_string(), NOT_USED.to_owned()),
    };
    let (site_address, site_port) = match &program.listener {
        Some((address, port)) => (address.as_str(), port.as_str()),
        None => (NOT_USED, NOT_USED),
    };
    let mut command = Command::new(resolved(program));
    command.args([site_address, site_port, &address, &port]);
    if !program.keep_environment {
        command.env_clear();
    }
    let told = |text: &str| OsString::from(if text == NOT_USED { "" } else { text });
    command
        .env("PATH", &program.path)
        .env("HAPROXY_PROXY_ADDR", told(site_address))
        .env("HAPROXY_PROXY_PORT", told(site_port))
        .env("HAPROXY_PROXY_NAME", &subject.pool)
        .env("HAPROXY_PROXY_ID", subject.pool_id.to_string())
        .env("HAPROXY_SERVER_ADDR", &address)
        .env("HAPROXY_SERVER_PORT", told(&port))
        .env("HAPROXY_SERVER_NAME", &subject.server)
        .env("HAPROXY_SERVER_ID", subject.server_id.to_string())
        .env("HAPROXY_SERVER_CURCONN", subject.connections.to_string())
        .env("HAPROXY_SERVER_MAXCONN", subject.max_connections.to_string())
        .env("HAPROXY_SERVER_SSL", "0")
        .env("HAPROXY_SERVER_PROTO", if subject.http { "h1" } else { "tcp" })
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A bare name is looked for in the `PATH` of the check, not in ours.
fn resolved(program: &CheckProgram) -> OsString {
    let name = &program.command;
    if name.contains('/') {
        return name.into();
    }
    let found =
        std::env::split_paths(&program.path).map(|folder| folder.join(name)).find(|path| path.is_file());
    // Without one the name stays what it is in an empty PATH: not found.
    found.map_or_else(|| format!("./{name}").into(), Into::into)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::probe::{Limits, Target};
    use plan::check::Probe;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    async fn run(script: &str, wait: Duration) -> (CheckStatus, Option<u16>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check.sh");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let probe = Probe::Program(CheckProgram {
            command: "check.sh".into(),
            path: folder.path().display().to_string(),
            keep_environment: false,
            listener: Some(("127.0.0.1".into(), "80".into())),
        });
        let endpoint = ServerEndpoint::Tcp("10.0.0.9:81".parse().unwrap());
        let subject = Subject { pool: "be".into(), server: "s".into(), ..Subject::default() };
        let limits = Limits { connect: wait, answer: None };
        let target = Target::new(&endpoint, None, None);
        let finding = crate::probe::check(&target, &probe, &subject, limits).await;
        (finding.status, finding.code)
    }

    #[tokio::test]
    async fn the_exit_status_judges() {
        let patient = Duration::from_secs(20);
        let told = "[ \"$*\" = '127.0.0.1 80 10.0.0.9 81' ] && [ $HAPROXY_PROXY_NAME/$HAPROXY_SERVER_NAME = be/s ] \
                    && [ -z \"$HOME$CARGO_MANIFEST_DIR\" ]";
        assert_eq!(run(told, patient).await, (CheckStatus::ProcOk, Some(0)));
        assert_eq!(run("exit 3", patient).await, (CheckStatus::ProcErr, Some(3)));
        assert_eq!(run("kill -9 $$", patient).await, (CheckStatus::ProcErr, None));
        assert_eq!(run("while :; do :; done", Duration::from_millis(200)).await.0, CheckStatus::ProcTimeout);
    }
}
