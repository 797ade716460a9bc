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
    let rules = haproxy_rules(case.rules);
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

fn haproxy_rules(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "    http-request deny if {{ path_beg /forbidden{n}/ }}");
        text
    })
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
