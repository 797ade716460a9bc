//! Stick tables: `stick-table`, `table`, `stick …`, `track-sc*`, `sc-*`, and the fetches `sc_*` and `src_*`.

use super::acl;
use super::keywords::{self, ANY, Entry};
use super::said::{Cursor, Done, Said};
use super::sample::{self, Kind, Origin, Sample, Words};
use super::scene::{Phase, Scene, Shared};
use plan::Place;
use plan::rule::{Converter, Expr, Fetch};
use plan::table::{
    Amount, Ask, Change, Counter, Datum, Form, KeyKind, ServerKey, StickRule, Stored, Table, TableFetch,
    TableKey, TableLookup, Track, TrackedChange,
};

/// Elements of an array at most.
const MOST_ELEMENTS: u64 = 100;
/// Longest key of text or bytes.
const LONGEST_KEY: u64 = 65_536;

/// A table named by a rule or an expression.
pub(super) struct Use {
    /// Where.
    pub place: Place,
    /// Its name.
    pub table: String,
    /// Servers are remembered in it.
    pub servers: bool,
}

/// `stick-table type … size … [store …]`.
pub(super) fn stick_table(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let name = scene.proxy.name.clone();
    let table = declaration(cursor, name, true)?;
    declare(scene.shared, table)
}

/// Adds a table; names are those of sections, so they differ unless it was said twice.
pub(super) fn declare(shared: &mut Shared<'_>, table: Table) -> Done {
    if let Some(first) = shared.tables.iter().find(|t| t.name == table.name) {
        return Err(Said::new(format!("the table '{}' is defined twice", table.name))
            .hint(format!("the first one is at {}", first.place)));
    }
    shared.tables.push(table);
    Ok(())
}

/// The words behind `stick-table`, or behind `table NAME`.
pub(super) fn declaration(cursor: &mut Cursor<'_>, name: String, in_proxy: bool) -> Done<Table> {
    let place = cursor.line.place(0);
    let (mut key, mut size) = (None, None);
    let mut table = Table {
        place,
        name,
        key: KeyKind::Ipv4,
        size: 0,
        expire: None,
        purge: true,
        store: Vec::new(),
        server_key: ServerKey::Name,
        byte_rate_factor: 1,
        peers: None,
    };
    while let Some(word) = cursor.next() {
        let at = cursor.at - 1;
        match word.text.as_str() {
            "type" => key = Some(key_kind(cursor)?),
            "size" => size = Some(cursor.size()?),
            "expire" => table.expire = super::units::limit(cursor.time()?),
            "nopurge" => table.purge = false,
            "store" => store(cursor, &mut table.store)?,
            "srvkey" => {
                table.server_key = match cursor.text("name or addr")? {
                    "name" => ServerKey::Name,
                    "addr" => ServerKey::Address,
                    other => return Err(cursor.wrong(other, "name or addr")),
                }
            }
            "brates-factor" => table.byte_rate_factor = cursor.number_in("a factor", 1, 1024)? as u32,
            "peers" if in_proxy => table.peers = Some(cursor.text("the name of a peers section")?.to_owned()),
            "recv-only" | "write-to" => {
                return Err(Said::not_yet(format!("'{}' of a table", word.text)).at(at));
            }
            other => return Err(cursor.wrong(other, "type, size, expire, nopurge, peers, srvkey or store")),
        }
    }
    table.key = key.ok_or_else(|| Said::new("a table needs 'type ip', 'type string' …"))?;
    let size = size.filter(|size| *size > 0).ok_or_else(|| Said::new("a table needs 'size' and a number"))?;
    table.size =
        u32::try_from(size).map_err(|_| Said::new(format!("a table of {size} entries is too large")))?;
    check_arrays(&table.store)?;
    table.store.sort_by_key(|stored| stored.datum);
    Ok(table)
}

