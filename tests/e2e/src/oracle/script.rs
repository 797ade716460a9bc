//! What clients do: the file `NAME.req`.
//!
//! ```text
//! > client two        the connection called "two" from here on; the first one is "main"
//! > new               a new connection
//! > to port2          … to that port of the case, or straight to a server such as web1
//! > from 127.0.0.9    … from that address
//! > send              send this request, and do not wait for its answer
//! > answer [METHOD]   wait for the answer to a request that was sent before
//! > bytes "a\r\n"     send exactly these bytes
//! > until "ok"        read until these bytes have come
//! > closed            read until the other side closes
//! > silent 200ms      nothing comes for this time, and the connection stays open
//! > finish            no more bytes will be sent (half-close)
//! > close             close in order; `> reset`: close hard
//! > repeat 10         this request so often
//! > shares 20%        … and tell only which servers answered at least that share of them
//! > quiet             do not tell what came of this request
//! > strict            from here on compare Connection and Keep-Alive, too
//! > pause 300ms       let time pass, where time is what the case is about
//! > requests web1 2   wait until this server has been asked so often, all in all
//! > release web1      one answer to a target with /hold/ goes out
//! > stop web1         the server's port closes, with all its connections; `> start web1`: open again
//! > ill web1          checks (OPTIONS, or a target with /check) are answered 503; `> well web1`: 200
//! > received web1     tell what the server got, byte for byte, per connection
//! > checked web1      tell the last check that the server got
//! > stat web/web1 status DOWN       wait until this cell of `show stat` begins so
//! > log 2             wait until so many log lines have come
//! > cli show info     tell the answer of the runtime socket; `> do …`: do not tell it
//! > write FILE TEXT   write this line as a file of {{dir}}
//! > touch FILE 784111777            set the time of its last change, Unix seconds
//! > fill FILE 100000                write so many bytes as a file of {{dir}}
//! > folder NAME       make a folder in {{dir}}; `> link NAME TO`: a symbolic link; `> remove FILE`: away with it
//! > file FILE         tell the lines of a file of {{dir}}, such as a log
//! > process           tell user, group and root of the process
//! > stats a b         compare these cells at the end, besides the usual ones; `> no-stats`: none
//! > no-log            do not compare log lines
//! ```

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::escape::{Word, words};

/// A whole file.
#[derive(Debug)]
pub struct Script {
    /// Its blocks, in order.
    pub blocks: Vec<Block>,
}

/// What stands between two lines of `---`.
#[derive(Debug)]
pub struct Block {
    /// Its commands, in order; they come before the request.
    pub commands: Vec<Command>,
    /// The request as it stands; empty for none.
    pub request: String,
}

/// One line `> …`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the file's own words explain them")]
pub enum Command {
    Client(String),
    New,
    To(String),
    From(String),
    Send,
    Answer(String),
    Bytes(Vec<u8>),
    Until(Vec<u8>),
    Closed,
    Silent(Duration),
    Finish,
    Close,
    Reset,
    Repeat(usize),
    Shares(usize),
    Quiet,
    Strict,
    Pause(Duration),
    Requests(String, usize),
    Release(String),
    Stop(String),
    Start(String),
    Health(String, bool),
    Received(String),
    Checked(String),
    Stat { row: String, cell: String, begins: String },
    Log(usize),
    Cli(String),
    Do(String),
    Write { file: String, text: String },
    Touch { file: String, unix_s: u64 },
    Fill { file: String, bytes: usize },
    Folder(String),
    Link { name: String, to: String },
    Remove(String),
    File(String),
    Process,
    Stats(Vec<String>),
    NoStats,
    NoLog,
}

impl Script {
    /// Reads a file; panics with what it does not understand.
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let blocks = text.split("---\n").map(|block| Block::parse(block, file)).collect();
        Self { blocks }
    }
}

impl Block {
    fn parse(text: &str, file: &Path) -> Self {
        let mut rest = text;
        let mut commands = Vec::new();
        while let Some(line) =
            rest.lines().next().filter(|line| line.starts_with("> ") || line.starts_with('#'))
        {
            rest = &rest[(line.len() + 1).min(rest.len())..];
            if let Some(said) = line.strip_prefix("> ") {
                let command = Command::parse(said);
                commands.push(command.unwrap_or_else(|| panic!("{}: {line}", file.display())));
            }
        }
        Self { commands, request: if rest.trim().is_empty() { String::new() } else { rest.to_owned() } }
    }
}

impl Command {
    fn parse(said: &str) -> Option<Self> {
        let (verb, rest) = said.split_once(' ').unwrap_or((said, ""));
        let rest = rest.trim();
        let word = || Some(rest.to_owned()).filter(|rest| !rest.is_empty());
        let mut parts = rest.split_whitespace();
        Some(match verb {
            "client" => Self::Client(word()?),
            "new" => Self::New,
            "to" => Self::To(word()?),
            "from" => Self::From(word()?),
            "send" => Self::Send,
            "answer" => Self::Answer(word().unwrap_or_else(|| "GET".to_owned())),
            "bytes" => Self::Bytes(bytes(rest)?),
            "until" => Self::Until(bytes(rest)?),
            "closed" => Self::Closed,
            "silent" => Self::Silent(milliseconds(rest)?),
            "finish" => Self::Finish,
            "close" => Self::Close,
            "reset" => Self::Reset,
            "repeat" => Self::Repeat(rest.parse().ok()?),
            "shares" => Self::Shares(rest.strip_suffix('%')?.parse().ok()?),
            "quiet" => Self::Quiet,
            "strict" => Self::Strict,
            "pause" => Self::Pause(milliseconds(rest)?),
            "requests" => Self::Requests(parts.next()?.to_owned(), parts.next()?.parse().ok()?),
            "release" => Self::Release(word()?),
            "stop" => Self::Stop(word()?),
            "start" => Self::Start(word()?),
            "ill" => Self::Health(word()?, false),
            "well" => Self::Health(word()?, true),
            "received" => Self::Received(word()?),
            "checked" => Self::Checked(word()?),
            "stat" => Self::Stat {
                row: parts.next()?.to_owned(),
                cell: parts.next()?.to_owned(),
                begins: parts.collect::<Vec<_>>().join(" "),
            },
            "log" => Self::Log(rest.parse().ok()?),
            "cli" => Self::Cli(word()?),
            "do" => Self::Do(word()?),
            "write" => {
                let (file, text) = rest.split_once(' ')?;
                Self::Write { file: file.to_owned(), text: text.to_owned() }
            }
            "touch" => Self::Touch { file: parts.next()?.to_owned(), unix_s: parts.next()?.parse().ok()? },
            "fill" => Self::Fill { file: parts.next()?.to_owned(), bytes: parts.next()?.parse().ok()? },
            "folder" => Self::Folder(word()?),
            "link" => Self::Link { name: parts.next()?.to_owned(), to: parts.next()?.to_owned() },
            "remove" => Self::Remove(word()?),
            "file" => Self::File(word()?),
            "process" => Self::Process,
            "stats" => Self::Stats(parts.map(str::to_owned).collect()),
            "no-stats" => Self::NoStats,
            "no-log" => Self::NoLog,
            _ => return None,
        })
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    match words(text).as_slice() {
        [Word::Bytes(bytes)] => Some(bytes.clone()),
        _ => None,
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
}
