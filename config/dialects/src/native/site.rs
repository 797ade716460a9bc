//! `sites:`.

use super::emit::Out;
use super::form::{Fields, Fieldset, Form, read_pairs, write_pairs, written};
use super::leaf::{permissions, permissions_text};
use super::process::nowhere;
use super::reader::{Meant, Named, Reader};
use super::writer::Writer;
use super::yaml::{Kind, Node};
use plan::compression::{Compression, Squeeze};
use plan::listener::Bind;
use plan::network::Networks;
use plan::pages::ErrorPages;
use plan::rule::{Password, Userlist};
use plan::site::{ConnectionMode, ForwardedFor, HttpOptions, OddNames, Site, SiteTimeouts, Statistics};
use plan::{Mode, Place};
use std::sync::Arc;

/// Header of `forwarded_for` that is left out.
const FORWARDED_FOR: &str = "X-Forwarded-For";

impl Fieldset for Site {
    fn blank() -> Site {
        Site::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Site {
            place,
            name: _,
            id,
            mode,
            disabled,
            description,
            binds,
            rules,
            inspect_delay,
            routes,
            default_pool,
            timeouts,
            max_connections,
            session_rate,
            log,
            http,
            pages,
            statistics,
            monitor_path,
            monitor_fail,
            request_captures,
            response_captures,
            cookie_capture,
            unique_id,
            unique_id_header,
            tcp_keep_alive,
            hosts: _,
            stream,
        } = self;
        f.place(place);
        f.id(id);
        f.value("mode", mode, &Mode::Tcp);
        f.flag("disabled", disabled);
        f.option("description", description);
        f.list("listen", binds);
        f.value("timeouts", timeouts, &SiteTimeouts::default());
        f.option("max_connections", max_connections);
        f.option("session_rate", session_rate);
        f.flag("tcp_keep_alive", tcp_keep_alive);
        f.shared("stream", stream);
        f.part("log", log);
        f.part("http", http);
        f.pairs("request_captures", request_captures);
        f.pairs("response_captures", response_captures);
        f.with("cookie_capture", cookie_capture, read_pair, |pair, writer| {
            pair.as_ref().map(|pair| write_pairs(std::slice::from_ref(pair), writer))
        });
        f.option("unique_id", unique_id);
        f.option("unique_id_header", unique_id_header);
        f.option("monitor_path", monitor_path);
        f.list("monitor_fail", monitor_fail);
        f.shared("statistics", statistics);
        f.with("pages", pages, ErrorPages::read, |pages, writer| {
            (!pages.0.is_empty()).then(|| pages.written(writer))
        });
        f.option("inspect_delay", inspect_delay);
        f.part("rules", rules);
        f.lines("routes", routes);
        f.option("pool", default_pool);
    }
}

fn read_pair(node: &Node, reader: &mut Reader<'_>) -> Option<Option<(String, usize)>> {
    let mut pairs = read_pairs(node, reader)?;
    if pairs.len() != 1 {
        reader.problem(node.spot, "one name with its longest length is expected here", "as in session: 32");
        return None;
    }
    Some(pairs.pop())
}

impl Fieldset for Bind {
    const MAIN: &'static str = "address";

    fn blank() -> Bind {
        Bind::new(Place::none(), nowhere())
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Bind {
            place,
            name,
            address,
            accept_proxy,
            proxy_from,
            proxy_only_tells,
            socket_per_worker,
            receive_buffer,
            send_buffer,
            max_connections,
            backlog,
            v6_only,
            transparent,
            interface,
            defer_accept,
            mode,
            user,
            group,
        } = self;
        f.place(place);
        f.required("address", address);
        f.option("name", name);
        f.flag("accept_proxy", accept_proxy);
        f.option("proxy_from", proxy_from);
        f.flag("proxy_only_tells", proxy_only_tells);
        f.flag("socket_per_worker", socket_per_worker);
        f.option("receive_buffer", receive_buffer);
        f.option("send_buffer", send_buffer);
        f.option("max_connections", max_connections);
        f.option("backlog", backlog);
        f.flag("v6_only", v6_only);
        f.flag("transparent", transparent);
        f.option("interface", interface);
        f.flag("defer_accept", defer_accept);
        f.with("mode", mode, permissions, |mode, writer| permissions_text(*mode, writer));
        f.option("user", user);
        f.option("group", group);
    }
}

impl Form for Networks {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Networks> {
        Some(Networks(super::form::read_list(node, reader)))
    }

    fn written(&self, writer: &mut Writer) -> Out {
        super::form::write_list(&self.0, writer)
    }
}

impl Fieldset for SiteTimeouts {
    fn blank() -> SiteTimeouts {
        SiteTimeouts::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let SiteTimeouts { client, client_fin, request, keep_alive, tarpit } = self;
        f.option("client", client);
        f.option("client_fin", client_fin);
        f.option("request", request);
        f.option("keep_alive", keep_alive);
        f.option("tarpit", tarpit);
    }
}