fn key_kind(cursor: &mut Cursor<'_>) -> Done<KeyKind> {
    let length = |cursor: &mut Cursor<'_>| -> Done<u32> {
        if cursor.eat("len") { Ok(cursor.number_in("a length", 1, LONGEST_KEY)? as u32) } else { Ok(32) }
    };
    // HAProxy keeps 32 bytes for a text, and its end is one of them.
    let text_length = |cursor: &mut Cursor<'_>| -> Done<u32> {
        if cursor.peek() == "len" { length(cursor) } else { Ok(31) }
    };
    Ok(match cursor.text("ip, ipv6, integer, string or binary")? {
        "ip" | "ipv4" => KeyKind::Ipv4,
        "ipv6" => KeyKind::Ipv6,
        "integer" => KeyKind::Integer,
        "string" => KeyKind::Text(text_length(cursor)?),
        "binary" => KeyKind::Binary(length(cursor)?),
        other => return Err(cursor.wrong(other, "ip, ipv6, integer, string or binary")),
    })
}

/// `gpc0,conn_rate(10s),gpt(4)`.
fn store(cursor: &mut Cursor<'_>, list: &mut Vec<Stored>) -> Done {
    let text = cursor.text("what is stored, such as gpc0 or conn_rate(10s)")?;
    for item in split_outside_parentheses(text) {
        let stored = stored(item).map_err(|said| said.at(cursor.at - 1))?;
        if list.iter().any(|other| other.datum == stored.datum) {
            return Err(Said::new(format!("'{}' is stored twice", stored.datum.word())).at(cursor.at - 1));
        }
        list.push(stored);
    }
    Ok(())
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0u32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn stored(item: &str) -> Done<Stored> {
    let (word, arguments) = match item.split_once('(') {
        None => (item, ""),
        Some((word, rest)) => {
            let inner = rest.strip_suffix(')');
            (word, inner.ok_or_else(|| Said::new(format!("'{item}' has no ')'")))?)
        }
    };
    if word.starts_with("glitch_") {
        return Err(Said::not_yet(format!("the data '{word}' of a table")));
    }
    let datum = Datum::of_word(word).ok_or_else(|| {
        let words = Datum::ALL.iter().map(|(_, word)| *word);
        Said::new(format!("'{word}' is nothing that a table stores")).hint(keywords::nearest(word, words))
    })?;
    let mut arguments = arguments.split(',').filter(|text| !text.is_empty());
    let count = if datum.is_array() { elements(word, arguments.next())? } else { 1 };
    let period_ms = if datum.form() == Form::Rate { period(word, arguments.next())? } else { 0 };
    match arguments.next() {
        None => Ok(Stored { datum, period_ms, count }),
        Some(more) => Err(Said::new(format!("'{word}' does not expect '{more}'"))),
    }
}

fn elements(word: &str, text: Option<&str>) -> Done<u16> {
    let count = text.and_then(|text| text.trim().parse::<u64>().ok());
    count
        .filter(|n| (1..=MOST_ELEMENTS).contains(n))
        .map(|n| n as u16)
        .ok_or_else(|| Said::new(format!("'{word}' needs a number of elements from 1 to {MOST_ELEMENTS}")))
}

fn period(word: &str, text: Option<&str>) -> Done<u32> {
    let text = text.ok_or_else(|| Said::new(format!("'{word}' needs a period, as in {word}(10s)")))?;
    let period = super::units::time(text.trim(), 1)?;
    match period.as_millis() as u32 {
        0 => Err(Said::new(format!("the period of '{word}' is 0"))),
        period => Ok(period),
    }
}

/// An array and a single counter of one kind exclude each other.
fn check_arrays(list: &[Stored]) -> Done {
    let has = |datum| list.iter().any(|stored| stored.datum == datum);
    for (array, singles) in [
        (Datum::Gpt, &[Datum::Gpt0][..]),
        (Datum::Gpc, &[Datum::Gpc0, Datum::Gpc1]),
        (Datum::GpcRate, &[Datum::Gpc0Rate, Datum::Gpc1Rate]),
    ] {
        if let Some(single) = singles.iter().find(|single| has(array) && has(**single)) {
            return Err(Said::new(format!(
                "'{}' and '{}' exclude each other in one table",
                array.word(),
                single.word()
            )));
        }
    }
    Ok(())
}

/// The name of a table: the one said, or that of the section. It must exist in the end.
fn named(scene: &Scene<'_, '_>, said: Option<&str>, servers: bool) -> Box<str> {
    let table = said.map_or_else(|| scene.proxy.name.clone(), str::to_owned);
    scene.shared.table_uses.borrow_mut().push(Use {
        place: scene.here.clone(),
        table: table.clone(),
        servers,
    });
    table.into()
}

/// `stick on|match|store-request|store-response KEY [table T] [if …]`.
pub(super) fn stick(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let place = cursor.line.place(0);
    let (matches, stores, phase) = match cursor.text("on, match, store-request or store-response")? {
        "on" => (true, true, Phase::Content),
        "match" => (true, false, Phase::Content),
        "store-request" => (false, true, Phase::Content),
        "store-response" => (false, true, Phase::Response),
        other => return Err(cursor.wrong(other, "on, match, store-request or store-response")),
    };
    let key = key(scene, cursor, phase)?;
    let said = if cursor.eat("table") { Some(cursor.text("the name of a table")?) } else { None };
    let table = named(scene, said, true);
    let condition = acl::condition(scene, cursor, phase)?;
    cursor.end()?;
    let rule = StickRule { place, key, table, condition, matches, stores };
    let pool = &mut scene.proxy.pool;
    if phase == Phase::Response {
        pool.stick_response.push(rule);
    } else {
        pool.stick.push(rule);
    }
    Ok(())
}

fn key(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Expr> {
    let at = cursor.at;
    let word = cursor.need("a key such as src or req.cook(NAME)")?;
    let found = sample::read_whole(scene, &word.bytes).map_err(|said| said.at(at))?;
    sample::check_phase(&found, phase).map_err(|said| said.at(at))?;
    Ok(found.expr)
}

/// `track-scN KEY [table T]`; `word` is the action's own word.
pub(super) fn track(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Track> {
    let word = cursor.line.text(cursor.at - 1);
    let slot = slot(scene, word.trim_start_matches("track-sc")).map_err(|said| said.at(cursor.at - 1))?;
    let key = key(scene, cursor, phase)?;
    let said = if cursor.eat("table") { Some(cursor.text("the name of a table")?) } else { None };
    Ok(Track { slot, key, table: named(scene, said, false) })
}

fn slot(scene: &Scene<'_, '_>, text: &str) -> Done<u8> {
    let most = scene.shared.stick_counters;
    let slot = text.trim().parse::<u8>().ok().filter(|slot| *slot < most);
    slot.ok_or_else(|| {
        Said::new(format!("'{text}' is no number of a counter: they go from 0 to {}", i32::from(most) - 1))
            .hint("'tune.stick-counters' in 'global' gives more of them")
    })
}

/// `sc-inc-gpc0(N)`, `sc-add-gpc(I,N) VALUE`, `sc-set-gpt(I,N) VALUE` and their like.
pub(super) fn change(
    scene: &mut Scene<'_, '_>,
    cursor: &mut Cursor<'_>,
    phase: Phase,
) -> Done<TrackedChange> {
    let at = cursor.at - 1;
    let word = cursor.line.text(at);
    let (name, inner) =
        word.split_once('(').and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?))).ok_or_else(
            || Said::new(format!("'{word}' needs the number of a counter in parentheses")).at(at),
        )?;
    let arguments: Vec<&str> = inner.split(',').map(str::trim).collect();
    let indexed = matches!(name, "sc-inc-gpc" | "sc-add-gpc" | "sc-set-gpt");
    let (element, counter) = match (indexed, arguments.as_slice()) {
        (true, [element, counter]) => (self::element(element).map_err(|said| said.at(at))?, *counter),
        (false, [counter]) => (0, *counter),
        _ => return Err(Said::new(format!("'{word}' has the wrong number of arguments")).at(at)),
    };
    let slot = slot(scene, counter).map_err(|said| said.at(at))?;
    let one = Amount::Fixed(1);
    let change = match name {
        "sc-inc-gpc" => Change::Add(Counter::Element(element), one),
        "sc-inc-gpc0" => Change::Add(Counter::Single(0), one),
        "sc-inc-gpc1" => Change::Add(Counter::Single(1), one),
        "sc-add-gpc" => Change::Add(Counter::Element(element), amount(scene, cursor, phase)?),
        "sc-set-gpt" => Change::SetElement(element, amount(scene, cursor, phase)?),
        _ => Change::SetTag(amount(scene, cursor, phase)?),
    };
    Ok(TrackedChange { slot, change })
}

