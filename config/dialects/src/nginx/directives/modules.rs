//! nginx's modules: which are built in here, as `-V` tells it and `load_module` finds it.
//!
//! Whoever makes the directives of a module work turns its `false` to `true`. nginx's own tests believe this list:
//! what it calls built in is tested, what it does not is skipped.

/// A module.
struct Module {
    /// Name in configure arguments, without `--with-` and `_module`.
    name: &'static str,
    /// nginx has it unless told otherwise.
    usual: bool,
    /// We have it.
    here: bool,
}

const fn usual(name: &'static str, here: bool) -> Module {
    Module { name, usual: true, here }
}

const fn optional(name: &'static str, here: bool) -> Module {
    Module { name, usual: false, here }
}

const MODULES: &[Module] = &[
    // http: there unless left out
    usual("http_access", true),
    usual("http_auth_basic", true),
    usual("http_autoindex", true),
    usual("http_browser", false),
    usual("http_charset", true),
    usual("http_empty_gif", false),
    usual("http_fastcgi", false),
    usual("http_geo", true),
    usual("http_grpc", false),
    usual("http_gzip", true),
    usual("http_limit_conn", true),
    usual("http_limit_req", true),
    usual("http_map", true),
    usual("http_memcached", false),
    usual("http_mirror", false),
    usual("http_proxy", true),
    usual("http_referer", false),
    usual("http_rewrite", true),
    usual("http_scgi", false),
    usual("http_split_clients", true),
    usual("http_ssi", false),
    usual("http_tunnel", false),
    usual("http_upstream_hash", true),
    usual("http_upstream_ip_hash", true),
    usual("http_upstream_keepalive", true),
    usual("http_upstream_least_conn", true),
    usual("http_upstream_least_time", false),
    usual("http_upstream_random", true),
    usual("http_upstream_sticky", true),
    usual("http_upstream_zone", true),
    usual("http_userid", false),
    usual("http_uwsgi", false),
    // http: only when asked for
    optional("http_addition", false),
    optional("http_auth_request", true),
    optional("http_dav", false),
    optional("http_flv", false),
    optional("http_geoip", false),
    optional("http_gunzip", false),
    optional("http_gzip_static", true),
    optional("http_image_filter", false),
    optional("http_mp4", false),
    optional("http_perl", false),
    optional("http_random_index", false),
    optional("http_realip", true),
    optional("http_secure_link", false),
    optional("http_slice", false),
    optional("http_ssl", false),
    optional("http_stub_status", true),
    optional("http_sub", false),
    optional("http_v2", false),
    optional("http_v3", false),
    optional("http_xslt", false),
    // stream
    usual("stream_access", true),
    usual("stream_geo", true),
    usual("stream_limit_conn", true),
    usual("stream_map", true),
    usual("stream_pass", false),
    usual("stream_return", true),
    usual("stream_set", true),
    usual("stream_split_clients", true),
    usual("stream_upstream_hash", true),
    usual("stream_upstream_least_conn", true),
    usual("stream_upstream_least_time", false),
    usual("stream_upstream_random", true),
    usual("stream_upstream_zone", true),
    optional("stream_geoip", false),
    optional("stream_realip", true),
    optional("stream_ssl", false),
    optional("stream_ssl_preread", true),
];

/// `http {}` is served.
const HTTP: bool = true;
/// `stream {}` is served.
const STREAM: bool = true;
/// Answers of servers can be cached.
const CACHE: bool = true;

/// What nginx's `configure` would have been told to build what is here; in the form that `-V` prints.
pub fn configure_arguments() -> String {
    let mut arguments: Vec<String> = Vec::new();
    if !HTTP {
        arguments.push("--without-http".into());
    }
    if STREAM {
        arguments.push("--with-stream".into());
    }
    let stands = |module: &Module| STREAM || !module.name.starts_with("stream_");
    arguments.extend(MODULES.iter().filter(|module| stands(module)).filter_map(|module| {
        match (module.usual, module.here) {
            (true, false) => Some(format!("--without-{}_module", module.name)),
            (false, true) => Some(format!("--with-{}_module", module.name)),
            _ => None,
        }
    }));
    if !CACHE {
        arguments.push("--without-http-cache".into());
    }
    arguments.join(" ")
}

/// True when `load_module` of this file asks for what is built in: `…/ngx_stream_module.so` and its like.
pub(in super::super) fn module_is_built_in(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.strip_prefix("ngx_").and_then(|name| name.strip_suffix("_module.so")).unwrap_or("");
    let name = name.trim_end_matches("_filter");
    name == "stream" && STREAM || MODULES.iter().any(|module| module.name == name && module.here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_in_is_said() {
        let arguments = configure_arguments();
        assert!(arguments.contains("--without-http_fastcgi_module"));
        // The feature name alone would switch its tests on.
        assert!(!arguments.contains("http_v3"));
        assert!(!module_is_built_in("modules/ngx_http_perl_module.so"));
        assert!(!module_is_built_in("modules/ngx_http_lua_module.so"));
    }
}
