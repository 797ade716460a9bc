//! `mainstay convert`: the native file does what the old one did.

use std::process::Command;

use e2e::scripted::answer;
use e2e::{Balancer, Client, Port, Program, Scripted, Server, Step, figures};

use crate::farm::{DEFAULTS, addresses, server_lines, who_answers};

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

#[test]
fn a_converted_file_behaves_the_same() {
    let servers = Server::start_many(3);
    let echo = Scripted::start(|seen| vec![Step::send(&answer(200, "X-Secret: 1\r\n", &seen.head))]);
    let (port, api) = (Port::free(), echo.address);
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
    let old = Balancer::with(&config).ports([&port]).start();
    let before = behaviour(&port);
    drop(old);
    let Some(native) = converted(&config) else { return };
    let _new = Balancer::with(&native).file_name("mainstay.yaml").ports([&port]).start();
    assert_eq!(behaviour(&port), before, "{native}");
}

fn behaviour(port: &Port) -> Vec<String> {
    let mut client = Client::to(port.address());
    let mut story = who_answers(&mut client, 6);
    for path in ["/admin", "/old", "/api/x", "/nowhere"] {
        let answer = client.get(path).unwrap();
        let routed = answer
            .text()
            .lines()
            .find(|line| line.to_lowercase().starts_with("x-route"))
            .map(str::to_lowercase);
        let fields = [answer.header("location"), answer.header("x-secret")];
        story.push(format!("{path} {} {fields:?} {routed:?}", answer.status));
    }
    story
}
