//! Settings of proxies that need a line or two each.

use super::acl;
use super::format;
use super::logs;
use super::said::{Cursor, Done, Said};
use super::scene::{Phase, Scene};
use super::server;
use plan::pool::{Cookie, CookieMode, RetryOn, Reuse};
use plan::{Mode, Route, RouteTarget};

/// Largest number of captures in a section.
const MAX_CAPTURES: usize = 1000;

/// `mode tcp|http`.
pub(super) fn mode(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.mode = match cursor.text("tcp or http")? {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        other @ ("log" | "spop" | "health" | "haterm") => {
            return Err(Said::not_yet(format!("'mode {other}'")).at(1));
        }
        other => return Err(cursor.wrong(other, "tcp or http")),
    };
    cursor.end()
}

/// `maxconn N`.
pub(super) fn maxconn(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let limit = cursor.number_in("a number of connections", 0, u64::from(u32::MAX))? as u32;
    scene.proxy.site.max_connections = (limit > 0).then_some(limit);
    cursor.end()
}

/// `rate-limit sessions N`.
pub(super) fn rate_limit(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    match cursor.text("sessions")? {
        "sessions" => {}
        other => return Err(cursor.wrong(other, "sessions")),
    }
    let limit = cursor.number_in("a number of sessions per second", 0, u64::from(u32::MAX))? as u32;
    scene.proxy.site.session_rate = (limit > 0).then_some(limit);
    cursor.end()
}

/// `backlog N`.
pub(super) fn backlog(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.backlog = Some(cursor.number_in("a number of connections", 1, u64::from(u32::MAX))? as u32);
    cursor.end()
}

/// `fullconn N`.
pub(super) fn fullconn(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.pool.full_connections =
        Some(cursor.number_in("a number of connections", 1, u64::from(u32::MAX))? as u32);
    cursor.end()
}

/// `id N`.
pub(super) fn id(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.id = Some(cursor.number_in("a number", 1, i32::MAX as u64)? as u32);
    cursor.end()
}

/// `description TEXT…`.
pub(super) fn description(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let text = logs::rest(cursor);
    if text.is_empty() {
        return Err(Said::new("'description' needs a text"));
    }
    scene.proxy.site.description = Some(text.clone());
    scene.proxy.pool.description = Some(text);
    Ok(())
}

/// `disabled`.
pub(super) fn disabled(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    set_disabled(scene, cursor, true)
}

/// `enabled`.
pub(super) fn enabled(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    set_disabled(scene, cursor, false)
}

fn set_disabled(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, disabled: bool) -> Done {
    scene.proxy.site.disabled = disabled;
    scene.proxy.pool.disabled = disabled;
    cursor.end()
}

/// `bind-process …`, without meaning since there is one process.
pub(super) fn bind_process(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.shared.old(cursor.line, "bind-process", "nothing, there is one process")?;
    cursor.skip_all();
    Ok(())
}

/// `grace TIME`, without meaning since listeners close at once.
pub(super) fn grace(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    cursor.time()?;
    cursor.end()?;
    scene.shared.old(cursor.line, "grace", "nothing, listeners close when a stop begins")
}

/// `monitor-uri PATH`.
pub(super) fn monitor_uri(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.site.monitor_path = Some(cursor.text("a path")?.to_owned());
    cursor.end()?;
    needs_http(scene, cursor, "monitor-uri");
    Ok(())
}

/// `monitor fail if …`.
pub(super) fn monitor(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    if !cursor.eat("fail") || !cursor.is_condition() {
        return Err(Said::new("'monitor' needs 'fail if …' or 'fail unless …'"));
    }
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    scene.proxy.site.monitor_fail.push(condition);
    Ok(())
}

/// `default_backend NAME`.
pub(super) fn default_backend(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.site.default_pool = Some(cursor.text("the name of a backend")?.to_owned());
    cursor.end()
}

