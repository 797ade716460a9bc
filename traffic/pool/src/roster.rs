//! Who belongs to a pool at this moment. Swapped whole when a server is added or removed, read without a lock.

use crate::server::Server;
use crate::slot::Member;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// All servers of a pool. Never changed once made.
pub(crate) struct Roster {
    /// In order of the file; those added later follow.
    pub members: Vec<Member>,
    /// The same, for those who only look.
    pub servers: Arc<[Arc<Server>]>,
    by_name: HashMap<String, usize>,
    by_cookie: HashMap<Vec<u8>, usize>,
}

/// Why a server cannot be added to a running pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// A server of the pool has this name.
    NameTaken,
    /// A server of the pool has this number.
    IdTaken,
    /// The way of balancing uses a fixed table.
    FixedTable,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddError::NameTaken => "add a server: its name is taken",
            AddError::IdTaken => "add a server: its number is taken",
            AddError::FixedTable => "add a server: the way of balancing uses a fixed table",
        })
    }
}

impl std::error::Error for AddError {}

/// Why a server cannot be removed from a running pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveError {
    /// No server has this name.
    Unknown,
    /// It takes traffic or might: it must be in maintenance.
    InService,
    /// A rule of the pool names it.
    Named,
    /// Requests are at it or wait for it.
    Busy,
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemoveError::Unknown => "remove a server: there is none of this name",
            RemoveError::InService => "remove a server: it is not in maintenance",
            RemoveError::Named => "remove a server: a rule names it",
            RemoveError::Busy => "remove a server: it still has connections",
        })
    }
}

impl std::error::Error for RemoveError {}

impl Roster {
    pub(crate) fn new(members: Vec<Member>) -> Roster {
        // Of two that share a value the first of the file counts.
        let listed = || members.iter().enumerate().rev();
        Roster {
            by_name: listed().map(|(at, s)| (s.plan.name.clone(), at)).collect(),
            by_cookie: listed()
                .filter_map(|(at, s)| Some((s.plan.cookie.clone()?.into_bytes(), at)))
                .collect(),
            servers: members.iter().map(|member| Arc::clone(member)).collect(),
            members,
        }
    }

    pub(crate) fn by_uid(&self, uid: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.uid == uid)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Member> {
        self.by_name.get(name).map(|&at| &self.members[at])
    }

    pub(crate) fn by_cookie(&self, value: &[u8]) -> Option<&Member> {
        self.by_cookie.get(value).map(|&at| &self.members[at])
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.plan.id == id)
    }

    /// The lowest number that no server has.
    pub(crate) fn free_id(&self) -> u32 {
        (1..).find(|id| self.by_id(*id).is_none()).unwrap_or(u32::MAX)
    }

    /// The same with one more at the end.
    pub(crate) fn with(&self, member: Member) -> Roster {
        Roster::new(self.members.iter().cloned().chain([member]).collect())
    }

    /// The same without this one.
    pub(crate) fn without(&self, uid: u32) -> Roster {
        Roster::new(self.members.iter().filter(|member| member.uid != uid).cloned().collect())
    }
}
