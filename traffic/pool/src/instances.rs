//! Servers that come and go with the addresses of a name: each address is a server of its own.
//!
//! The server that was configured is a template. It stands in the pool itself, without an address, as long as its name
//! leads nowhere.

use crate::pool::Pool;
use crate::roster::Roster;
use crate::server::{Server, ServerEndpoint};
use crate::slot::Member;
use plan::ServerAddress;
use std::net::SocketAddr;
use std::sync::Arc;

/// Most servers that one name may become: no name service can fill the memory.
const MAX_INSTANCES: usize = 1024;

/// One address of a name, or one instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Where it listens.
    pub address: SocketAddr,
    /// Share of the load; `None` = what the template says.
    pub weight: Option<u16>,
    /// Used only when no other is usable, whatever the template says.
    pub backup: bool,
}

impl From<SocketAddr> for Instance {
    fn from(address: SocketAddr) -> Instance {
        Instance { address, weight: None, backup: false }
    }
}

/// True when each address that the name of `server` has is to be a server of its own.
pub fn is_template(server: &plan::Server) -> bool {
    server.smooth.as_ref().is_some_and(|said| said.every_address) && server.address.name().is_some()
}

impl Pool {
    /// The configured servers whose names become servers.
    pub fn templates(&self) -> impl Iterator<Item = &plan::Server> {
        self.plan.servers.iter().filter(|server| is_template(server))
    }

    /// What a template is just now.
    pub fn instances(&self, template: &str) -> Vec<Instance> {
        let servers = self.servers();
        servers.iter().filter(|server| server.template.as_deref() == Some(template)).filter_map(of).collect()
    }

    /// The template is these servers from now on, in this order; those that stay keep what is known about them. Gives
    /// true when that changed something. None at all: it waits for an address, and takes no requests.
    pub fn follow_name(&self, template: &str, instances: &[Instance]) -> bool {
        self.follow_name_as(template, instances, None)
    }

    fn follow_name_as(&self, template: &str, instances: &[Instance], previous: Option<&Pool>) -> bool {
        let _alone = self.changing.lock();
        let Some(plan) = self.templates().find(|plan| plan.name == template) else { return false };
        let mut wanted: Vec<&Instance> = Vec::new();
        for instance in instances.iter().take(MAX_INSTANCES) {
            if !wanted.iter().any(|known| known.address == instance.address) {
                wanted.push(instance);
            }
        }
        let roster = self.core.roster.load_full();
        let of_it =
            |member: &&Member| member.template.as_deref() == Some(template) || member.plan.name == template;
        let before: Vec<&Member> = roster.members.iter().filter(of_it).collect();
        let after: Vec<Member> = if wanted.is_empty() {
            vec![self.stand_in(plan, &before)]
        } else {
            wanted.iter().map(|instance| self.instance(plan, instance, &before, previous)).collect()
        };
        let same = |(one, other): (&&Member, &Member)| Arc::ptr_eq(one, other);
        if before.len() == after.len() && before.iter().zip(&after).all(same) {
            return false;
        }
        let place = roster.members.iter().position(|member| of_it(&member)).unwrap_or(roster.members.len());
        let mut members: Vec<Member> = roster.members.iter().filter(|m| !of_it(m)).cloned().collect();
        members.splice(place..place, after);
        self.core.roster.store(Arc::new(Roster::new(members)));
        self.core.refresh();
        true
    }

    /// Names lead where they led in the cycle before, until somebody knows better.
    pub(crate) fn keep_instances(&self, previous: &Pool) {
        for template in self.templates() {
            let same =
                previous.templates().any(|old| old.name == template.name && old.address == template.address);
            let known = if same { previous.instances(&template.name) } else { Vec::new() };
            if !known.is_empty() {
                let known: Vec<Instance> = known.into_iter().map(|old| of_template(old, template)).collect();
                self.follow_name_as(&template.name, &known, Some(previous));
            }
        }
    }

    /// The template itself, without an address.
    fn stand_in(&self, plan: &plan::Server, before: &[&Member]) -> Member {
        let known = before.iter().find(|member| member.plan.name == plan.name);
        known.map_or_else(
            || self.join(Server::new(plan, &self.house, None, None)),
            |member| Member::clone(member),
        )
    }

    fn instance(
        &self,
        template: &plan::Server,
        instance: &Instance,
        before: &[&Member],
        previous: Option<&Pool>,
    ) -> Member {
        let plan = instance_plan(template, instance);
        let known = before.iter().find(|member| member.plan.name == plan.name);
        let same = known.filter(|m| m.plan.weight == plan.weight && m.plan.backup == plan.backup);
        if let Some(member) = same {
            return Member::clone(member);
        }
        let old = previous.and_then(|pool| pool.server(&plan.name));
        let last: Option<&Server> = known.map(|member| &***member as &Server).or(old.as_deref());
        let endpoint = Some(ServerEndpoint::Tcp(instance.address));
        let mut server = Server::new(&plan, &self.house, last, endpoint);
        server.template = Some(template.name.as_str().into());
        self.join(server)
    }

    fn join(&self, server: Server) -> Member {
        let server = Arc::new(server);
        server.state.join(Arc::downgrade(&self.core));
        Member::new(&server, self.house.workers)
    }
}

/// The server that one instance is.
fn instance_plan(template: &plan::Server, instance: &Instance) -> plan::Server {
    let mut plan = template.clone();
    plan.name = format!("{}={}", template.name, instance.address);
    plan.address = ServerAddress::Tcp(instance.address);
    plan.weight = instance.weight.unwrap_or(template.weight);
    plan.backup |= instance.backup;
    if let Some(said) = &mut plan.smooth {
        said.every_address = false;
    }
    plan
}

/// An instance of the cycle before, with what the template says now where only the template had said it.
fn of_template(old: Instance, template: &plan::Server) -> Instance {
    let service = matches!(template.address, ServerAddress::Service(_));
    if service { old } else { Instance::from(old.address) }
}

fn of(server: &Arc<Server>) -> Option<Instance> {
    let ServerEndpoint::Tcp(address) = server.address() else { return None };
    Some(Instance { address, weight: Some(server.plan.weight), backup: server.plan.backup })
}
