//! The statistics page in a real browser.

use std::path::PathBuf;
use std::process::Command;

use e2e::{Balancer, Client, Port, Server, eventually, figures};

use crate::farm::{addresses, listen};

#[test]
fn a_browser_shows_the_dead_server() {
    let mut servers = Server::start_many(3);
    let port = Port::free();
    let lines = "balance roundrobin\noption httpchk GET /health\nstats enable\nstats uri /stats";
    let config = listen(&port, lines, &addresses(&servers), "check inter 100 fall 2 rise 2");
    let _balancer = Balancer::with(&config).ports([&port]).start();
    servers[1].kill();
    eventually("web2 is counted as down", || {
        let csv = Client::to(port.address()).get("/stats;csv").unwrap().text();
        csv.lines().any(|line| line.starts_with("app,web2,") && line.contains(",DOWN,"))
    });

    let page = format!("http://127.0.0.1:{port}/stats");
    let seen = browser(&["--dump-dom", &page]);
    let rows =
        [["web1", "web2"], ["web2", "web3"], ["web3", "Backend"]].map(|[name, next]| row(&seen, name, next));
    assert!(rows[1].contains("DOWN"), "{}", rows[1]);
    assert!(!rows[0].contains("DOWN") && !rows[2].contains("DOWN"), "{seen}");

    let picture = picture_file();
    browser(&["--window-size=1600,900", &format!("--screenshot={}", picture.display()), &page]);
    let size = std::fs::metadata(&picture).unwrap().len();
    assert!(size > 10_000, "the picture has only {size} bytes");
    figures(&format!("statistics page: {}", picture.display()));
}

/// The part of the page between a name and the next one.
fn row<'a>(page: &'a str, name: &str, next: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!(">{name}<")).unwrap_or_else(|| panic!("{name} is not on {page}"));
    rest.split_once(&format!(">{next}<")).unwrap_or_else(|| panic!("{next} is not after {name} on {page}")).0
}

fn picture_file() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("statistics-page.png")
}

/// Runs a headless browser and gives its output.
fn browser(arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .expect("run chromium");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
