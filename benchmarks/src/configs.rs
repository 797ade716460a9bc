//! Configuration files with the same things switched on for each program. Mainstay gets HAProxy's file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::cases::{Case, Load};
use crate::program::{Kind, Variant};

/// The ports that a configuration ties together; all on 127.0.0.1.
#[derive(Clone)]
pub struct Ports {
    /// Where the clients connect.
    pub front: u16,
    /// The statistics page.
    pub stats: u16,
    /// The HTTP servers.
    pub servers: [u16; 3],
    /// The server that sends bytes without end.
    pub bulk: u16,
    /// Syslog over UDP.
    pub syslog: u16,
}

/// Write the file for `kind` into `dir` and give its path.
pub fn write(kind: Kind, variant: Variant, case: &Case, ports: &Ports, dir: &Path) -> Result<PathBuf> {
    let (name, text) = match kind {
        Kind::Haproxy | Kind::Mainstay => ("haproxy.cfg", haproxy(variant, case, ports)),
        Kind::Nginx => ("nginx.conf", nginx(variant, case, ports, dir)),
    };
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Where the access log goes in [`Variant::FileLog`].
pub fn access_log(dir: &Path) -> PathBuf {
    dir.join("access.log")
}

/// Client connections that the program must be ready for. Twice this number of files may be open, and both
/// peers set memory aside for it.
fn room(case: &Case) -> usize {
    match case.load {
        Load::Idle { connections } => connections + 500,
        Load::KeepAlive { .. } | Load::Close | Load::Bulk => 2000,
    }
}

fn haproxy(variant: Variant, case: &Case, ports: &Ports) -> String {
    let Ports { front, stats, syslog, .. } = ports;
    let log_target = match (case.log, variant) {
        (false, _) => String::new(),
        (true, Variant::FileLog) => "    log stdout format raw local0 info\n".to_owned(),
        (true, _) => format!("    log 127.0.0.1:{syslog} local0\n"),
    };
    let log_options = if case.log { "    log global\n    option httplog\n" } else { "" };
    let option = match variant {
        Variant::Splice => "    option splice-auto\n",
        Variant::Reuse => "    http-reuse always\n",
        Variant::Usual | Variant::FileLog => "",
    };
    let mode = if case.load == Load::Bulk { "tcp" } else { "http" };
    let rules = haproxy_rules(case);
    let maxconn = room(case);
    format!(
        "global
    nbthread {threads}
    maxconn {maxconn}
{log_target}
defaults
    mode {mode}
{log_options}{option}    timeout connect 5s
    timeout client 300s
    timeout server 300s

listen stats
    mode http
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /stats

frontend front
    bind 127.0.0.1:{front}
{rules}    default_backend servers

backend servers
    balance roundrobin
{servers}",
        threads = case.threads,
        servers = haproxy_servers(case, ports),
    )
}

/// Rules that a request of the load passes; the last ones change what is sent to the server.
const HAPROXY_EDITS: [&str; 20] = [
    "set-var(txn.path) path,lower",
    "set-var(txn.agent) req.hdr(user-agent),lower",
    "set-var(txn.host) req.hdr(host),field(1,:)",
    "set-var(txn.client) src",
    "deny if { var(txn.agent) -m beg badbot }",
    "deny if { method POST } { path_beg /readonly/ }",
    "deny if { src 10.9.0.0/16 192.0.2.0/24 }",
    "deny if { hdr_cnt(cookie) gt 10 }",
    "replace-path /old/(.*) /new/\\1 if { path_beg /old/ }",
    "replace-path /v1/(.*) /v2/\\1 if { path_beg /v1/ }",
    "del-header X-Forwarded-For",
    "del-header X-Real-IP",
    "del-header X-Internal",
    "del-header Proxy",
    "set-header X-Forwarded-Proto http",
    "set-header X-Forwarded-Host %[var(txn.host)]",
    "set-header X-Real-IP %[var(txn.client)]",
    "set-header X-Path %[var(txn.path)]",
    "set-header X-Port %[dst_port]",
    "set-header X-Request-Start t=%[date]",
];

/// The same for nginx, as far as it has words for it.
const NGINX_EDITS: [&str; 13] = [
    "set $agent $http_user_agent;",
    "set $client $remote_addr;",
    "if ($agent ~* ^badbot) { return 403; }",
    "if ($remote_addr ~ ^(10\\.9|192\\.0\\.2)\\.) { return 403; }",
    "rewrite ^/old/(.*) /new/$1;",
    "rewrite ^/v1/(.*) /v2/$1;",
    "proxy_set_header X-Internal \"\";",
    "proxy_set_header Proxy \"\";",
    "proxy_set_header X-Forwarded-Proto http;",
    "proxy_set_header X-Forwarded-Host $host;",
    "proxy_set_header X-Real-IP $client;",
    "proxy_set_header X-Path $uri;",
    "proxy_set_header X-Request-Start t=$msec;",
];

fn haproxy_rules(case: &Case) -> String {
    let mut text = (0..case.rules).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "    acl forbidden{n} path_beg /forbidden{n}/");
        let _ = writeln!(text, "    http-request deny if forbidden{n}");
        text
    });
    if case.rules > 0 {
        HAPROXY_EDITS.iter().for_each(|edit| text.push_str(&format!("    http-request {edit}\n")));
    }
    text
}

