//! The rows of HAProxy's statistics, one table of columns for CSV, typed text and JSON.

use crate::checks;
use crate::columns::{COLUMNS, Column};
use crate::view::{PoolView, ServerView, SiteView, Snapshot};
use std::fmt::Write as _;
use telemetry::json;

/// Column `pid`: there is one process.
const PROCESS_NUMBER: u64 = 1;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl From<u64> for Cell {
    fn from(n: u64) -> Cell {
        Cell::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell {
    fn from(n: u32) -> Cell {
        Cell::Number(i64::from(n))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        if text.is_empty() { Cell::Empty } else { Cell::Text(text.to_owned()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::from(text.as_str())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Empty, Into::into)
    }
}

/// What a row is about; the number is HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// FRONTEND.
    Site = 0,
    /// BACKEND.
    Pool = 1,
    /// A server.
    Server = 2,
}

/// A row of the statistics.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub kind: RowKind,
    /// Number of the site or pool.
    pub proxy: u32,
    /// Number of the server, 0 for others.
    pub server: u32,
    /// Name of the site or pool.
    pub name: String,
    /// It is not up.
    pub down: bool,
    /// It is in maintenance.
    pub maintenance: bool,
    /// Values by column.
    pub cells: Vec<Cell>,
}

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Only this site or pool by number.
    pub proxy: Option<u32>,
    /// Only sites and pools whose name contains this text.
    pub scope: String,
    /// Bits of 1 sites, 2 pools, 4 servers.
    pub kinds: u32,
    /// Only this server by number.
    pub server: Option<u32>,
    /// Leave out what is not up.
    pub only_up: bool,
    /// Leave out servers in maintenance.
    pub no_maintenance: bool,
    /// Only these names; empty = all (`stats scope`).
    pub names: Vec<String>,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            proxy: None,
            scope: String::new(),
            kinds: 7,
            server: None,
            only_up: false,
            no_maintenance: false,
            names: Vec::new(),
        }
    }
}

impl Selection {
    /// True when this site or pool is wanted.
    pub fn has_proxy(&self, id: u32, name: &str) -> bool {
        self.proxy.is_none_or(|wanted| wanted == id)
            && (self.scope.is_empty() || name.contains(&self.scope))
            && (self.names.is_empty() || self.names.iter().any(|n| n == name))
    }

    fn has(&self, row: &Row) -> bool {
        let kind = match row.kind {
            RowKind::Site => 1,
            RowKind::Pool => 2,
            RowKind::Server => 4,
        };
        self.has_proxy(row.proxy, &row.name)
            && self.kinds & kind != 0
            && (row.kind != RowKind::Server || self.server.is_none_or(|id| id == row.server))
            && !(self.only_up && row.down)
            && !(self.no_maintenance && row.maintenance)
    }
}

/// The rows in HAProxy's order: by number, the site first, then servers, then the pool.
pub fn rows(snapshot: &Snapshot, selection: &Selection) -> Vec<Row> {
    let mut rows: Vec<Row> = snapshot.sites.iter().map(site_row).collect();
    for pool in &snapshot.pools {
        rows.extend(pool.servers.iter().map(|server| server_row(pool, server)));
        rows.push(pool_row(pool, selection.only_up || selection.no_maintenance));
    }
    rows.sort_by_key(|row| row.proxy); // stable: a site stays in front of the pool of the same number
    rows.retain(|row| selection.has(row));
    rows
}

/// `;csv` and `show stat`: head line and rows, each with a comma at its end.
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::from("# ");
    for column in &COLUMNS {
        out.push_str(column.name);
        out.push(',');
    }
    out.push('\n');
    for row in rows {
        for cell in &row.cells {
            write_csv(cell, &mut out);
            out.push(',');
        }
        out.push('\n');
    }
    out
}