impl Fieldset for HttpOptions {
    fn blank() -> HttpOptions {
        HttpOptions::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let HttpOptions {
            connection,
            forwarded_for,
            original_to,
            buffer_request,
            abort_on_close,
            idle_close_on_response,
            ignore_probes,
            compression,
            pretend_keep_alive,
            odd_names,
        } = self;
        f.value("connection", connection, &ConnectionMode::default());
        f.option("forwarded_for", forwarded_for);
        f.option("original_to", original_to);
        f.flag("buffer_request", buffer_request);
        f.option("abort_on_close", abort_on_close);
        f.flag("idle_close_on_response", idle_close_on_response);
        f.flag("ignore_probes", ignore_probes);
        f.flag("pretend_keep_alive", pretend_keep_alive);
        f.value("odd_names", odd_names, &OddNames::default());
        f.option("compression", compression);
    }
}

impl Fieldset for Compression {
    fn blank() -> Compression {
        Compression::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Compression { responses, requests, offload } = self;
        f.value("responses", responses, &Squeeze::default());
        f.value("requests", requests, &Squeeze::default());
        f.flag("offload", offload);
    }
}

impl Fieldset for Squeeze {
    const MAIN: &'static str = "codings";

    fn blank() -> Squeeze {
        Squeeze::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Squeeze { codings, types, least_bytes } = self;
        f.list("codings", codings);
        f.list("types", types);
        f.value("least_bytes", least_bytes, &0);
    }
}

impl Fieldset for ForwardedFor {
    fn blank() -> ForwardedFor {
        ForwardedFor { header: FORWARDED_FOR.to_owned(), except: Networks::default(), if_none: false }
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let ForwardedFor { header, except, if_none } = self;
        f.value("header", header, &FORWARDED_FOR.to_owned());
        f.value("except", except, &Networks::default());
        f.flag("if_none", if_none);
    }
}

impl Fieldset for Statistics {
    fn blank() -> Statistics {
        Statistics::default()
    }

    fn fields(&mut self, f: &mut Fields<'_, '_>) {
        let Statistics {
            path,
            users,
            realm,
            refresh,
            admin,
            hide_version,
            node,
            description,
            legends,
            scope,
            metrics_path,
        } = self;
        f.required("path", path);
        f.with("users", users, read_users, write_users);
        f.value("realm", realm, &String::new());
        f.option("refresh", refresh);
        f.option("admin", admin);
        f.flag("hide_version", hide_version);
        f.option("node", node);
        f.option("description", description);
        f.flag("legends", legends);
        f.list("scope", scope);
        f.option("metrics_path", metrics_path);
    }
}

/// The name of a list, or the users themselves.
fn read_users(node: &Node, reader: &mut Reader<'_>) -> Option<Userlist> {
    let Kind::Scalar { text, .. } = &node.kind else {
        return read_pairs(node, reader).map(|users| Userlist { name: String::new(), users });
    };
    match reader.named(Named::Users, text) {
        Ok(Some(Meant::Users(list))) => Some(Userlist::clone(&list)),
        Ok(_) => None,
        Err((what, hint)) => {
            reader.problem(node.spot, what, hint);
            None
        }
    }
}

fn write_users(list: &Userlist, writer: &mut Writer) -> Option<Out> {
    match list {
        list if *list == Userlist::default() => None,
        list if list.name.is_empty() && !list.users.is_empty() => Some(write_pairs(&list.users, writer)),
        list => Some(Out::Text(writer.users(list))),
    }
}

/// A password as it is, or `{ hashed: … }`.
impl Form for Password {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Password> {
        match &node.kind {
            Kind::Map(entries) if entries.len() == 1 && entries[0].0.text == "hashed" => {
                String::read(&entries[0].1, reader).map(Password::Hashed)
            }
            Kind::Scalar { text, .. } => Some(Password::Plain(text.clone())),
            _ => {
                reader.problem(node.spot, "a password or { hashed: … } is expected here", "");
                None
            }
        }
    }

    fn written(&self, _: &mut Writer) -> Out {
        match self {
            Password::Plain(text) => Out::Text(text.clone()),
            Password::Hashed(text) => Out::Map(vec![("hashed".to_owned(), Out::Text(text.clone()))]),
        }
    }
}

impl Fields<'_, '_> {
    /// A part with defaults, left out when nothing in it differs from them.
    pub(super) fn part<T: Fieldset>(&mut self, name: &'static str, slot: &mut T) {
        let write =
            |part: &T, writer: &mut Writer| (!written(part, writer).is_empty()).then(|| part.written(writer));
        self.with(name, slot, T::read, write);
    }

    /// A part that others may share.
    pub(super) fn shared<T: Fieldset>(&mut self, name: &'static str, slot: &mut Option<Arc<T>>) {
        let read =
            |node: &Node, reader: &mut Reader<'_>| T::read(node, reader).map(|part| Some(Arc::new(part)));
        self.with(name, slot, read, |part, writer| part.as_ref().map(|part| part.written(writer)));
    }
}