fn element(text: &str) -> Done<u8> {
    let index = text.parse::<u64>().ok().filter(|n| *n < MOST_ELEMENTS);
    index.map(|n| n as u8).ok_or_else(|| Said::new(format!("'{text}' is no index from 0 to 99")))
}

fn amount(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>, phase: Phase) -> Done<Amount> {
    if let Ok(number) = cursor.peek().parse::<u32>() {
        cursor.at += 1;
        return Ok(Amount::Fixed(number));
    }
    key(scene, cursor, phase).map(Amount::Computed)
}

/// A word behind `sc_`, `sc0_` … and `src_`.
pub(super) struct FetchAct {
    /// With `sc_` and its like.
    tracked: bool,
    /// With `src_`.
    client: bool,
    /// Its first argument is the index of an element.
    indexed: bool,
    kind: Kind,
    make: fn(u8) -> Ask,
}

macro_rules! entry {
    ($name:literal, indexed, $make:expr, $manual:literal) => {
        entry!($name, Int, true, true, true, $make, $manual)
    };
    ($name:literal, $kind:ident, $make:expr, $manual:literal) => {
        entry!($name, $kind, true, true, false, $make, $manual)
    };
    ($name:literal, $kind:ident, $tracked:literal, $client:literal, $indexed:literal, $make:expr, $manual:literal) => {
        Entry {
            name: $name,
            sections: ANY,
            act: FetchAct {
                tracked: $tracked,
                client: $client,
                indexed: $indexed,
                kind: Kind::$kind,
                make: $make,
            },
            manual: $manual,
        }
    };
}

