//! The client's side of `http {}`: how heads of requests are read, and how long connections are kept.
//! Called for each server (heads) and each location (kept connections).

use super::scope::Scope;
use super::tree::Directive;
use plan::Problem;
use plan::host::{FieldNames, Heads, KeepAlive};

/// How heads of requests for a server are read. `scope` is the server's.
pub fn heads(scope: &Scope<'_>) -> Heads {
    let usual = Heads::default();
    let (buffers, buffer) = scope
        .find("large_client_header_buffers")
        .and_then(|directive| scope.keep(buffers(directive)))
        .unwrap_or((usual.buffers, usual.buffer));
    Heads {
        first: scope.size("client_header_buffer_size").map_or(usual.first, bytes),
        buffers,
        buffer,
        fields: scope.number("max_headers").map_or(usual.fields, bytes),
        names: names(scope),
        merge_slashes: scope.flag("merge_slashes", usual.merge_slashes),
        timeout: scope.time("client_header_timeout").unwrap_or(usual.timeout),
    }
}

/// How long connections are kept. `scope` is a location's, or a server's for what is outside all of them.
pub fn keep_alive(scope: &Scope<'_>) -> KeepAlive {
    let mut keep = KeepAlive::default();
    if let Some(directive) = scope.find("keepalive_timeout") {
        keep.timeout = scope.keep(directive.time(0)).unwrap_or(keep.timeout);
        if directive.arguments.len() > 1 {
            // Zero is not told.
            keep.told = scope.keep(directive.seconds(1)).filter(|told| !told.is_zero());
        }
    }
    keep.requests = scope.number("keepalive_requests").unwrap_or(keep.requests);
    keep.age = scope.time("keepalive_time").unwrap_or(keep.age);
    if let Some(directive) = scope.find("keepalive_disable") {
        (keep.not_for_msie6, keep.not_for_safari) = (false, false);
        for index in 0..directive.arguments.len() {
            match scope.keep(directive.choice(index, BROWSERS)) {
                Some(Browser::Msie6) => keep.not_for_msie6 = true,
                Some(Browser::Safari) => keep.not_for_safari = true,
                Some(Browser::None) | None => {}
            }
        }
    }
    keep
}

#[derive(Clone, Copy)]
enum Browser {
    None,
    Msie6,
    Safari,
}

const BROWSERS: &[(&str, Browser)] =
    &[("none", Browser::None), ("msie6", Browser::Msie6), ("safari", Browser::Safari)];

/// Number and size.
fn buffers(directive: &Directive) -> Result<(usize, usize), Problem> {
    match (directive.number(0)?, directive.size(1)?) {
        (0, _) | (_, 0) => Err(directive.wrong("invalid value")),
        (count, size) => Ok((bytes(count), bytes(size))),
    }
}

fn names(scope: &Scope<'_>) -> FieldNames {
    match (scope.flag("ignore_invalid_headers", true), scope.flag("underscores_in_headers", false)) {
        (false, _) => FieldNames::All,
        (true, true) => FieldNames::Underscores,
        (true, false) => FieldNames::Plain,
    }
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::scope::{Ground, Told};
    use super::super::tree;
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    /// What stands in `http`, read; and the problems.
    fn read(text: &str) -> (Heads, KeepAlive, Vec<String>) {
        let text = format!("http {{ {text} }}");
        let tree = tree::grow(&Arc::from("nginx.conf"), text.as_bytes(), "", &crate::NoSources);
        assert!(tree.problems.is_empty(), "{:?}", tree.problems);
        let ground = Ground {
            error_log: None,
            sources: &crate::NoSources,
            prefix: "/p".into(),
            folder: "/p".into(),
            told: Told::default(),
        };
        let (heads, keep) = {
            let file = Scope::new(&tree.directives, &ground);
            let http = file.inside(file.own_named("http").next().unwrap());
            (heads(&http), keep_alive(&http))
        };
        let (problems, _) = ground.told.into_parts();
        (heads, keep, problems.into_iter().map(|problem| problem.what).collect())
    }

    #[test]
    fn heads_are_read_as_said() {
        let (heads, _, problems) = read("");
        assert_eq!((heads, problems.len()), (Heads::default(), 0));
        let (heads, _, problems) = read(
            "client_header_buffer_size 128; large_client_header_buffers 5 256; max_headers 5; \
             underscores_in_headers on; merge_slashes off; client_header_timeout 5s;",
        );
        let expected = Heads {
            first: 128,
            buffers: 5,
            buffer: 256,
            fields: 5,
            names: FieldNames::Underscores,
            merge_slashes: false,
            timeout: Duration::from_secs(5),
        };
        assert_eq!((heads, problems.len()), (expected, 0));
        assert_eq!(read("ignore_invalid_headers off;").0.names, FieldNames::All);
        assert_eq!(read("large_client_header_buffers 0 8k;").2.len(), 1);
    }

    #[test]
    fn connections_are_kept_as_said() {
        let (_, keep, _) = read("keepalive_timeout 1 9; keepalive_requests 2; keepalive_time 1m;");
        assert_eq!((keep.timeout, keep.told), (Duration::from_secs(1), Some(Duration::from_secs(9))));
        assert_eq!((keep.requests, keep.age), (2, Duration::from_secs(60)));
        assert_eq!((keep.not_for_msie6, keep.not_for_safari), (true, false));
        let disabled = |words: &str| {
            let (_, keep, problems) = read(&format!("keepalive_disable {words};"));
            (keep.not_for_msie6, keep.not_for_safari, problems.len())
        };
        assert_eq!(disabled("none"), (false, false, 0));
        assert_eq!(disabled("safari"), (false, true, 0));
        assert_eq!(disabled("msie6 safari"), (true, true, 0));
        assert_eq!(disabled("opera"), (false, false, 1));
    }
}