/// `show stat typed`: a line per value, with what it means when `description` is asked for.
pub fn typed(rows: &[Row], description: bool) -> String {
    let mut out = String::new();
    for row in rows {
        for (at, cell) in row.cells.iter().enumerate() {
            let value = match cell {
                Cell::Empty => continue,
                Cell::Number(n) => n.to_string(),
                Cell::Text(text) => one_line(text),
            };
            let (name, kind) = (COLUMNS[at].name, COLUMNS[at].kind);
            let (letter, tags) = (row.kind.letter(), tags(row.kind, at));
            let _ = write!(out, "{letter}.{}.{}.{at}.{name}.1:{tags}:{kind}:{value}", row.proxy, row.server);
            match description {
                true => drop(writeln!(out, ":\"{}\"", crate::columns::about(name))),
                false => out.push('\n'),
            }
        }
        out.push('\n');
    }
    out
}

/// `;json` and `show stat json`: HAProxy's form, an array per row of objects per value.
pub fn json(rows: &[Row]) -> String {
    let mut out = b"[".to_vec();
    for (index, row) in rows.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        let filled = row.cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::Empty);
        for (nth, (at, cell)) in filled.enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            write_json(row, at, cell, &mut out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]\n");
    String::from_utf8(out).unwrap_or_default()
}

impl RowKind {
    fn letter(self) -> char {
        match self {
            RowKind::Site => 'F',
            RowKind::Pool => 'B',
            RowKind::Server => 'S',
        }
    }

    fn word(self) -> &'static str {
        match self {
            RowKind::Site => "Frontend",
            RowKind::Pool => "Backend",
            RowKind::Server => "Server",
        }
    }
}

/// Tags of a column; pools count servers and take rates as gauges where the others do not.
fn tags(kind: RowKind, at: usize) -> &'static str {
    match COLUMNS[at].name {
        "act" | "bck" | "rate" | "rate_max" if kind == RowKind::Pool => "MGP",
        _ => COLUMNS[at].tags,
    }
}

fn write_json(row: &Row, at: usize, cell: &Cell, out: &mut Vec<u8>) {
    let Column { name, kind, .. } = COLUMNS[at];
    let head = format!(
        "{{\"objType\":\"{}\",\"proxyId\":{},\"id\":{},\"field\":{{\"pos\":{at},\"name\":\"{name}\"}},\
         \"processNum\":1,\"tags\":{},\"value\":{{\"type\":\"{kind}\",\"value\":",
        row.kind.word(),
        row.proxy,
        row.server,
        json_tags(tags(row.kind, at)),
    );
    out.extend_from_slice(head.as_bytes());
    match cell {
        Cell::Empty => out.extend_from_slice(b"null"),
        Cell::Number(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Cell::Text(text) => json::write_string(text.as_bytes(), out),
    }
    out.extend_from_slice(b"}}");
}

/// The three letters of a typed value in words.
pub(crate) fn json_tags(tags: &str) -> String {
    let mut letters = tags.chars();
    let origin = match letters.next() {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        _ => "Product",
    };
    let nature = match letters.next() {
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('N') => "Name",
        Some('R') => "Rate",
        Some('T') => "Time",
        _ => "Output",
    };
    let scope = match letters.next() {
        Some('S') => "Service",
        Some('C') => "Cluster",
        _ => "Process",
    };
    format!("{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}}")
}

/// A text with a comma, quote or line end is quoted, quotes in it doubled (RFC 4180, 2).
fn write_csv(cell: &Cell, out: &mut String) {
    match cell {
        Cell::Empty => {}
        Cell::Number(n) => drop(write!(out, "{n}")),
        Cell::Text(text) => {
            let text = one_line(text);
            if text.contains([',', '"']) {
                let _ = write!(out, "\"{}\"", text.replace('"', "\"\""));
            } else {
                out.push_str(&text);
            }
        }
    }
}

/// A text without control characters; `show` answers and CSV are read by lines.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sets cells by column name.
struct Maker(Vec<Cell>);

impl Maker {
    fn new() -> Maker {
        Maker(vec![Cell::Empty; COLUMNS.len()])
    }

    fn set(&mut self, name: &str, value: impl Into<Cell>) -> &mut Maker {
        let at = COLUMNS.iter().position(|c| c.name == name);
        debug_assert!(at.is_some(), "no column {name}");
        if let Some(at) = at {
            self.0[at] = value.into();
        }
        self
    }

    /// Several in a row from the column of this name on.
    fn run<const N: usize>(&mut self, first: &str, values: [u64; N]) -> &mut Maker {
        if let Some(at) = COLUMNS.iter().position(|c| c.name == first) {
            for (cell, value) in self.0[at..].iter_mut().zip(values) {
                *cell = value.into();
            }
        }
        self
    }
}

fn mode(http: bool) -> &'static str {
    if http { "http" } else { "tcp" }
}