/// Words behind `sc_`, `sc0_` … and `src_`.
pub(super) const FETCHES: &[Entry<FetchAct>] = &[
    entry!("bytes_in_rate", Int, |_| Ask::Value(Datum::BytesInRate), "bytes from the client in the period"),
    entry!("bytes_out_rate", Int, |_| Ask::Value(Datum::BytesOutRate), "bytes to the client in the period"),
    entry!(
        "clr_gpc",
        indexed,
        |n| Ask::Clear(Counter::Element(n)),
        "sets a counter to 0 and gives the old value"
    ),
    entry!("clr_gpc0", Int, |_| Ask::Clear(Counter::Single(0)), "sets gpc0 to 0 and gives the old value"),
    entry!("clr_gpc1", Int, |_| Ask::Clear(Counter::Single(1)), "sets gpc1 to 0 and gives the old value"),
    entry!("conn_cnt", Int, |_| Ask::Value(Datum::ConnCnt), "connections so far"),
    entry!("conn_cur", Int, |_| Ask::Value(Datum::ConnCur), "connections at this moment"),
    entry!("conn_rate", Int, |_| Ask::Value(Datum::ConnRate), "connections in the period"),
    entry!("get_gpc", indexed, |n| Ask::Counter(Counter::Element(n)), "a counter of the array"),
    entry!("get_gpc0", Int, |_| Ask::Counter(Counter::Single(0)), "the counter gpc0"),
    entry!("get_gpc1", Int, |_| Ask::Counter(Counter::Single(1)), "the counter gpc1"),
    entry!("get_gpt", indexed, |n| Ask::Element(Datum::Gpt, n), "a tag of the array"),
    entry!("get_gpt0", Int, |_| Ask::Tag, "the tag gpt0"),
    entry!("gpc0_rate", Int, |_| Ask::CounterRate(Counter::Single(0)), "increments of gpc0 in the period"),
    entry!("gpc1_rate", Int, |_| Ask::CounterRate(Counter::Single(1)), "increments of gpc1 in the period"),
    entry!(
        "gpc_rate",
        indexed,
        |n| Ask::CounterRate(Counter::Element(n)),
        "increments of a counter in the period"
    ),
    entry!(
        "http_err_cnt",
        Int,
        |_| Ask::Value(Datum::HttpErrCnt),
        "requests that failed by the client's fault"
    ),
    entry!("http_err_rate", Int, |_| Ask::Value(Datum::HttpErrRate), "the same in the period"),
    entry!(
        "http_fail_cnt",
        Int,
        |_| Ask::Value(Datum::HttpFailCnt),
        "requests that failed by a server's fault"
    ),
    entry!("http_fail_rate", Int, |_| Ask::Value(Datum::HttpFailRate), "the same in the period"),
    entry!("http_req_cnt", Int, |_| Ask::Value(Datum::HttpReqCnt), "requests so far"),
    entry!("http_req_rate", Int, |_| Ask::Value(Datum::HttpReqRate), "requests in the period"),
    entry!("inc_gpc", indexed, |n| Ask::Increment(Counter::Element(n)), "adds one to a counter and gives it"),
    entry!("inc_gpc0", Int, |_| Ask::Increment(Counter::Single(0)), "adds one to gpc0 and gives it"),
    entry!("inc_gpc1", Int, |_| Ask::Increment(Counter::Single(1)), "adds one to gpc1 and gives it"),
    entry!("kbytes_in", Int, |_| Ask::Kilobytes(Datum::BytesInCnt), "KiB from the client so far"),
    entry!("kbytes_out", Int, |_| Ask::Kilobytes(Datum::BytesOutCnt), "KiB to the client so far"),
    entry!("key", Any, true, false, false, |_| Ask::Key, "the key that is tracked"),
    entry!("sess_cnt", Int, |_| Ask::Value(Datum::SessCnt), "sessions so far"),
    entry!("sess_rate", Int, |_| Ask::Value(Datum::SessRate), "sessions in the period"),
    entry!("tracked", Bool, true, false, false, |_| Ask::Tracked, "true while something is tracked"),
    entry!("trackers", Int, true, false, false, |_| Ask::Trackers, "connections that track the same key"),
    entry!(
        "updt_conn_cnt",
        Int,
        false,
        true,
        false,
        |_| Ask::CountConnection,
        "counts a connection and gives the count"
    ),
];

