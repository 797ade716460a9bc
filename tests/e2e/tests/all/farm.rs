//! A balancer with servers behind it, as most stories need it.

use std::net::SocketAddr;

use e2e::{Balancer, Client, Port, Program, Server};

/// What every configuration here begins with.
pub const DEFAULTS: &str = "\
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
";

/// A balancer on a port.
pub struct Farm {
    pub balancer: Balancer,
    pub port: Port,
}

impl Farm {
    /// One `listen` section with these lines and these servers.
    pub fn start(lines: &str, servers: &[SocketAddr], words: &str) -> Self {
        Self::start_on(&Program::subject(), lines, servers, words)
    }

    /// The same on a chosen program.
    pub fn start_on(program: &Program, lines: &str, servers: &[SocketAddr], words: &str) -> Self {
        let port = Port::free();
        let config = listen(&port, lines, servers, words);
        let balancer = Balancer::with(&config).program(program).ports([&port]).start();
        Self { balancer, port }
    }

    /// A client of the balancer.
    pub fn client(&self) -> Client {
        Client::to(self.port.address())
    }
}

/// The text of a configuration with one `listen` section; `words` stand behind each server.
pub fn listen(port: &Port, lines: &str, servers: &[SocketAddr], words: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {}\n", line.trim())).collect();
    let servers = server_lines(servers, words);
    format!("{DEFAULTS}\nlisten app\n    bind 127.0.0.1:{port}\n{lines}{servers}")
}

/// `server web1 …`, `server web2 …` and so on.
pub fn server_lines(servers: &[SocketAddr], words: &str) -> String {
    let numbered = servers.iter().zip(1..);
    numbered.map(|(address, number)| format!("    server web{number} {address} {words}\n")).collect()
}

/// Where the servers listen.
pub fn addresses(servers: &[Server]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

/// Who answered each of `count` requests, one after the other, on one connection.
pub fn who_answers(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| client.get("/whoami").unwrap().text()).collect()
}