fn site_row(site: &SiteView) -> Row {
    let mut cells = Maker::new();
    cells
        .set("pxname", site.name.as_str())
        .set("svname", "FRONTEND")
        .run(
            "scur",
            [site.current, site.current_max, site.limit, site.sessions, site.bytes_in, site.bytes_out],
        )
        .run("dreq", [site.denied_requests, site.denied_responses, site.request_errors])
        .set("status", site.status.text())
        .set("pid", PROCESS_NUMBER)
        .run("iid", [u64::from(site.id), 0])
        .set("type", RowKind::Site as u32)
        .run("rate", [site.session_rate.now, 0, site.session_rate.max])
        .set("mode", mode(site.http))
        .run("conn_rate", [site.connection_rate.now, site.connection_rate.max, site.connections])
        .set("intercepted", site.http.then_some(site.intercepted))
        .run("dcon", [site.denied_connections, site.denied_sessions, site.failed_rewrites])
        .run("req_rate", [site.request_rate.now, site.request_rate.max, site.requests])
        .run("comp_in", site.compression)
        .set("eint", site.internal_errors);
    let other = if site.http { 0 } else { site.sessions };
    let http = site.sessions - other;
    cells
        .run("sess_other", [other, http, 0, 0, other, if site.http { site.requests } else { 0 }, 0, 0])
        .set("reqbin", site.bytes_in)
        .set("resbout", site.bytes_out);
    if site.http {
        cells.run("hrsp_1xx", site.responses).run("cache_lookups", [0; 2]);
    }
    Row {
        kind: RowKind::Site,
        proxy: site.id,
        server: 0,
        name: site.name.clone(),
        down: site.status != crate::view::SiteStatus::Open,
        maintenance: false,
        cells: cells.0,
    }
}

fn flow_cells(cells: &mut Maker, flow: &crate::view::FlowView, http: bool) {
    cells
        .run("qcur", [flow.queue, flow.queue_max, flow.current, flow.current_max])
        .run("stot", [flow.sessions, flow.bytes_in, flow.bytes_out])
        .set("dresp", flow.denied_responses)
        .run("econ", [flow.connect_errors, flow.response_errors, flow.retries, flow.redispatches])
        .set("lbtot", flow.balanced)
        .set("rate", flow.rate.now)
        .set("rate_max", flow.rate.max)
        .run("cli_abrt", [flow.client_aborts, flow.server_aborts])
        .set("lastsess", Cell::Number(flow.last_session_s.map_or(-1, |s| s as i64)))
        .run("qtime", flow.average_ms)
        .run("qtime_max", flow.max_ms)
        .set("eint", flow.internal_errors)
        .run("wrew", [flow.failed_rewrites, flow.connects, flow.reuses])
        .set("mode", mode(http))
        .set("reqbout", flow.bytes_in)
        .set("resbin", flow.bytes_out);
    if http {
        cells.run("hrsp_1xx", flow.responses).set("req_tot", flow.requests);
    }
}