/// The fetch of that name, when it is one about tables.
pub(super) fn fetch(scene: &Scene<'_, '_>, name: &str, arguments: &[Vec<u8>]) -> Option<Done<Sample>> {
    let texts: Vec<String> = arguments.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect();
    let count = |make: fn(Box<str>) -> Fetch| {
        let fetch = one_table(scene, name, &texts).map(make);
        fetch.map(|fetch| sample_of(name, Kind::Int, fetch))
    };
    match name {
        "table_avail" => return Some(count(Fetch::TableFree)),
        "table_cnt" => return Some(count(Fetch::TableUsed)),
        _ => {}
    }
    let (prefix, word) = name.split_once('_')?;
    let client = prefix == "src";
    let fixed = match prefix {
        "sc" | "src" => None,
        other => Some(other.strip_prefix("sc").filter(|digit| matches!(*digit, "0" | "1" | "2"))?),
    };
    let entry = FETCHES.iter().find(|e| e.name == word)?;
    let known = if client { entry.act.client } else { entry.act.tracked };
    let known = known && !(fixed.is_some() && entry.act.indexed);
    known.then(|| question(scene, name, &entry.act, (client, fixed), &texts))
}

fn sample_of(name: &str, kind: Kind, fetch: Fetch) -> Sample {
    Sample { expr: Expr::of(fetch), kind, from: Origin::Anywhere, name: name.to_owned() }
}

