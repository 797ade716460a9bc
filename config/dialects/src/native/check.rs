//! Health checks: what is asked (of a pool), when (of a pool or a server), and agents.

use super::form::{Fields, Fieldset, read_list, write_list};
use super::leaf;
use plan::check::{
    AgentCheck, Check, CheckProgram, Expect, HttpCheckRequest, MysqlLogin, MysqlProtocol, Probe, Script,
    ScriptProtocol, Step, StepAct,
};
use std::time::Duration;

use super::reader::Reader;
use super::yaml::Node;

/// Interval of agents that is left out.
const AGENT_INTERVAL: Duration = Duration::from_secs(2);

/// What a pool says about checks: what is asked, and the schedule of servers that say no other.
#[derive(Clone, Default)]
pub(super) struct PoolCheck {
    pub(super) probe: Option<Probe>,
    pub(super) schedule: Check,
    /// Servers are checked only when they say so.
    pub(super) off: bool,
}

impl Fieldset for PoolCheck {
    fn blank() -> PoolCheck {
        PoolCheck::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let mut parts = ProbeParts::of(self.probe.as_ref());
        parts.fields(f);
        match parts.probe() {
            Ok(probe) => self.probe = probe,
            Err(what) => f.refuse(what, ""),
        }
        self.schedule.fields(f);
        f.flag("off", &mut self.off);
    }
}

impl Fieldset for Check {
    fn blank() -> Check {
        Check::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Check { interval, fast_interval, down_interval, rise, fall, address, port, send_proxy } = self;
        let default = Check::default();
        f.value("every", interval, &default.interval);
        f.option("every_while_changing", fast_interval);
        f.option("every_while_down", down_interval);
        f.value("rise", rise, &default.rise);
        f.value("fall", fall, &default.fall);
        f.option("address", address);
        f.option("port", port);
        f.option("send_proxy", send_proxy);
        if *rise == 0 || *fall == 0 {
            f.refuse("'rise' and 'fall' are at least 1", "");
        }
    }
}

/// The ways to say what is asked.
#[derive(Default)]
struct ProbeParts {
    tcp: bool,
    http: Option<HttpCheckRequest>,
    expect: Option<Expect>,
    steps: Option<Vec<Step>>,
    bytes: Option<Vec<Step>>,
    send_state: bool,
    stop_on_404: bool,
    postgres: Option<String>,
    redis: bool,
    mysql: Option<MysqlForm>,
    smtp: Option<String>,
    ldap: bool,
    tls_hello: bool,
    program: Option<ProgramForm>,
}

impl ProbeParts {
    fn of(probe: Option<&Probe>) -> ProbeParts {
        let mut parts = ProbeParts::default();
        match probe {
            None => {}
            Some(Probe::Tcp) => parts.tcp = true,
            Some(Probe::Redis) => parts.redis = true,
            Some(Probe::Ldap) => parts.ldap = true,
            Some(Probe::TlsHello) => parts.tls_hello = true,
            Some(Probe::Postgres { user }) => parts.postgres = Some(user.clone()),
            Some(Probe::Smtp { hello }) => parts.smtp = Some(hello.clone()),
            Some(Probe::Mysql(login)) => parts.mysql = Some(MysqlForm(login.clone())),
            Some(Probe::Program(program)) => parts.program = Some(ProgramForm(program.clone())),
            Some(Probe::Script(script)) => parts.script(script),
        }
        parts
    }