/// `counted`: rows of servers are hidden, so the state tells how many there are.
fn pool_row(pool: &PoolView, counted: bool) -> Row {
    let mut cells = Maker::new();
    flow_cells(&mut cells, &pool.flow, pool.http);
    cells
        .set("pxname", pool.name.as_str())
        .set("svname", "BACKEND")
        .set("slim", pool.limit)
        .set("dreq", pool.flow.denied_requests)
        .set("status", pool_status(pool, counted))
        .run("weight", [pool.weight, pool.active, pool.backup])
        .run("chkdown", [pool.downs, pool.last_change_s])
        .set("downtime", (!pool.servers.is_empty()).then_some(pool.down_s))
        .set("pid", PROCESS_NUMBER)
        .run("iid", [u64::from(pool.id), 0])
        .set("type", RowKind::Pool as u32)
        .set("cookie", pool.cookie.as_str())
        .set("algo", pool.algorithm.as_str())
        // Servers by state are for Prometheus; HAProxy leaves 0 here.
        .run("uweight", [pool.user_weight, 0, 0, 0])
        .run("comp_in", pool.flow.compression);
    if pool.http {
        cells.run("cache_lookups", [0; 2]);
    }
    Row {
        kind: RowKind::Pool,
        proxy: pool.id,
        server: 0,
        name: pool.name.clone(),
        down: !pool.up,
        maintenance: false,
        cells: cells.0,
    }
}

fn pool_status(pool: &PoolView, counted: bool) -> String {
    let usable = pool.servers.iter().filter(|server| server.is_usable()).count();
    match (pool.up, counted) {
        (true, true) => format!("UP ({usable}/{})", pool.servers.len()),
        (true, false) => "UP".to_owned(),
        (false, _) => "DOWN".to_owned(),
    }
}

fn server_row(pool: &PoolView, server: &ServerView) -> Row {
    let mut cells = Maker::new();
    flow_cells(&mut cells, &server.flow, pool.http);
    cells
        .set("pxname", pool.name.as_str())
        .set("svname", server.name.as_str())
        .set("slim", server.limit)
        .set("status", server.status())
        .run("weight", [server.weight, u64::from(!server.backup), u64::from(server.backup)])
        .set("lastchg", server.last_change_s)
        .set("qlimit", server.queue_limit)
        .set("pid", PROCESS_NUMBER)
        .run("iid", [u64::from(pool.id), u64::from(server.id)])
        .set("throttle", server.throttle_percent)
        .set("type", RowKind::Server as u32)
        .set("addr", server.endpoint())
        .set("cookie", server.cookie.as_str())
        .set("srv_icur", server.idle)
        .set("src_ilim", server.idle_limit)
        .run("idle_conn_cur", [server.idle - server.idle_safe.min(server.idle), server.idle_safe])
        .run("used_conn_cur", [server.used, server.needed, server.user_weight])
        .set("srid", 0u64)
        .set("priv_idle_cur", 0u64);
    if let Some(tracked) = &server.tracked {
        cells.set("tracked", tracked.as_str()).set("lastchg", server.last_change_s);
    }
    check_cells(&mut cells, server);
    agent_cells(&mut cells, server);
    Row {
        kind: RowKind::Server,
        proxy: pool.id,
        server: server.id,
        name: pool.name.clone(),
        down: !server.health.is_up() || server.admin == crate::view::Admin::Maintenance,
        maintenance: server.admin == crate::view::Admin::Maintenance,
        cells: cells.0,
    }
}

fn check_cells(cells: &mut Maker, server: &ServerView) {
    let Some(check) = server.check.as_ref().filter(|c| c.enabled) else { return };
    cells.run("chkfail", [check.failures, server.downs, server.last_change_s, server.down_s]);
    if server.admin == crate::view::Admin::Maintenance {
        return;
    }
    cells
        .set("check_status", checks::shown(&check.status))
        .set("check_code", check.code)
        .set("check_duration", check.duration_ms)
        .set("hanafail", server.observed.then_some(0u64))
        .set("last_chk", check.info.as_str())
        .set("check_desc", checks::description(&check.status))
        .run("check_rise", [check.rise, check.fall, check.health].map(u64::from));
}

