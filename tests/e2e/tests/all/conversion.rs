//! `mainstay convert`: the native file does what the old one did.
//!
//! Each story is a HAProxy file and what visitors see of it. It is told twice: with the file as it is,
//! and with what `convert` made of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use e2e::scripted::answer;
use e2e::{Balancer, Client, Peer, Port, Program, Scripted, Server, Step, cases, figures};

use crate::farm::{DEFAULTS, addresses, listen, server_lines, who_answers};

/// The native text of a HAProxy file; `None` when the subject is HAProxy, which cannot do that.
fn converted(config: &str) -> Option<String> {
    let Program::Mainstay(program) = Program::subject() else {
        figures("not told: HAProxy has no such command");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(program).arg("convert").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Tells the story of `behaviour` with the old file and with the new one.
fn behaves_the_same(config: &str, ports: &[&Port], behaviour: impl Fn() -> Vec<String>) {
    let old = Balancer::with(config).ports(ports.iter().copied()).start();
    let before = behaviour();
    drop(old);
    let Some(native) = converted(config) else { return };
    let new = Balancer::with(&native).file_name("mainstay.yaml").ports(ports.iter().copied()).start();
    assert_eq!(behaviour(), before, "{native}");
    drop(new);
    // What was written is also what `convert` makes of itself: nothing is lost on the way.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mainstay.yaml");
    std::fs::write(&file, &native).unwrap();
    let check = Program::subject().check(&file);
    assert!(check.status.success(), "{}\n{native}", String::from_utf8_lossy(&check.stderr));
}

/// One line for an answer: status, the fields that count, and the body.
fn seen(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> String {
    let answer = client.get_with(path, headers).unwrap();
    let fields: Vec<_> = ["location", "set-cookie", "cache-control", "www-authenticate", "x-secret", "x-new"]
        .into_iter()
        .map(|name| answer.all(name).join("; "))
        .collect();
    format!("{path} {} {fields:?} {}", answer.status, answer.text())
}

/// A server that answers with the head it was sent.
fn echo() -> Scripted {
    Scripted::start(|seen| vec![Step::send(&answer(200, "X-Secret: 1\r\n", &seen.head))])
}

#[test]
fn a_converted_file_behaves_the_same() {
    let servers = Server::start_many(3);
    let (echo, port) = (echo(), Port::free());
    let api = echo.address;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind 127.0.0.1:{port}
    acl is_api path_beg /api
    http-request deny deny_status 403 if {{ path /admin }}
    http-request redirect location /new code 301 if {{ path /old }}
    http-request set-header X-Route api if is_api
    http-response del-header X-Secret
    use_backend api if is_api
    default_backend servers

backend api
    server api1 {api}

backend servers
    balance roundrobin
    option httpchk GET /health
{}",
        server_lines(&addresses(&servers), "check inter 500 fall 2 rise 2")
    );
    behaves_the_same(&config, &[&port], || {
        let mut client = Client::to(port.address());
        let mut story = who_answers(&mut client, 6);
        story.extend(["/admin", "/old", "/api/x", "/nowhere"].map(|path| seen(&mut client, path, &[])));
        story
    });
}

#[test]
fn seed_003_is_converted() {
    let gateways = Server::start_many(3);
    let (port, stats) = (Port::free(), Port::free());
    let servers = server_lines(&addresses(&gateways), "check");
    for balance in ["roundrobin", "leastconn", "source"] {
        let config = cases::fill(
            &cases::read("seed-003/haproxy.cfg"),
            &[
                ("port", &port.to_string()),
                ("stats", &stats.to_string()),
                ("balance", balance),
                ("servers", &servers),
            ],
        );
        behaves_the_same(&config, &[&port, &stats], || {
            let mut story = who_answers(&mut Client::to(port.address()), 6);
            let page = Client::to(stats.address()).get("/stats;csv").unwrap();
            story.push(page.status.to_string());
            story.extend(rows(&page.text()));
            story
        });
    }
}

/// Which rows a table of statistics has.
fn rows(csv: &str) -> Vec<String> {
    csv.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join("/")).collect()
}

/// The file of the write-up, with ports that anybody may use and its blanks filled by the environment.
#[test]
fn seed_004_is_converted() {
    let servers = Server::start_many(3);
    let (port, stats, log) = (Port::free(), Port::free(), Port::free());
    let mut config = cases::read("seed-004/haproxy.cfg")
        .replace("*:80\n", &format!("127.0.0.1:{port}\n"))
        .replace("*:8404", &format!("127.0.0.1:{stats}"))
        .replace("/dev/log", &log.address().to_string())
        .replace("    user haproxy\n    group haproxy\n", "");
    for (number, server) in (1..).zip(&servers) {
        config = config.replace(&format!("${{WEB{number}_IP}}:80"), &server.address.to_string());
    }
    behaves_the_same(&config, &[&port, &stats], || {
        let mut story = who_answers(&mut Client::to(port.address()), 6);
        let mut client = Client::to(stats.address());
        let refused = client.get("/stats").unwrap();
        story.push(format!("{} {:?}", refused.status, refused.header("www-authenticate")));
        let page = client.get_with("/stats;csv", &[("Authorization", "Basic YWRtaW46YWRtaW4=")]).unwrap();
        story.push(page.status.to_string());
        story.extend(rows(&page.text()));
        story
    });
}

#[test]
fn header_rules_are_converted() {
    let (echo, port) = (echo(), Port::free());
    let lines = r#"option forwardfor
        http-request set-header X-Forwarded-Proto http
        http-request add-header X-Multi two
        http-request del-header X-Drop
        http-request set-header X-Path "%[path,upper] and %[req.hdr(host),lower]"
        http-request replace-header X-Rewrite ^old-(.*)$ new-\1
        http-request replace-path /c/(.*) /d/\1 if { path_beg /c/ }
        http-request return status 200 content-type text/plain lf-string "I am %[path]" if { path /tea }
        http-request deny deny_status 429 if { hdr_sub(User-Agent) -i curl } !{ src 192.0.2.0/24 }
        http-response set-header X-New yes if { res.hdr(X-Secret) -m found }
        http-response del-header X-Secret"#;
    behaves_the_same(&listen(&port, lines, &[echo.address], ""), &[&port], || {
        let mut client = Client::to(port.address());
        let headers = [("X-Drop", "1"), ("X-Multi", "one"), ("X-Rewrite", "old-thing")];
        let mut story: Vec<_> =
            ["/", "/c/1/2?x=1", "/tea"].map(|path| seen(&mut client, path, &headers)).into();
        story.push(seen(&mut client, "/", &[("User-Agent", "Curl/8")]));
        story
    });
}

#[test]
fn a_cookie_that_binds_is_converted() {
    let servers = Server::start_many(2);
    let port = Port::free();
    let config = format!(
        "{}    server web1 {} cookie one\n    server web2 {} cookie two\n",
        listen(&port, "balance roundrobin\ncookie SERVER insert indirect nocache httponly", &[], ""),
        servers[0].address,
        servers[1].address
    );
    behaves_the_same(&config, &[&port], || {
        let mut client = Client::to(port.address());
        let paths =
            [&[][..], &[("Cookie", "SERVER=two")], &[("Cookie", "SERVER=two")], &[("Cookie", "SERVER=no")]];
        paths.map(|headers| seen(&mut client, "/whoami", headers)).into()
    });
}

#[test]
fn tcp_is_converted() {
    let peers: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| {
            Peer::start(move |mut stream, _| {
                let mut heard = Vec::new();
                let _ = stream.read_to_end(&mut heard);
                // The line of the PROXY protocol ends with the client's port, which is another each time.
                let line = String::from_utf8_lossy(&heard).into_owned();
                let words: Vec<_> =
                    line.split_whitespace().filter(|word| word.parse::<u16>().is_err()).collect();
                let _ = stream.write_all(format!("{name}: {}", words.join(" ")).as_bytes());
            })
        })
        .collect();
    let port = Port::free();
    let places: Vec<_> = peers.iter().map(|peer| peer.address).collect();
    let lines = "mode tcp\nbalance roundrobin\ntimeout client 5s";
    behaves_the_same(&listen(&port, lines, &places, "send-proxy"), &[&port], || {
        (0..4)
            .map(|number| {
                let mut stream = TcpStream::connect(port.address()).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                stream.write_all(format!("hello-{number}").as_bytes()).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            })
            .collect()
    });
}