/// `use_backend NAME [if …]`.
pub(super) fn use_backend(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.need("the name of a backend")?;
    let phase = if scene.proxy.mode == Mode::Http { Phase::Request } else { Phase::Content };
    let target = match word.text.contains('%') {
        false => RouteTarget::Pool(word.text.clone()),
        true => {
            let template = format::text(scene, &word.bytes, phase).map_err(|said| said.at(1))?;
            let fixed = template.as_fixed().map(|name| String::from_utf8_lossy(name).into_owned());
            fixed.map_or(RouteTarget::Computed(template), RouteTarget::Pool)
        }
    };
    let condition = acl::condition(scene, cursor, phase)?;
    let place = cursor.line.place(1);
    scene.proxy.site.routes.push(Route { place, condition, target });
    Ok(())
}

/// `capture request header NAME len N`, `capture response …`, `capture cookie NAME len N`.
pub(super) fn capture(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let kind = cursor.text("'request header', 'response header' or 'cookie'")?;
    if kind != "cookie" && !cursor.eat("header") {
        return Err(Said::new(format!("'capture {kind}' is unknown"))
            .hint("write capture request header NAME len N, or capture cookie NAME len N"));
    }
    let name = cursor.text("a name")?.to_owned();
    if !cursor.eat("len") {
        return Err(Said::new("'len' and a number are missing")
            .hint("add the longest length to keep: len 64")
            .at(cursor.at));
    }
    let length = cursor.number_in("a length", 1, 65_536)? as usize;
    cursor.end()?;
    let site = &mut scene.proxy.site;
    let list = match kind {
        "cookie" => {
            site.cookie_capture = Some((name, length));
            return Ok(());
        }
        "request" => &mut site.request_captures,
        "response" => &mut site.response_captures,
        other => return Err(Said::new(format!("'capture {other}' is unknown")).at(1)),
    };
    if list.len() >= MAX_CAPTURES {
        return Err(Said::new("too many captures"));
    }
    list.push((name, length));
    Ok(())
}

/// `unique-id-format FORMAT`.
pub(super) fn unique_id_format(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.need("a format")?;
    cursor.end()?;
    let template = format::unique_id(scene, &word.bytes).map_err(|said| said.at(1))?;
    scene.proxy.site.unique_id = Some(template);
    Ok(())
}

/// `unique-id-header NAME`.
pub(super) fn unique_id_header(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.site.unique_id_header = Some(cursor.text("the name of a header")?.to_owned());
    cursor.end()
}

/// `retries N`.
pub(super) fn retries(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.pool.retry.tries = cursor.number_in("a number of tries", 0, 1000)? as u32;
    cursor.end()
}

/// Statuses that may be tried again.
const RETRY_STATUSES: &[u16] = &[401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504];

/// `retry-on EVENTS…`.
pub(super) fn retry_on(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut on = RetryOn {
        connect_failure: false,
        empty_response: false,
        junk_response: false,
        response_timeout: false,
        statuses: Vec::new(),
    };
    if cursor.is_end() {
        return Err(Said::new("'retry-on' needs at least one event"));
    }
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "none" => {}
            "conn-failure" => on.connect_failure = true,
            "empty-response" => on.empty_response = true,
            "junk-response" => on.junk_response = true,
            "response-timeout" => on.response_timeout = true,
            "0rtt-rejected" => {}
            "all-retryable-errors" => {
                on = RetryOn {
                    connect_failure: true,
                    empty_response: true,
                    junk_response: true,
                    response_timeout: true,
                    statuses: vec![500, 502, 503, 504],
                };
            }
            status => match status.parse() {
                Ok(status) if RETRY_STATUSES.contains(&status) => on.statuses.push(status),
                _ => return Err(cursor.wrong(status, "an event or a status of 'retry-on'")),
            },
        }
    }
    scene.proxy.pool.retry.on = on;
    Ok(())
}

