//! Virtual hosts and their locations: what a site means that chooses by name and path instead of by rules.
//!
//! ```text
//!   bind ─► Names ─► Host ─► steps ─► Locations ─► Location ─► steps ─► limits, access ─► content
//!                      ▲                                 │
//!                      └──── an internal redirect ◄──────┘ (try_files, error pages, index, rewrite)
//! ```
//!
//! Everything is inherited and merged already: a location holds all that counts for a request in it, so that nothing is
//! looked up in outer levels when a request comes. Sources: nginx's manual, `ngx_http_core_module` and its neighbours.

mod computed;
mod delivery;
mod expires;
mod heads;
mod locations;
mod names;
mod proxy;
mod settings;
mod step;

pub use computed::{Computed, Geo, Share};
pub use delivery::{Charset, Delivery, Gzip, ModifiedSince, Partial, Precompressed, Proxied, Symlinks};
pub use expires::{Expires, NoTime};
pub use heads::{FieldNames, Heads};
pub use locations::{Found, Location, Locations};
pub use names::{Groups, NameTable, Pattern, VariableId};
pub use proxy::{
    CookieFlags, CookieRule, HeaderSet, NextUpstream, Proxy, ProxyBuffers, ProxyRedirect, ProxyTarget,
    ProxyTimeouts, ProxyUri, Replace,
};
pub use settings::{
    AccessLog, AccessRule, AccessTarget, AccessWho, AddHeader, AnswerHeaders, BasicAuth, BodyFile, Client,
    Directories, ErrorPage, ErrorStatus, ErrorTarget, Fallback, Index, KeepAlive, KeepOpen, RealIp,
    RealIpSource, Redirects, Root, Satisfy, ServerHeader, Settings, Subrequest, TryFiles, Types,
};
pub use step::{FileTest, Question, RewriteEnd, Step};

use crate::log::LogTarget;
use crate::place::Place;
use std::sync::Arc;

/// The virtual hosts of a site.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Who is there, by bind of the site, in the same order.
    pub binds: Vec<HostsOfBind>,
    /// How many variables requests may set ([`VariableId`] counts up to it), with their names for messages.
    pub variables: Vec<Box<str>>,
    /// Error logs that locations name: each goes to all of its targets that want the level of a line.
    pub error_logs: Vec<Vec<LogTarget>>,
    /// Access logs that locations name.
    pub access_logs: Vec<LogTarget>,
}

/// The hosts that share a bind.
#[derive(Clone, Debug)]
pub struct HostsOfBind {
    /// Who serves a name that nobody has, or a request without one.
    pub default: Arc<Host>,
    /// Hosts by name, lower case.
    pub names: NameTable<Arc<Host>>,
}

/// A virtual host (nginx: `server`).
#[derive(Clone, Debug)]
pub struct Host {
    /// Where it was said.
    pub place: Place,
    /// Its first name (`$server_name`); empty without one.
    pub name: Box<str>,
    /// How heads of its requests are read.
    pub heads: Heads,
    /// Steps before a location is looked for.
    pub steps: Box<[Step]>,
    /// Its locations.
    pub locations: Locations,
    /// What counts where no location was found: 404s, and errors of the request itself. It is a location without
    /// content of its own.
    pub outside: Arc<Location>,
}

impl HostsOfBind {
    /// The host for a name (lower case, without port and trailing dot), and what its expression caught.
    pub fn find(&self, name: &[u8]) -> (&Arc<Host>, Option<Groups>) {
        match self.names.find(name) {
            Some((host, groups)) => (host, groups),
            None => (&self.default, None),
        }
    }
}

/// What answers a request in a location.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// Files below the root: index, listing, the file itself.
    #[default]
    Files,
    /// A server of a pool.
    Proxy(Arc<Proxy>),
    /// Counters of connections, as text (`stub_status`).
    Counters,
}
