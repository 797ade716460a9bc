//! `stream:` of a site: how its sessions are passed on.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form};
use super::reader::Reader;
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::host::{AccessRule, AccessWho};
use plan::network::Networks;
use plan::stream::{Asked, Content, Datagrams, NextServer, Preread, StreamSettings, Trusted};
use std::time::Duration;

/// Patience with name servers that is left out.
const PATIENCE: Duration = Duration::from_secs(30);

impl Fieldset for StreamSettings {
    fn blank() -> StreamSettings {
        StreamSettings::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = StreamSettings::default();
        let StreamSettings {
            access,
            limits,
            set,
            logs,
            content,
            preread,
            real_ip_from,
            connect_timeout,
            silence,
            resolver,
            next,
            half_close,
            send_proxy,
            source,
            keep_alive,
            no_delay,
            upload_rate,
            download_rate,
            datagrams,
        } = self;
        f.list("access", access);
        f.unsaid(!limits.is_empty(), "limits of sessions by key");
        f.unsaid(!set.is_empty(), "variables of sessions");
        f.unsaid(!logs.is_empty(), "several logs of a site");
        let (mut target, mut text) = match content.clone() {
            _ if f.reads() => (None, None),
            Content::Pool => (None, None),
            Content::Target(target) => (Some(target), None),
            Content::Text(text) => (None, Some(text)),
        };
        f.option("target", &mut target);
        f.option("text", &mut text);
        match (target, text) {
            (None, None) => *content = Content::Pool,
            (Some(target), None) => *content = Content::Target(target),
            (None, Some(text)) => *content = Content::Text(text),
            (Some(_), Some(_)) => {
                f.refuse("a session has a target or a text, not both", "remove one of them");
            }
        }
        f.option("preread", preread);
        f.option("real_ip_from", real_ip_from);
        f.value("connect_timeout", connect_timeout, &usual.connect_timeout);
        f.value("silence", silence, &usual.silence);
        f.option("resolver", resolver);
        f.value("next_server", next, &usual.next);
        f.flag("half_close", half_close);
        f.option("send_proxy", send_proxy);
        f.option("source", source);
        f.flag("keep_alive", keep_alive);
        f.value("no_delay", no_delay, &usual.no_delay);
        f.option("upload_rate", upload_rate);
        f.option("download_rate", download_rate);
        f.value("datagrams", datagrams, &usual.datagrams);
    }
}

impl Fieldset for Trusted {
    const MAIN: &'static str = "networks";

    fn blank() -> Trusted {
        Trusted::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Trusted { networks, unix } = self;
        f.value("networks", networks, &Networks::default());
        f.flag("unix", unix);
    }
}

impl Fieldset for Asked {
    fn blank() -> Asked {
        Asked { group: String::new(), patience: PATIENCE }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Asked { group, patience } = self;
        f.required("group", group);
        f.value("patience", patience, &PATIENCE);
    }
}

impl Fieldset for Preread {
    fn blank() -> Preread {
        Preread::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let usual = Preread::default();
        let Preread { buffer, timeout } = self;
        f.value("buffer", buffer, &usual.buffer);
        f.value("timeout", timeout, &usual.timeout);
    }
}

impl Fieldset for NextServer {
    fn blank() -> NextServer {
        NextServer::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let NextServer { on, tries, time, datagrams } = self;
        f.value("on", on, &true);
        f.option("tries", tries);
        f.option("time", time);
        f.flag("datagrams", datagrams);
    }
}

impl Fieldset for Datagrams {
    fn blank() -> Datagrams {
        Datagrams::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Datagrams { requests, responses } = self;
        f.option("requests", requests);
        f.option("responses", responses);
    }
}

impl Form for AccessRule {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<AccessRule> {
        let said = match &node.kind {
            Kind::Scalar { text, .. } => text.split_once(' '),
            _ => None,
        };
        let allow = said.and_then(|(verb, _)| match verb {
            "allow" => Some(true),
            "deny" => Some(false),
            _ => None,
        });
        let who = said.and_then(|(_, who)| match who {
            "all" => Some(AccessWho::All),
            "unix" => Some(AccessWho::Unix),
            network => network.parse().ok().map(AccessWho::Network),
        });
        let rule = allow.zip(who).map(|(allow, who)| AccessRule { who, allow });
        if rule.is_none() {
            reader.problem(
                node.spot,
                "a rule of access is expected here",
                "as in: allow 10.0.0.0/8, deny all",
            );
        }
        rule
    }

    fn written(&self, _: &mut Writer) -> Out {
        let verb = if self.allow { "allow" } else { "deny" };
        Out::word(match &self.who {
            AccessWho::All => format!("{verb} all"),
            AccessWho::Unix => format!("{verb} unix"),
            AccessWho::Network(network) => format!("{verb} {network}"),
        })
    }
}