/// `http-reuse never|safe|aggressive|always`.
pub(super) fn http_reuse(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.pool.reuse = match cursor.text("never, safe, aggressive or always")? {
        "never" => Reuse::Never,
        "safe" => Reuse::Safe,
        "aggressive" => Reuse::Aggressive,
        "always" => Reuse::Always,
        other => return Err(cursor.wrong(other, "never, safe, aggressive or always")),
    };
    cursor.end()
}

/// `source ADDRESS[:PORT]`.
pub(super) fn source(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.server.source = server::source_address(scene.shared, cursor)?;
    cursor.end()
}

/// `transparent`, old for `option transparent`.
pub(super) fn transparent(_: &mut Scene<'_, '_>, _: &mut Cursor<'_>) -> Done {
    Err(Said::not_yet("'transparent'").hint("write 'server NAME *' to go where the client wanted to go"))
}

/// `persist rdp-cookie`.
pub(super) fn persist(_: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    Err(Said::not_yet(format!("'persist {}'", cursor.peek())))
}

/// `cookie NAME insert|prefix|rewrite …`.
pub(super) fn cookie(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let mut cookie = Cookie {
        name: cursor.text("a name")?.to_owned(),
        mode: CookieMode::Rewrite,
        indirect: false,
        no_cache: false,
        post_only: false,
        preserve: false,
        http_only: false,
        secure: false,
        domains: Vec::new(),
        attributes: Vec::new(),
        max_life: None,
    };
    let mut mode = None;
    while let Some(word) = cursor.next() {
        let this = match word.text.as_str() {
            "rewrite" => CookieMode::Rewrite,
            "insert" => CookieMode::Insert,
            "prefix" => CookieMode::Prefix,
            other => {
                cookie_option(&mut cookie, other, cursor)?;
                continue;
            }
        };
        if *mode.get_or_insert(this) != this {
            return Err(
                Said::new("a cookie is inserted, prefixed or rewritten: choose one").at(cursor.at - 1)
            );
        }
    }
    cookie.mode = mode.ok_or_else(|| {
        Said::not_yet(format!("the cookie '{}' without 'insert', 'prefix' or 'rewrite'", cookie.name))
    })?;
    check_cookie(&cookie)?;
    scene.proxy.pool.cookie = Some(cookie);
    needs_http(scene, cursor, "cookie");
    Ok(())
}

fn check_cookie(cookie: &Cookie) -> Done {
    if cookie.indirect && cookie.mode == CookieMode::Rewrite {
        return Err(Said::new("'rewrite' and 'indirect' exclude each other"));
    }
    if cookie.preserve && !cookie.indirect && cookie.mode != CookieMode::Insert {
        return Err(Said::new("'preserve' needs 'insert' or 'indirect'"));
    }
    Ok(())
}

fn cookie_option(cookie: &mut Cookie, word: &str, cursor: &mut Cursor<'_>) -> Done {
    match word {
        "indirect" => cookie.indirect = true,
        "nocache" => cookie.no_cache = true,
        "postonly" => cookie.post_only = true,
        "preserve" => cookie.preserve = true,
        "httponly" => cookie.http_only = true,
        "secure" => cookie.secure = true,
        "domain" => cookie.domains.push(cursor.text("a domain")?.to_owned()),
        "attr" => cookie.attributes.push(cursor.text("an attribute")?.to_owned()),
        "maxidle" | "maxlife" => {
            return Err(Said::not_yet(format!("'{word}' of a cookie"))
                .hint("an 'attr Max-Age=SECONDS' lets the browser forget it")
                .at(cursor.at - 1));
        }
        "dynamic" => {
            return Err(Said::not_yet("'dynamic' cookies")
                .hint("give each server a 'cookie'")
                .at(cursor.at - 1));
        }
        other => return Err(cursor.wrong(other, "an option of 'cookie'")),
    }
    Ok(())
}

/// Remembers that the line has an effect in `mode http` only.
pub(super) fn needs_http(scene: &mut Scene<'_, '_>, cursor: &Cursor<'_>, what: &'static str) {
    scene.proxy.http_only.push((cursor.line.place(0), what));
}