fn one_table(scene: &Scene<'_, '_>, name: &str, texts: &[String]) -> Done<Box<str>> {
    match texts {
        [] => Ok(named(scene, None, false)),
        [table] => Ok(named(scene, Some(table), false)),
        _ => Err(Said::new(format!("'{name}' takes the name of one table"))),
    }
}

/// `sc_get_gpc(INDEX,COUNTER[,TABLE])`, `sc0_conn_cur([TABLE])`, `src_get_gpt(INDEX[,TABLE])`.
fn question(
    scene: &Scene<'_, '_>,
    name: &str,
    act: &FetchAct,
    (client, fixed): (bool, Option<&str>),
    texts: &[String],
) -> Done<Sample> {
    let mut texts = texts.iter().map(String::as_str);
    let mut need =
        |what: &str| texts.next().ok_or_else(|| Said::new(format!("'{name}' needs {what} in parentheses")));
    let index = if act.indexed { element(need("an index")?)? } else { 0 };
    let key = match (client, fixed) {
        (true, _) => TableKey::Client,
        (false, Some(digit)) => TableKey::Tracked(slot(scene, digit)?),
        (false, None) => TableKey::Tracked(slot(scene, need("the number of a counter")?)?),
    };
    let table = match (texts.next(), client) {
        (Some(table), _) => Some(named(scene, Some(table), false)),
        (None, true) => Some(named(scene, None, false)),
        (None, false) => None,
    };
    if let Some(more) = texts.next() {
        return Err(Said::new(format!("'{name}' does not expect '{more}'")));
    }
    let fetch = TableFetch { key, table, ask: (act.make)(index) };
    Ok(sample_of(name, act.kind, Fetch::Table(Box::new(fetch))))
}

/// A converter that asks a table.
pub(super) struct ConvertAct {
    /// Its first argument is the index of an element.
    indexed: bool,
    /// An argument behind the table is the value without an entry.
    default: bool,
    kind: Kind,
    make: fn(u8, Option<i64>) -> Ask,
}

macro_rules! lookup {
    ($name:literal, indexed, $make:expr, $manual:literal) => {
        lookup!($name, Int, true, false, $make, $manual)
    };
    ($name:literal, default, $make:expr, $manual:literal) => {
        lookup!($name, Int, false, true, $make, $manual)
    };
    ($name:literal, $kind:ident, $make:expr, $manual:literal) => {
        lookup!($name, $kind, false, false, $make, $manual)
    };
    ($name:literal, $kind:ident, $indexed:literal, $default:literal, $make:expr, $manual:literal) => {
        Entry {
            name: $name,
            sections: ANY,
            act: ConvertAct { indexed: $indexed, default: $default, kind: Kind::$kind, make: $make },
            manual: $manual,
        }
    };
}

