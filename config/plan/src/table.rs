//! Stick tables: keys of clients and what is counted or remembered for each (configuration.txt, 11.1).
//!
//! A table is declared once and named by rules, fetches and converters. The store itself is the crate `tables`.

use crate::place::Place;
use crate::rule::{Condition, Expr};
use std::time::Duration;

/// A declared table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Where it was said.
    pub place: Place,
    /// Name, unique among tables; a table of a `peers` section is `section/name`.
    pub name: String,
    /// Type of its keys.
    pub key: KeyKind,
    /// Entries at most.
    pub size: u32,
    /// Life of an entry since it was last used; `None` = until it has to go for another.
    pub expire: Option<Duration>,
    /// True: when full, the oldest entry goes for a new one. False: the new one is refused.
    pub purge: bool,
    /// What is kept in each entry, in the order of [`Datum`].
    pub store: Vec<Stored>,
    /// How `server_key` names a server.
    pub server_key: ServerKey,
    /// Byte rates count blocks of so many bytes.
    pub byte_rate_factor: u32,
    /// The group of peers that it is shared with.
    pub peers: Option<String>,
}

/// Type of a table's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses; IPv4 ones are mapped (RFC 4291, 2.5.5.2).
    Ipv6,
    /// Numbers of 32 bits.
    Integer,
    /// Text, cut to so many bytes.
    Text(u32),
    /// Bytes, cut or filled with zeros to so many.
    Binary(u32),
}

/// How `server_key` names a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerKey {
    /// By its name.
    #[default]
    Name,
    /// By its address and port.
    Address,
}

/// One kind of data in each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What.
    pub datum: Datum,
    /// Period of a rate, milliseconds; 0 for what is no rate.
    pub period_ms: u32,
    /// Elements of an array; 1 for what is no array.
    pub count: u16,
}

/// Kinds of data, in the order in which entries show them and peers send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // the words of configuration.txt, 11.1
pub enum Datum {
    ServerId,
    Gpt0,
    Gpc0,
    Gpc0Rate,
    ConnCnt,
    ConnRate,
    ConnCur,
    SessCnt,
    SessRate,
    HttpReqCnt,
    HttpReqRate,
    HttpErrCnt,
    HttpErrRate,
    BytesInCnt,
    BytesInRate,
    BytesOutCnt,
    BytesOutRate,
    Gpc1,
    Gpc1Rate,
    ServerKey,
    HttpFailCnt,
    HttpFailRate,
    Gpt,
    Gpc,
    GpcRate,
}

/// How a kind of data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number of 32 bits that grows, or is set.
    Number,
    /// A number of 64 bits.
    Long,
    /// Events in the last period.
    Rate,
    /// A short text, by its number in the table's dictionary.
    Word,
}

impl Datum {
    /// All of them with their words, in order.
    pub const ALL: [(Datum, &'static str); 25] = [
        (Datum::ServerId, "server_id"),
        (Datum::Gpt0, "gpt0"),
        (Datum::Gpc0, "gpc0"),
        (Datum::Gpc0Rate, "gpc0_rate"),
        (Datum::ConnCnt, "conn_cnt"),
        (Datum::ConnRate, "conn_rate"),
        (Datum::ConnCur, "conn_cur"),
        (Datum::SessCnt, "sess_cnt"),
        (Datum::SessRate, "sess_rate"),
        (Datum::HttpReqCnt, "http_req_cnt"),
        (Datum::HttpReqRate, "http_req_rate"),
        (Datum::HttpErrCnt, "http_err_cnt"),
        (Datum::HttpErrRate, "http_err_rate"),
        (Datum::BytesInCnt, "bytes_in_cnt"),
        (Datum::BytesInRate, "bytes_in_rate"),
        (Datum::BytesOutCnt, "bytes_out_cnt"),
        (Datum::BytesOutRate, "bytes_out_rate"),
        (Datum::Gpc1, "gpc1"),
        (Datum::Gpc1Rate, "gpc1_rate"),
        (Datum::ServerKey, "server_key"),
        (Datum::HttpFailCnt, "http_fail_cnt"),
        (Datum::HttpFailRate, "http_fail_rate"),
        (Datum::Gpt, "gpt"),
        (Datum::Gpc, "gpc"),
        (Datum::GpcRate, "gpc_rate"),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Datum::ALL[self as usize].1
    }

    /// The datum of that word.
    pub fn of_word(word: &str) -> Option<Datum> {
        Datum::ALL.iter().find(|(_, name)| *name == word).map(|(datum, _)| *datum)
    }

    /// How it is kept.
    pub fn form(self) -> Form {
        use Datum as D;
        match self {
            D::Gpc0Rate | D::ConnRate | D::SessRate | D::HttpReqRate | D::HttpErrRate => Form::Rate,
            D::BytesInRate | D::BytesOutRate | D::Gpc1Rate | D::HttpFailRate | D::GpcRate => Form::Rate,
            D::BytesInCnt | D::BytesOutCnt => Form::Long,
            D::ServerKey => Form::Word,
            _ => Form::Number,
        }
    }

    /// True for arrays.
    pub fn is_array(self) -> bool {
        matches!(self, Datum::Gpt | Datum::Gpc | Datum::GpcRate)
    }

    /// True for what only says how things are here: peers do not learn it.
    pub fn is_local(self) -> bool {
        self == Datum::ConnCur
    }
}

/// A general purpose counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// `gpc0` or `gpc1`, be it of its own or the element of an array.
    Single(u8),
    /// An element of the array only.
    Element(u8),
}

