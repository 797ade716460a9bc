//! The desk: statistics pages, metrics and runtime commands look at and change the running cycle here.

use crate::checks::Checks;
use crate::cycle::{Cycle, Opened};
use crate::process::Process;
use crate::view;
use arc_swap::ArcSwapOption;
use dashboard::request::{Form, FormAction, Outcome, PageForm, PageRequest};
use dashboard::{PageOptions, Scopes, Snapshot};
use plan::site::Statistics;
use pool::{AdminCause, AdminState, Health, Pool, Server};
use std::sync::{Arc, OnceLock};
use web::{PagesAnswer, PagesRequest};

/// Looks at and changes the running cycle.
#[derive(Default)]
pub(crate) struct Desk {
    cycle: ArcSwapOption<Cycle>,
    process: OnceLock<Arc<Process>>,
    checks: OnceLock<Checks>,
}

impl Desk {
    /// The process begins.
    pub fn begin(&self, process: &Arc<Process>, cycle: &Arc<Cycle>, checks: &Checks) {
        let _ = self.process.set(Arc::clone(process));
        let _ = self.checks.set(checks.clone());
        self.show(cycle);
    }

    /// This is the running cycle from now on.
    pub fn show(&self, cycle: &Arc<Cycle>) {
        self.cycle.store(Some(Arc::clone(cycle)));
    }

    /// Everything at this moment; empty before the start.
    pub fn snapshot(&self) -> Snapshot {
        match (self.process.get(), self.cycle.load_full()) {
            (Some(process), Some(cycle)) => view::snapshot(process, &cycle),
            _ => Snapshot::default(),
        }
    }

    fn page(&self, holder: &str, page: &Statistics, request: &PageRequest, admin: bool) -> PagesAnswer {
        let snapshot = self.snapshot();
        let names: Vec<String> =
            page.scope.iter().map(|name| if name == "." { holder.into() } else { name.clone() }).collect();
        let rows = || dashboard::rows::rows(&snapshot, &request.selection(&names));
        let (content_type, body) = match request.form {
            PageForm::Csv => ("text/plain", dashboard::rows::csv(&rows())),
            PageForm::Json => ("application/json", dashboard::rows::json(&rows())),
            PageForm::Typed => ("text/plain", dashboard::rows::typed(&rows())),
            PageForm::Html => {
                let options = PageOptions {
                    path: page.path.clone(),
                    refresh_s: page.refresh.map(|d| d.as_secs()),
                    admin,
                    hide_version: page.hide_version,
                    node: page.node.clone(),
                    description: page.description.clone(),
                    legends: page.legends,
                    names,
                    offset_s: self.process.get().map_or(0, |p| p.hub.zone().offset_s()),
                };
                ("text/html; charset=utf-8", dashboard::page::html(&snapshot, request, &options))
            }
        };
        answer(200, content_type, body)
    }

    fn metrics(&self, query: &str) -> PagesAnswer {
        match Scopes::from_query(query) {
            Some(scopes) => {
                let text = dashboard::metrics::prometheus(&self.snapshot(), scopes);
                answer(200, "text/plain; version=0.0.4", text)
            }
            None => answer(400, "text/plain", "unknown scope\n".into()),
        }
    }

    /// A posted form: what it asks, then back to the page.
    fn post(&self, page: &Statistics, request: &PageRequest, body: &[u8], admin: bool) -> PagesAnswer {
        let outcome = match Form::parse(body) {
            _ if !admin => Outcome::Denied,
            Err(outcome) => outcome,
            Ok(form) => self.carry_out(&form),
        };
        let mut see = answer(303, "text/plain", String::new());
        see.headers.push(("location".into(), request.location(&page.path, outcome)));
        see
    }

    fn carry_out(&self, form: &Form) -> Outcome {
        let Some(cycle) = self.cycle.load_full() else { return Outcome::Error };
        let Some(pool) = cycle.pools.values().find(|p| form.means(&p.plan.name, p.plan.id)) else {
            return Outcome::Error;
        };
        let servers: Vec<_> = form.servers.iter().filter_map(|name| pool.server(name)).collect();
        let done = servers.iter().filter(|server| self.act(server, form.action)).count();
        match done {
            0 => Outcome::Nothing,
            n if n == form.servers.len() => Outcome::Done,
            _ => Outcome::Partly,
        }
    }

    fn act(&self, server: &Arc<Server>, action: FormAction) -> bool {
        let admin = |state| server.set_admin(state, AdminCause::Operator);
        let checks = self.checks.get();
        match action {
            FormAction::Ready => admin(AdminState::Ready),
            FormAction::Drain => admin(AdminState::Drain),
            FormAction::Maintenance => admin(AdminState::Maintenance),
            FormAction::HealthUp => server.set_health(Health::Up),
            FormAction::HealthDown => server.set_health(Health::Down),
            FormAction::HealthStopping => admin(AdminState::Drain),
            FormAction::AgentUp => server.set_agent_health(Health::Up),
            FormAction::AgentDown => server.set_agent_health(Health::Down),
            FormAction::EnableHealth => return checks.is_some_and(|c| c.enable_checks(server, true)),
            FormAction::DisableHealth => return checks.is_some_and(|c| c.enable_checks(server, false)),
            FormAction::EnableAgent => return checks.is_some_and(|c| c.enable_agent(server, true)),
            FormAction::DisableAgent => return checks.is_some_and(|c| c.enable_agent(server, false)),
            FormAction::Shutdown => return false,
        }
        true
    }
}

impl web::Pages for Desk {
    fn answer(&self, holder: &str, page: &Statistics, request: &PagesRequest<'_>) -> PagesAnswer {
        if let Some(path) = &page.metrics_path
            && let Some(query) = request.rest.strip_prefix(path.as_str())
        {
            return self.metrics(query.trim_start_matches('?'));
        }
        let asked = PageRequest::parse(request.rest);
        match request.post {
            Some(body) => self.post(page, &asked, body, request.admin),
            None => self.page(holder, page, &asked, request.admin),
        }
    }
}

fn answer(status: u16, content_type: &'static str, body: String) -> PagesAnswer {
    PagesAnswer { status, content_type, headers: Vec::new(), body: body.into_bytes() }
}

/// Sockets of the plan that take runtime commands or scrapes, as binds.
pub(crate) fn binds(plan: &plan::Plan) -> Vec<(String, plan::Bind)> {
    let runtime = plan.process.runtime_sockets.iter().map(|socket| {
        let mut bind = plan::Bind::new(socket.place.clone(), socket.address.clone());
        bind.mode = socket.mode.or(Some(0o600));
        bind.user = socket.user.clone();
        bind.group = socket.group.clone();
        ("runtime socket".to_string(), bind)
    });
    let metrics = plan.process.metrics.iter().map(|address| {
        ("metrics".to_string(), plan::Bind::new(plan::Place::none(), address.clone()))
    });
    runtime.chain(metrics).collect()
}

#[allow(dead_code)]
fn unused(_: &Opened, _: &Pool) {}
