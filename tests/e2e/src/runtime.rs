//! The runtime socket of a balancer, spoken to as operators' scripts do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A runtime socket at a path. Each command is asked on a connection of its own.
pub struct RuntimeSocket {
    path: PathBuf,
}

impl RuntimeSocket {
    /// The socket at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The answer to one command, or to several with `;` between them.
    pub fn ask(&self, command: &str) -> String {
        let shown = self.path.display();
        let mut stream = UnixStream::connect(&self.path).unwrap_or_else(|e| panic!("connect {shown}: {e}"));
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap_or_else(|e| panic!("{command} at {shown}: {e}"));
        answer
    }

    /// A command that must be answered by nothing but an empty line.
    pub fn order(&self, command: &str) {
        let answer = self.ask(command);
        assert_eq!(answer.trim(), "", "{command}");
    }

    /// One cell of `show stat`.
    pub fn cell(&self, proxy: &str, server: &str, column: &str) -> String {
        cell(&self.ask("show stat"), proxy, server, column)
    }

    /// A cell of `show stat` that is a number.
    pub fn number(&self, proxy: &str, server: &str, column: &str) -> u64 {
        let cell = self.cell(proxy, server, column);
        cell.parse().unwrap_or_else(|_| panic!("{proxy}/{server} {column} is {cell:?}"))
    }

    /// The value of a line of `show info`.
    pub fn info(&self, name: &str) -> String {
        let all = self.ask("show info");
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in:\n{all}")).to_owned()
    }
}

/// One cell of a CSV table of statistics.
pub fn cell(csv: &str, proxy: &str, server: &str, column: &str) -> String {
    let titles = csv.lines().next().unwrap_or_default().trim_start_matches("# ");
    let place = titles.split(',').position(|title| title == column);
    let place = place.unwrap_or_else(|| panic!("no column {column} in {titles}"));
    let row = csv.lines().find(|line| line.starts_with(&format!("{proxy},{server},")));
    let row = row.unwrap_or_else(|| panic!("no row {proxy}/{server} in:\n{csv}"));
    row.split(',').nth(place).unwrap_or_default().to_owned()
}