/// Converters that ask a table about their input.
pub(super) const CONVERTERS: &[Entry<ConvertAct>] = &[
    lookup!("in_table", Bool, |_, _| Ask::Present, "true when the table has an entry of this key"),
    lookup!(
        "table_bytes_in_rate",
        Int,
        |_, _| Ask::Value(Datum::BytesInRate),
        "bytes from the client in the period"
    ),
    lookup!(
        "table_bytes_out_rate",
        Int,
        |_, _| Ask::Value(Datum::BytesOutRate),
        "bytes to the client in the period"
    ),
    lookup!(
        "table_clr_gpc",
        indexed,
        |n, _| Ask::Clear(Counter::Element(n)),
        "sets a counter to 0 and gives the old value"
    ),
    lookup!(
        "table_clr_gpc0",
        Int,
        |_, _| Ask::Clear(Counter::Single(0)),
        "sets gpc0 to 0 and gives the old value"
    ),
    lookup!(
        "table_clr_gpc1",
        Int,
        |_, _| Ask::Clear(Counter::Single(1)),
        "sets gpc1 to 0 and gives the old value"
    ),
    lookup!("table_conn_cnt", Int, |_, _| Ask::Value(Datum::ConnCnt), "connections so far"),
    lookup!("table_conn_cur", Int, |_, _| Ask::Value(Datum::ConnCur), "connections at this moment"),
    lookup!("table_conn_rate", Int, |_, _| Ask::Value(Datum::ConnRate), "connections in the period"),
    lookup!("table_expire", default, |_, or| Ask::Expire(or), "milliseconds until the entry expires"),
    lookup!("table_gpc", indexed, |n, _| Ask::Counter(Counter::Element(n)), "a counter of the array"),
    lookup!("table_gpc0", Int, |_, _| Ask::Counter(Counter::Single(0)), "the counter gpc0"),
    lookup!(
        "table_gpc0_rate",
        Int,
        |_, _| Ask::CounterRate(Counter::Single(0)),
        "increments of gpc0 in the period"
    ),
    lookup!("table_gpc1", Int, |_, _| Ask::Counter(Counter::Single(1)), "the counter gpc1"),
    lookup!(
        "table_gpc1_rate",
        Int,
        |_, _| Ask::CounterRate(Counter::Single(1)),
        "increments of gpc1 in the period"
    ),
    lookup!(
        "table_gpc_rate",
        indexed,
        |n, _| Ask::CounterRate(Counter::Element(n)),
        "increments of a counter in the period"
    ),
    lookup!("table_gpt", indexed, |n, _| Ask::Element(Datum::Gpt, n), "a tag of the array"),
    lookup!("table_gpt0", Int, |_, _| Ask::Tag, "the tag gpt0"),
    lookup!(
        "table_http_err_cnt",
        Int,
        |_, _| Ask::Value(Datum::HttpErrCnt),
        "requests that failed by the client's fault"
    ),
    lookup!("table_http_err_rate", Int, |_, _| Ask::Value(Datum::HttpErrRate), "the same in the period"),
    lookup!(
        "table_http_fail_cnt",
        Int,
        |_, _| Ask::Value(Datum::HttpFailCnt),
        "requests that failed by a server's fault"
    ),
    lookup!("table_http_fail_rate", Int, |_, _| Ask::Value(Datum::HttpFailRate), "the same in the period"),
    lookup!("table_http_req_cnt", Int, |_, _| Ask::Value(Datum::HttpReqCnt), "requests so far"),
    lookup!("table_http_req_rate", Int, |_, _| Ask::Value(Datum::HttpReqRate), "requests in the period"),
    lookup!("table_idle", default, |_, or| Ask::Idle(or), "milliseconds since the entry was used"),
    lookup!(
        "table_inc_gpc",
        indexed,
        |n, _| Ask::Increment(Counter::Element(n)),
        "adds one to a counter and gives it"
    ),
    lookup!(
        "table_inc_gpc0",
        Int,
        |_, _| Ask::Increment(Counter::Single(0)),
        "adds one to gpc0 and gives it"
    ),
    lookup!(
        "table_inc_gpc1",
        Int,
        |_, _| Ask::Increment(Counter::Single(1)),
        "adds one to gpc1 and gives it"
    ),
    lookup!("table_kbytes_in", Int, |_, _| Ask::Kilobytes(Datum::BytesInCnt), "KiB from the client so far"),
    lookup!("table_kbytes_out", Int, |_, _| Ask::Kilobytes(Datum::BytesOutCnt), "KiB to the client so far"),
    lookup!(
        "table_server_id",
        Int,
        |_, _| Ask::Value(Datum::ServerId),
        "number of the server that is remembered"
    ),
    lookup!("table_sess_cnt", Int, |_, _| Ask::Value(Datum::SessCnt), "sessions so far"),
    lookup!("table_sess_rate", Int, |_, _| Ask::Value(Datum::SessRate), "sessions in the period"),
    lookup!("table_trackers", Int, |_, _| Ask::Trackers, "connections that track the same key"),
];