    fn script(&mut self, script: &Script) {
        (self.send_state, self.stop_on_404) = (script.send_state, script.stop_on_404);
        let steps = script.steps.clone();
        let acts: Vec<&StepAct> =
            script.steps.iter().filter(|step| step.comment.is_none()).map(|step| &step.act).collect();
        match (script.protocol, acts.as_slice()) {
            (ScriptProtocol::Bytes, _) => self.bytes = Some(steps),
            (_, acts) if acts.len() < steps.len() => self.steps = Some(steps),
            (_, [StepAct::Request(request)]) => self.http = Some(request.clone()),
            (_, [StepAct::Expect(expect)]) => self.expect = Some(expect.clone()),
            (_, [StepAct::Request(request), StepAct::Expect(expect)]) => {
                self.http = Some(request.clone());
                self.expect = Some(expect.clone());
            }
            _ => self.steps = Some(steps),
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let steps = |f: &mut Fields<'_, '_>, name, slot: &mut Option<Vec<Step>>| {
            f.with(
                name,
                slot,
                |node: &Node, reader: &mut Reader<'_>| Some(Some(read_list(node, reader))),
                |steps, writer| steps.as_ref().map(|steps| write_list(steps, writer).block()),
            );
        };
        f.flag("tcp", &mut self.tcp);
        f.option("http", &mut self.http);
        f.option("expect", &mut self.expect);
        steps(f, "steps", &mut self.steps);
        steps(f, "bytes", &mut self.bytes);
        f.flag("send_state", &mut self.send_state);
        f.flag("stop_on_404", &mut self.stop_on_404);
        f.option("postgres", &mut self.postgres);
        f.flag("redis", &mut self.redis);
        f.option("mysql", &mut self.mysql);
        f.option("smtp", &mut self.smtp);
        f.flag("ldap", &mut self.ldap);
        f.flag("tls_hello", &mut self.tls_hello);
        f.option("program", &mut self.program);
    }

    fn probe(self) -> Result<Option<Probe>, &'static str> {
        let http = self.http.is_some() || self.expect.is_some();
        let one = self.http.map(StepAct::Request).into_iter().chain(self.expect.map(StepAct::Expect));
        let (send_state, stop_on_404) = (self.send_state, self.stop_on_404);
        let script = |protocol, steps| Probe::Script(Script { protocol, steps, send_state, stop_on_404 });
        let said = [
            self.tcp.then_some(Probe::Tcp),
            http.then(|| script(ScriptProtocol::Http, one.map(Step::from).collect())),
            self.steps.map(|steps| script(ScriptProtocol::Http, steps)),
            self.bytes.map(|steps| script(ScriptProtocol::Bytes, steps)),
            self.postgres.map(|user| Probe::Postgres { user }),
            self.redis.then_some(Probe::Redis),
            self.mysql.map(|login| Probe::Mysql(login.0)),
            self.smtp.map(|hello| Probe::Smtp { hello }),
            self.ldap.then_some(Probe::Ldap),
            self.tls_hello.then_some(Probe::TlsHello),
            self.program.map(|program| Probe::Program(program.0)),
        ];
        let mut said = said.into_iter().flatten();
        match (said.next(), said.next()) {
            (_, Some(_)) => {
                Err("a check asks one thing: tcp, http (and expect), steps, bytes, postgres, redis, \
                mysql, smtp, ldap, tls_hello or program")
            }
            (probe, None) => Ok(probe),
        }
    }
}

/// `true`, or the user who logs in.
#[derive(Clone)]
struct MysqlForm(Option<MysqlLogin>);

const MYSQL: &[(&str, MysqlProtocol)] =
    &[("4.1", MysqlProtocol::V41), ("before-4.1", MysqlProtocol::Old), ("8.0", MysqlProtocol::V80)];

impl Fieldset for MysqlForm {
    fn blank() -> MysqlForm {
        MysqlForm(None)
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let login = self.0.take();
        let mut protocol = login.as_ref().map_or(MysqlProtocol::V41, |login| login.protocol);
        let mut user = login.map(|login| login.user);
        f.option("user", &mut user);
        f.with(
            "protocol",
            &mut protocol,
            |node, reader| leaf::word(node, "4.1, before-4.1 or 8.0", MYSQL, reader),
            |protocol, _| {
                (*protocol != MysqlProtocol::V41)
                    .then(|| super::emit::Out::word(leaf::name_of(protocol, MYSQL)))
            },
        );
        self.0 = user.map(|user| MysqlLogin { user, protocol });
    }
}

/// The program, or a map.
#[derive(Clone)]
struct ProgramForm(CheckProgram);

impl Fieldset for ProgramForm {
    const MAIN: &'static str = "command";

    fn blank() -> ProgramForm {
        ProgramForm(CheckProgram {
            command: String::new(),
            path: String::new(),
            keep_environment: false,
            listener: None,
        })
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let CheckProgram { command, path, keep_environment, listener } = &mut self.0;
        f.required("command", command);
        f.value("path", path, &String::new());
        f.flag("keep_environment", keep_environment);
        let mut address = listener.as_ref().map(|(address, _)| address.clone());
        let mut port = listener.as_ref().map(|(_, port)| port.clone());
        f.option("site_address", &mut address);
        f.option("site_port", &mut port);
        *listener = address.map(|address| (address, port.unwrap_or_default()));
    }
}

impl Fieldset for AgentCheck {
    const MAIN: &'static str = "port";

    fn blank() -> AgentCheck {
        AgentCheck { port: 0, address: None, interval: AGENT_INTERVAL, send: None }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let AgentCheck { port, address, interval, send } = self;
        f.required("port", port);
        f.option("address", address);
        f.value("every", interval, &AGENT_INTERVAL);
        f.option("send", send);
    }
}
