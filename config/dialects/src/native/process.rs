//! `process:` and its runtime sockets.

use super::form::{Fields, Fieldset};
use super::leaf::{permissions, permissions_text};
use plan::listener::BindAddress;
use plan::process::{Process, RuntimeLevel, RuntimeSocket};
use std::net::{Ipv4Addr, SocketAddr};

impl Fieldset for Process {
    fn blank() -> Process {
        Process::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Process {
            threads,
            max_connections,
            connections_per_thread,
            connection_rate,
            session_rate,
            user,
            group,
            chroot,
            pid_file,
            daemon,
            runtime_sockets,
            runtime_timeout,
            logs,
            log_tag,
            log_hostname,
            node,
            description,
            hard_stop_after,
            cut_after_reload,
            spread_checks_percent,
            head_bytes,
            own_idle_connections,
            compression,
            descriptors,
            metrics,
        } = self;
        f.option("user", user);
        f.option("group", group);
        f.option("chroot", chroot);
        f.option("pid_file", pid_file);
        f.flag("daemon", daemon);
        f.option("threads", threads);
        f.option("max_connections", max_connections);
        f.option("connections_per_thread", connections_per_thread);
        f.option("connection_rate", connection_rate);
        f.option("session_rate", session_rate);
        f.option("descriptors", descriptors);
        f.option("head_bytes", head_bytes);
        f.flag("own_idle_connections", own_idle_connections);
        f.option("compression_level", &mut compression.level);
        f.option("compressed_bytes_per_second", &mut compression.bytes_per_second);
        f.option("hard_stop_after", hard_stop_after);
        f.option("cut_after_reload", cut_after_reload);
        f.value("spread_checks_percent", spread_checks_percent, &0);
        f.option("node", node);
        f.option("description", description);
        f.list("runtime", runtime_sockets);
        f.option("runtime_timeout", runtime_timeout);
        f.list("metrics", metrics);
        f.list("log", logs);
        f.option("log_tag", log_tag);
        f.option("log_hostname", log_hostname);
    }
}

impl Fieldset for RuntimeSocket {
    const MAIN: &'static str = "address";

    fn blank() -> RuntimeSocket {
        RuntimeSocket {
            place: plan::Place::none(),
            address: nowhere(),
            level: RuntimeLevel::default(),
            mode: None,
            user: None,
            group: None,
        }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let RuntimeSocket { place, address, level, mode, user, group } = self;
        f.place(place);
        f.required("address", address);
        f.value("level", level, &RuntimeLevel::default());
        f.with("mode", mode, permissions, |mode, writer| permissions_text(*mode, writer));
        f.option("user", user);
        f.option("group", group);
    }
}

/// The address of a listener before it is known.
pub(super) fn nowhere() -> BindAddress {
    BindAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
}