/// Whose entry is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKey {
    /// What the slot tracks.
    Tracked(u8),
    /// The client's address.
    Client,
}

/// A question about an entry (7.3.3).
#[derive(Clone, Debug, PartialEq)]
pub struct TableFetch {
    /// Whose entry.
    pub key: TableKey,
    /// The table; `None` = the one in which the slot tracks.
    pub table: Option<Box<str>>,
    /// What is asked.
    pub ask: Ask,
}

/// A converter that looks its input up in a table (7.3.1, `table_*`).
#[derive(Clone, Debug, PartialEq)]
pub struct TableLookup {
    /// The table.
    pub table: Box<str>,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A counter, or events in the period of a rate.
    Value(Datum),
    /// An element of an array.
    Element(Datum, u8),
    /// A count of bytes in KiB.
    Kilobytes(Datum),
    /// A general purpose tag: `gpt0`, be it of its own or the first of the array.
    Tag,
    /// A general purpose counter.
    Counter(Counter),
    /// Its rate.
    CounterRate(Counter),
    /// Adds one; the new value.
    Increment(Counter),
    /// Sets it to 0; the value before.
    Clear(Counter),
    /// Is there an entry?
    Present,
    /// Does the slot track?
    Tracked,
    /// How many track it.
    Trackers,
    /// The key that is tracked.
    Key,
    /// Milliseconds until it expires, or this when there is no entry.
    Expire(Option<i64>),
    /// Milliseconds since it was used, or this when there is no entry.
    Idle(Option<i64>),
    /// Counts a connection; the new count.
    CountConnection,
}

/// Begins to track a key (`track-sc0` …): from now on its entry counts this connection or request.
#[derive(Clone, Debug)]
pub struct Track {
    /// Slot, from 0.
    pub slot: u8,
    /// Key.
    pub key: Expr,
    /// Table.
    pub table: Box<str>,
}

/// Changes what the tracked entry of a slot keeps (`sc-inc-gpc`, `sc-set-gpt` …).
#[derive(Clone, Debug)]
pub struct TrackedChange {
    /// Slot.
    pub slot: u8,
    /// What changes.
    pub change: Change,
}

/// A change of a tracked entry.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds to a counter.
    Add(Counter, Amount),
    /// Sets `gpt0`, be it of its own or the first of the array.
    SetTag(Amount),
    /// Sets an element of the array of tags.
    SetElement(u8, Amount),
}

/// A number, fixed or computed.
#[derive(Clone, Debug)]
pub enum Amount {
    /// This one.
    Fixed(u32),
    /// By an expression; without a value nothing changes.
    Computed(Expr),
}

/// A rule by which clients stay at a server (`stick …`).
#[derive(Clone, Debug)]
pub struct StickRule {
    /// Where it was said.
    pub place: Place,
    /// The entry of this key.
    pub key: Expr,
    /// In this table.
    pub table: Box<str>,
    /// When.
    pub condition: Condition,
    /// The entry chooses the server (`match`, `on`).
    pub matches: bool,
    /// The chosen server is remembered (`store-request`, `on`, and all of the response).
    pub stores: bool,
}

impl Table {
    /// Equal but for the place in the file: a reload keeps the entries.
    pub fn same_but_for_place(&self, other: &Table) -> bool {
        let bare = |table: &Table| Table { place: Place::none(), ..table.clone() };
        bare(self) == bare(other)
    }
}
