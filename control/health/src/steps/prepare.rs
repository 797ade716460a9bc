//! What a probe asks, as steps. The checks of known protocols become steps here; their numbers are those that readers
//! of HAProxy's check log lines know.

use super::talk::Talk;
use plan::check::{
    CheckConnect, Expect, Expectation, HttpCheckRequest, MysqlProtocol, Probe, ScriptProtocol, Step, StepAct,
};
use wire::{ldap, mysql, postgres, redis, tls_hello};

/// A check, ready to run.
#[derive(Debug)]
pub struct Prepared<'p> {
    /// The steps in order.
    pub(super) steps: Vec<Ready<'p>>,
    /// Log texts name the step at which a check failed.
    pub(super) tells_steps: bool,
    /// A 404 passes on a condition.
    pub(super) stop_on_404: bool,
    /// Requests tell the server's state.
    pub(super) send_state: bool,
    /// HTTP is spoken.
    pub(super) http: bool,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Ready<'p> {
    pub act: Act<'p>,
    pub comment: Option<&'p str>,
    /// It was not said, so it has no number.
    pub implied: bool,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Act<'p> {
    /// Of the plan.
    Said(&'p StepAct),
    /// Connects as traffic does.
    Connect,
    /// Sends bytes.
    Bytes(Vec<u8>),
    /// Sends the request that nothing was said about.
    DefaultRequest(HttpCheckRequest),
    /// Expects what HTTP checks expect when nothing is said.
    DefaultExpect(Expect),
    /// Expects a word of a known protocol.
    Talk(Talk),
}

/// The steps of a probe; `random` makes greetings new. `None` for programs, which are no talk.
pub fn prepare(probe: &Probe, random: u64) -> Option<Prepared<'_>> {
    use Act::{Bytes, Connect};
    let steps = match probe {
        Probe::Program(_) => return None,
        Probe::Tcp => vec![implied(Connect)],
        Probe::Script(script) => {
            return Some(Prepared {
                steps: match script.protocol {
                    ScriptProtocol::Bytes => of_bytes(&script.steps),
                    ScriptProtocol::Http => of_http(&script.steps),
                },
                tells_steps: script.protocol == ScriptProtocol::Bytes,
                stop_on_404: script.stop_on_404,
                send_state: script.send_state,
                http: script.protocol == ScriptProtocol::Http,
            });
        }
        Probe::Postgres { user } => {
            let mut packet = Vec::new();
            postgres::write_startup(&mut packet, user.as_bytes());
            vec![said(Connect), said(Bytes(packet)), said(Act::Talk(Talk::Postgres))]
        }
        Probe::Redis => {
            vec![implied(Connect), said(Bytes(redis::PING.to_vec())), said(Act::Talk(Talk::Redis))]
        }
        Probe::Mysql(None) => vec![said(Connect), said(Act::Talk(Talk::MysqlGreeting))],
        Probe::Mysql(Some(login)) => {
            let form = match login.protocol {
                MysqlProtocol::Old => mysql::Login::Old,
                MysqlProtocol::V41 => mysql::Login::V41,
                MysqlProtocol::V80 => mysql::Login::V80,
            };
            let mut packet = Vec::new();
            mysql::write_login(&mut packet, login.user.as_bytes(), form);
            let (greeting, result) = (Act::Talk(Talk::MysqlGreeting), Act::Talk(Talk::MysqlResult));
            // The login goes out at once, as HAProxy's: what stands between may wait for the first bytes.
            vec![said(Connect), said(Bytes(packet)), said(greeting), said(result)]
        }
        Probe::Smtp { hello } => vec![
            said(Connect),
            said(Act::Talk(Talk::SmtpLine)),
            said(Act::Talk(Talk::SmtpGreeting)),
            said(Bytes(format!("{hello}\r\n").into_bytes())),
            said(Act::Talk(Talk::SmtpHello)),
            said(Bytes(b"QUIT\r\n".to_vec())),
            said(Act::Talk(Talk::SmtpQuit)),
        ],
        Probe::Ldap => {
            vec![implied(Connect), said(Bytes(ldap::BIND.to_vec())), said(Act::Talk(Talk::Ldap))]
        }
        Probe::TlsHello => {
            let mut seed = [0; 32];
            seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&random.to_le_bytes()));
            let mut hello = Vec::new();
            tls_hello::write_hello(&mut hello, &seed);
            vec![implied(Connect), said(Bytes(hello)), said(Act::Talk(Talk::TlsHello))]
        }
    };
    Some(Prepared { steps, tells_steps: false, stop_on_404: false, send_state: false, http: false })
}

fn said(act: Act<'_>) -> Ready<'_> {
    Ready { act, comment: None, implied: false }
}

fn implied(act: Act<'_>) -> Ready<'_> {
    Ready { act, comment: None, implied: true }
}

fn planned(step: &Step) -> Ready<'_> {
    Ready { act: Act::Said(&step.act), comment: step.comment.as_deref(), implied: false }
}

/// The rules, behind a connection if they do not begin with one.
fn of_bytes(steps: &[Step]) -> Vec<Ready<'_>> {
    let connects = steps.iter().any(|step| matches!(step.act, StepAct::Connect(_)));
    let first = (!connects).then(|| implied(Act::Connect));
    first.into_iter().chain(steps.iter().map(planned)).collect()
}

/// The rules; what is missing of connecting, asking and expecting is put in.
fn of_http(steps: &[Step]) -> Vec<Ready<'_>> {
    let mut ready: Vec<Ready<'_>> = Vec::new();
    let connects = steps.iter().any(|step| matches!(step.act, StepAct::Connect(_)));
    let (mut connected, mut asked, mut judged) = (false, false, false);
    for step in steps {
        match &step.act {
            StepAct::Connect(_) => {
                if asked && !judged {
                    ready.push(implied(Act::DefaultExpect(success())));
                }
                (connected, asked, judged) = (true, false, false);
            }
            StepAct::Request(_) | StepAct::Expect(_) if !connected && !connects => {
                ready.push(implied(Act::Connect));
                connected = true;
            }
            _ => {}
        }
        match &step.act {
            StepAct::Request(_) if asked => {
                // One connection serves one request.
                if !judged {
                    ready.push(implied(Act::DefaultExpect(success())));
                }
                ready.push(implied(Act::Connect));
                judged = false;
            }
            StepAct::Request(_) => asked = true,
            StepAct::Expect(_) => {
                if !asked {
                    ready.push(implied(Act::DefaultRequest(HttpCheckRequest::default())));
                    asked = true;
                }
                judged = true;
            }
            _ => {}
        }
        ready.push(planned(step));
    }
    if !connected && !connects {
        ready.push(implied(Act::Connect));
    }
    if !asked {
        ready.push(implied(Act::DefaultRequest(HttpCheckRequest::default())));
    }
    if !judged {
        ready.push(implied(Act::DefaultExpect(success())));
    }
    ready
}

/// 2xx and 3xx.
fn success() -> Expect {
    Expect::from(Expectation::Status(vec![(200, 399)]))
}

/// How a step connects that says nothing about it.
pub(super) fn plain_connect() -> CheckConnect {
    CheckConnect { as_server: true, ..CheckConnect::default() }
}