fn haproxy_servers(case: &Case, ports: &Ports) -> String {
    if case.load == Load::Bulk {
        return format!("    server bulk 127.0.0.1:{} check inter 1s rise 2 fall 3\n", ports.bulk);
    }
    let head = "    option httpchk GET /health\n    http-check expect status 200\n".to_owned();
    ports.servers.iter().enumerate().fold(head, |mut text, (n, port)| {
        let _ = writeln!(text, "    server web{} 127.0.0.1:{port} check inter 1s rise 2 fall 3", n + 1);
        text
    })
}

fn nginx(variant: Variant, case: &Case, ports: &Ports, dir: &Path) -> String {
    let dir_text = dir.display();
    let body =
        if case.load == Load::Bulk { nginx_stream(ports) } else { nginx_http(variant, case, ports, dir) };
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.exists() { format!("load_module {};\n", module.display()) } else { String::new() };
    format!(
        "{load}worker_processes {threads};
worker_rlimit_nofile 20000;
error_log {dir_text}/error.log warn;
pid {dir_text}/nginx.pid;
events {{ worker_connections {connections}; }}
{body}",
        threads = case.threads,
        connections = 2 * room(case),
    )
}

fn nginx_stream(ports: &Ports) -> String {
    format!(
        "stream {{
    upstream servers {{ server 127.0.0.1:{}; }}
    server {{ listen 127.0.0.1:{}; proxy_pass servers; }}
}}
",
        ports.bulk, ports.front
    )
}

fn nginx_http(variant: Variant, case: &Case, ports: &Ports, dir: &Path) -> String {
    let Ports { front, stats, syslog, servers: [a, b, c], .. } = ports;
    let dir_text = dir.display();
    let log = match (case.log, variant) {
        (false, _) => "off".to_owned(),
        (true, Variant::FileLog) => access_log(dir).display().to_string(),
        (true, _) => format!("syslog:server=127.0.0.1:{syslog},facility=local0"),
    };
    let rules = (0..case.rules).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "        location ^~ /forbidden{n}/ {{ return 403; }}");
        text
    });
    let edits = if case.rules > 0 { NGINX_EDITS.join("\n            ") } else { String::new() };
    format!(
        "http {{
    access_log {log};
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    proxy_max_temp_file_size 0;
    proxy_temp_path {dir_text}/proxy;
    client_body_temp_path {dir_text}/body;
    upstream servers {{
        server 127.0.0.1:{a};
        server 127.0.0.1:{b};
        server 127.0.0.1:{c};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {edits}
        }}
{rules}    }}
    server {{
        listen 127.0.0.1:{stats};
        location /stats {{ stub_status; }}
    }}
}}
"
    )
}