fn agent_cells(cells: &mut Maker, server: &ServerView) {
    let Some(agent) = server.agent.as_ref().filter(|c| c.enabled) else { return };
    cells
        .set("last_agt", agent.info.as_str())
        .set("agent_status", checks::shown(&agent.status))
        .set("agent_code", agent.code)
        .set("agent_duration", agent.duration_ms)
        .set("agent_desc", checks::description(&agent.status))
        .run("agent_rise", [agent.rise, agent.fall, agent.health].map(u64::from));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;

    const HEAD: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,\
status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,\
rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,\
req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,\
ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,\
agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,\
connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,\
safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,\
srid,sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,priv_idle_cur,reqbin,reqbout,resbin,resbout,\
cache_hint_hits,";

    fn names(selection: &Selection) -> Vec<String> {
        let name = |row: &Row| match &row.cells[1] {
            Cell::Text(text) => format!("{}/{text}", row.name),
            _ => String::new(),
        };
        rows(&sample::snapshot(), selection).iter().map(name).collect()
    }

    #[test]
    fn rows_come_in_order_and_as_asked_for() {
        let all = Selection::default();
        let everything = [
            "www/FRONTEND",
            "both/FRONTEND",
            "both/b",
            "both/BACKEND",
            "app/s1",
            "app/s2",
            "app/BACKEND",
            "empty/BACKEND",
        ];
        for (selection, expected) in [
            (all.clone(), &everything[..]),
            (Selection { scope: "ot".into(), ..all.clone() }, &everything[1..4]),
            (Selection { names: vec!["app".into()], kinds: 4, ..all.clone() }, &everything[4..6]),
            (Selection { proxy: Some(4), kinds: 4, server: Some(2), ..all.clone() }, &everything[5..6]),
            (Selection { proxy: Some(4), only_up: true, ..all.clone() }, &[]),
            (Selection { proxy: Some(4), no_maintenance: true, kinds: 4, ..all }, &everything[4..5]),
        ] {
            assert_eq!(names(&selection), expected);
        }
    }

    #[test]
    fn csv_has_the_columns_of_haproxy_in_every_line() {
        let text = csv(&rows(&sample::snapshot(), &Selection::default()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], HEAD);
        assert_eq!(COLUMNS.len(), 119);
        for (line, start) in
            lines[1..].iter().zip(["www,FRONTEND,,,0,0,100,7,0,0,0,0,0,,,,,OPEN,,", "both,FRONTEND,"])
        {
            assert!(line.starts_with(start), "{line}");
            assert_eq!(line.matches(',').count(), 119);
        }
        let server = lines.iter().find(|l| l.starts_with("app,s1")).unwrap();
        assert!(server.starts_with(
            "app,s1,0,0,0,0,,4,0,0,,0,,0,0,0,0,DOWN,1,1,0,0,0,0,0,,1,4,1,,0,,2,0,,0,L4CON,,12,"
        ));
        assert!(server.contains(
            ",\"Connection \"\"refused\"\", sorry\",,0,1,2,1234,,,,Layer4 connection problem,,2,3,0,,,,"
        ));
        let backup = lines.iter().find(|l| l.starts_with("both,b")).unwrap();
        assert!(backup.contains(",no check,1,0,1,"), "{backup}");
        assert!(lines.iter().any(|l| l.starts_with("app,s2,") && l.contains(",MAINT,")));
    }

    #[test]
    fn typed_and_json_forms() {
        let rows = rows(&sample::snapshot(), &Selection { proxy: Some(2), ..Selection::default() });
        let typed = typed(&rows, false);
        assert!(typed.starts_with("F.2.0.0.pxname.1:KNS:str:www\nF.2.0.1.svname.1:KNS:str:FRONTEND\n"));
        assert!(typed.contains("\nF.2.0.40.hrsp_2xx.1:MCP:u64:5\n"));
        let json = json(&rows);
        assert!(json.starts_with(
            "[[{\"objType\":\"Frontend\",\"proxyId\":2,\"id\":0,\"field\":{\"pos\":0,\"name\":\"pxname\"},\
             \"processNum\":1,\"tags\":{\"origin\":\"Key\",\"nature\":\"Name\",\"scope\":\"Service\"},\
             \"value\":{\"type\":\"str\",\"value\":\"www\"}},"
        ));
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed[0][7]["value"]["value"], 0);
    }
}