/// Appends the converter of that name, when it is one that asks a table.
pub(super) fn convert(scene: &Scene<'_, '_>, sample: &mut Sample, words: &Words<'_>) -> Option<Done> {
    let entry = CONVERTERS.iter().find(|e| e.name == words.name())?;
    let made = lookup(scene, words, &entry.act).map(|lookup| {
        sample.expr.converters.push(Converter::Table(Box::new(lookup)));
        sample.kind = entry.act.kind;
    });
    Some(made)
}

/// `table_gpc(INDEX[,TABLE])`, `table_expire([TABLE[,DEFAULT]])`.
fn lookup(scene: &Scene<'_, '_>, words: &Words<'_>, act: &ConvertAct) -> Done<TableLookup> {
    let name = words.name();
    let texts: Vec<String> = (0..words.arguments().len()).map(|n| words.text(n)).collect();
    let mut texts = texts.iter().map(String::as_str);
    let index = match act.indexed {
        true => element(texts.next().ok_or_else(|| Said::new(format!("'{name}' needs an index")))?)?,
        false => 0,
    };
    let table = named(scene, texts.next().filter(|table| !table.is_empty()), false);
    let default = match texts.next() {
        Some(text) if act.default => Some(
            text.trim().parse().map_err(|_| Said::new(format!("'{name}' needs a number, not '{text}'")))?,
        ),
        Some(more) => return Err(Said::new(format!("'{name}' does not expect '{more}'"))),
        None => None,
    };
    Ok(TableLookup { table, ask: (act.make)(index, default) })
}

/// Gives the tables what the rules that use them need, and says which are missing.
pub(super) fn finish(shared: &mut Shared<'_>) -> Vec<Table> {
    let uses = std::mem::take(&mut *shared.table_uses.borrow_mut());
    for used in uses {
        let Some(table) = shared.tables.iter_mut().find(|t| t.name == used.table) else {
            let names = shared.tables.iter().map(|t| t.name.as_str());
            let near = keywords::nearest(&used.table, names);
            let hint = if near.is_empty() { "declare it by 'stick-table type …'".to_owned() } else { near };
            let what = format!("there is no stick table '{}'", used.table);
            shared.problems.push(plan::Problem::new(used.place, what).hint(hint));
            continue;
        };
        if used.servers {
            remember_servers(table);
        }
    }
    for table in &shared.tables {
        let Some(group) = &table.peers else { continue };
        if shared.peers.iter().all(|known| known.name != *group) {
            let names = shared.peers.iter().map(|known| known.name.as_str());
            let hint = keywords::nearest(group, names);
            let what = format!("there is no peers section '{group}'");
            shared.problems.push(plan::Problem::new(table.place.clone(), what).hint(hint));
        }
    }
    std::mem::take(&mut shared.tables)
}

fn remember_servers(table: &mut Table) {
    for datum in [Datum::ServerId, Datum::ServerKey] {
        if table.store.iter().all(|stored| stored.datum != datum) {
            table.store.push(Stored { datum, period_ms: 0, count: 1 });
        }
    }
    table.store.sort_by_key(|stored| stored.datum);
}
