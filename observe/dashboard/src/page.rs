//! The statistics page: one HTML text without foreign resources. Columns and links as users of HAProxy know
//! them, the design is our own.

use crate::info::uptime;
use crate::request::{ACTIONS, PageRequest, encode};
use crate::rows::Selection;
use crate::view::{
    Admin, FlowView, Health, PoolView, ProcessView, ServerView, SiteStatus, SiteView, Snapshot,
};
use std::fmt::{Display, Write as _};
use telemetry::Cause;
use telemetry::clock::Calendar;

/// What people read; runtime commands say `HAProxy`, because tools look for that word.
const PRODUCT: &str = "Mainstay";
const STYLE: &str = include_str!("page.css");

/// What the page shows besides the numbers.
#[derive(Clone, Debug, Default)]
pub struct PageOptions {
    /// Path under which the page answers, as the browser sees it.
    pub path: String,
    /// Seconds until the browser loads it again.
    pub refresh_s: Option<u64>,
    /// The user may change servers.
    pub admin: bool,
    /// Version is left out.
    pub hide_version: bool,
    /// Node name; `None` = left out.
    pub node: Option<String>,
    /// Description; `None` = left out.
    pub description: Option<String>,
    /// Further details (addresses, cookies, algorithm).
    pub legends: bool,
    /// Names shown; empty = all.
    pub names: Vec<String>,
    /// Seconds east of UTC, for times of events.
    pub offset_s: i32,
}

/// The page.
pub fn html(snapshot: &Snapshot, request: &PageRequest, options: &PageOptions) -> String {
    let mut page = String::with_capacity(32 << 10);
    head(request, options, &mut page);
    summary(snapshot, request, options, &mut page);
    let selection = request.selection(&options.names);
    for group in groups(snapshot, &selection) {
        group.write(&selection, options, &mut page);
    }
    if options.names.is_empty() {
        events(snapshot, options.offset_s, &mut page);
    }
    page.push_str("</body></html>\n");
    page
}

/// Text for HTML: nothing in it can end an element or an attribute.
pub struct Escaped<'t>(pub &'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A site, the pool of the same number, or both.
struct Group<'s> {
    site: Option<&'s SiteView>,
    pool: Option<&'s PoolView>,
}

/// Sites and pools in order of their numbers; both halves of a `listen` section share one and stay together.
fn groups<'s>(snapshot: &'s Snapshot, selection: &Selection) -> Vec<Group<'s>> {
    let mut numbers: Vec<u32> =
        snapshot.sites.iter().map(|s| s.id).chain(snapshot.pools.iter().map(|p| p.id)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut groups = Vec::new();
    for id in numbers {
        let site = snapshot.sites.iter().find(|s| s.id == id && selection.has_proxy(id, &s.name));
        let pool = snapshot.pools.iter().find(|p| p.id == id && selection.has_proxy(id, &p.name));
        match (site, pool) {
            (Some(s), Some(p)) if s.name != p.name => {
                groups.push(Group { site, pool: None });
                groups.push(Group { site: None, pool });
            }
            (None, None) => {}
            _ => groups.push(Group { site, pool }),
        }
    }
    groups
}

fn head(request: &PageRequest, options: &PageOptions, page: &mut String) {
    page.push_str("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
    if let Some(seconds) = options.refresh_s.filter(|_| !request.no_refresh) {
        let _ = write!(page, "<meta http-equiv=\"refresh\" content=\"{seconds}\">");
    }
    let node = options.node.as_deref().unwrap_or("");
    let _ = write!(page, "<title>{PRODUCT} {}</title>", Escaped(node));
    let _ = write!(page, "<style>{STYLE}</style></head><body>");
}

fn summary(snapshot: &Snapshot, request: &PageRequest, options: &PageOptions, page: &mut String) {
    let process = &snapshot.process;
    page.push_str("<header><h1>");
    page.push_str(PRODUCT);
    if !options.hide_version {
        let _ = write!(page, " <small class=\"dim\">version {}</small>", Escaped(&process.version));
    }
    if let Some(node) = &options.node {
        let _ = write!(page, " <small class=\"dim\">on {}</small>", Escaped(node));
    }
    page.push_str("</h1>");
    if let Some(description) = &options.description {
        let _ = write!(page, "<div class=\"dim\">{}</div>", Escaped(description));
    }
    if let Some(outcome) = request.outcome {
        let _ = write!(page, "<div class=\"note\">{}</div>", outcome.text());
    }
    process_facts(process, page);
    links(request, options, page);
    page.push_str("</header>");
}

fn process_facts(process: &ProcessView, page: &mut String) {
    page.push_str("<dl>");
    let mut fact = |name: &str, value: &dyn Display| {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    fact("pid", &process.pid);
    fact("uptime", &uptime(process.uptime_s));
    fact("threads", &process.threads);
    fact("connections", &format_args!("{} / {}", process.connections, process.max_connections));
    fact("connections/s", &process.connection_rate.now);
    fact("requests", &process.requests_total);
    fact("bytes out", &process.bytes_out);
    fact("bytes out/s", &process.bytes_out_rate);
    fact("descriptors", &process.descriptors);
    fact("idle", &format_args!("{}%", process.idle_percent));
    if process.dropped_logs > 0 {
        fact("log lines lost", &process.dropped_logs);
    }
    if process.stopping {
        fact("state", &"stopping");
    }
    if !process.last_reload_ok {
        fact("last reload", &"failed");
    }
    page.push_str("</dl>");
}

fn links(request: &PageRequest, options: &PageOptions, page: &mut String) {
    let path = Escaped(&options.path);
    let scope =
        if request.scope.is_empty() { String::new() } else { format!("?scope={}", encode(&request.scope)) };
    let hidden =
        if request.only_up { ("", "Show all servers") } else { (";up", "Hide servers that are down") };
    let still = if request.no_refresh {
        ("", "Refresh by itself")
    } else {
        (";norefresh", "Do not refresh by itself")
    };
    page.push_str("<nav>");
    let _ = write!(page, "<a href=\"{path}{}{scope}\">{}</a>", hidden.0, hidden.1);
    if options.refresh_s.is_some() {
        let _ = write!(page, "<a href=\"{path}{}{scope}\">{}</a>", still.0, still.1);
    }
    let _ = write!(page, "<a href=\"{path}{scope}\">Refresh now</a>");
    let _ = write!(page, "<a href=\"{path};csv{scope}\">CSV</a><a href=\"{path};json{scope}\">JSON</a>");
    let _ = write!(
        page,
        "<form method=\"get\" action=\"{path}\"><input name=\"scope\" size=\"14\" placeholder=\"scope\" \
         aria-label=\"scope\" value=\"{}\"></form></nav>",
        Escaped(&request.scope)
    );
}

const COLUMNS: &str = "<tr><th rowspan=\"2\" class=\"l\">Name</th><th colspan=\"3\">Queue</th>\
<th colspan=\"3\">Session rate</th><th colspan=\"6\">Sessions</th><th colspan=\"2\">Bytes</th>\
<th colspan=\"2\">Denied</th><th colspan=\"3\">Errors</th><th colspan=\"2\">Warnings</th>\
<th colspan=\"9\">Server</th></tr>\
<tr><th>Cur</th><th>Max</th><th>Limit</th><th>Cur</th><th>Max</th><th>Limit</th><th>Cur</th><th>Max</th>\
<th>Limit</th><th>Total</th><th>LbTot</th><th>Last</th><th>In</th><th>Out</th><th>Req</th><th>Resp</th>\
<th>Req</th><th>Conn</th><th>Resp</th><th>Retr</th><th>Redis</th><th class=\"l\">Status</th>\
<th class=\"l\">LastChk</th><th>Wght</th><th>Act</th><th>Bck</th><th>Chk</th><th>Dwn</th><th>Dwntme</th>\
<th>Thrtle</th></tr>";

impl Group<'_> {
    fn write(&self, selection: &Selection, options: &PageOptions, page: &mut String) {
        let name = self.site.map(|s| &s.name).or(self.pool.map(|p| &p.name)).map_or("", String::as_str);
        let description = self.site.map(|s| &s.description).or(self.pool.map(|p| &p.description));
        let form = options.admin && self.pool.is_some_and(|p| !p.servers.is_empty());
        let _ = write!(page, "<section id=\"{}\"><h2>{}", Escaped(name), Escaped(name));
        if let Some(text) = description.filter(|text| !text.is_empty()) {
            let _ = write!(page, " <small>{}</small>", Escaped(text));
        }
        if let Some(pool) = self.pool.filter(|p| options.legends && !p.algorithm.is_empty()) {
            let _ = write!(page, " <small>balance {}</small>", Escaped(&pool.algorithm));
        }
        page.push_str("</h2>");
        if form {
            page.push_str("<form method=\"post\">");
        }
        let columns =
            if form { COLUMNS.replacen("<tr>", "<tr><th rowspan=\"2\"></th>", 1) } else { COLUMNS.into() };
        let _ = write!(page, "<div class=\"scroll\"><table><thead>{columns}</thead><tbody>");
        if let Some(site) = self.site {
            site_row(site, form, page);
        }
        if let Some(pool) = self.pool {
            pool_rows(pool, selection, form, options, page);
        }
        page.push_str("</tbody></table></div>");
        if form {
            actions(self.pool.map_or(0, |p| p.id), page);
        }
        causes(self.site.map(|s| &s.causes).or(self.pool.map(|p| &p.flow.causes)), page);
        page.push_str("</section>");
    }
}

/// One row of cells.
struct RowWriter<'p>(&'p mut String);

impl RowWriter<'_> {
    fn cell(&mut self, value: impl Display) {
        let _ = write!(self.0, "<td>{value}</td>");
    }

    fn hinted(&mut self, value: impl Display, hint: &str) {
        let _ = write!(self.0, "<td title=\"{}\">{value}</td>", Escaped(hint));
    }

    fn left(&mut self, value: impl Display) {
        let _ = write!(self.0, "<td class=\"l\">{value}</td>");
    }

    fn option(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.cell(value),
            None => self.cell(""),
        }
    }

    fn empty(&mut self, count: usize) {
        (0..count).for_each(|_| self.cell(""));
    }

    fn errors(&mut self, count: u64) {
        let _ = match count {
            0 => write!(self.0, "<td>0</td>"),
            n => write!(self.0, "<td class=\"bad\">{n}</td>"),
        };
    }
}

fn site_row(site: &SiteView, form: bool, page: &mut String) {
    let class = if site.status == SiteStatus::Open { "up" } else { "going" };
    let _ = write!(page, "<tr class=\"{class}\">{}", if form { "<td></td>" } else { "" });
    let mut row = RowWriter(page);
    row.left("Frontend");
    row.empty(3);
    row.cell(site.session_rate.now);
    row.cell(site.session_rate.max);
    row.cell("");
    row.cell(site.current);
    row.cell(site.current_max);
    row.cell(site.limit);
    row.hinted(site.sessions, &responses_hint(site.requests, &site.responses));
    row.empty(2);
    row.cell(site.bytes_in);
    row.cell(site.bytes_out);
    row.cell(site.denied_requests);
    row.cell(site.denied_responses);
    row.errors(site.request_errors);
    row.empty(4);
    row.left(format_args!("<span class=\"st\">{}</span>", site.status.text()));
    row.empty(8);
    page.push_str("</tr>");
}

fn pool_rows(pool: &PoolView, selection: &Selection, form: bool, options: &PageOptions, page: &mut String) {
    for server in &pool.servers {
        let hidden = (selection.only_up && !server.health.is_up())
            || (selection.no_maintenance && server.admin == Admin::Maintenance);
        if !hidden {
            server_row(server, form, options, page);
        }
    }
    let class = if pool.up { "up" } else { "down" };
    let _ = write!(page, "<tr class=\"sum {class}\">{}", if form { "<td></td>" } else { "" });
    let mut row = RowWriter(page);
    row.left("Backend");
    flow_cells(&pool.flow, None, Some(pool.limit), &mut row);
    row.left(format_args!(
        "<span class=\"st\">{}</span> {}",
        if pool.up { "UP" } else { "DOWN" },
        since(pool.last_change_s)
    ));
    row.cell("");
    row.cell(pool.weight);
    row.cell(pool.active);
    row.cell(pool.backup);
    row.cell("");
    row.cell(pool.downs);
    row.cell(since(pool.down_s));
    row.cell("");
    page.push_str("</tr>");
}

fn server_row(server: &ServerView, form: bool, options: &PageOptions, page: &mut String) {
    let backup = if server.backup { " backup" } else { "" };
    let _ = write!(page, "<tr class=\"{}{backup}\">", state_class(server));
    if form {
        let _ =
            write!(page, "<td><input type=\"checkbox\" name=\"s\" value=\"{}\"></td>", Escaped(&server.name));
    }
    let legend = match options.legends {
        true if server.cookie.is_empty() => format!("{} id {}", server.endpoint(), server.id),
        true => format!("{} id {} cookie {}", server.endpoint(), server.id, server.cookie),
        false => String::new(),
    };
    let _ = write!(page, "<td class=\"l\" title=\"{}\">{}</td>", Escaped(&legend), Escaped(&server.name));
    let mut row = RowWriter(page);
    flow_cells(&server.flow, Some(server.queue_limit), server.limit, &mut row);
    row.left(format_args!("<span class=\"st\">{}</span> {}", server.status(), since(server.last_change_s)));
    last_check(server, &mut row);
    row.cell(format_args!("{}/{}", server.weight, server.user_weight));
    row.cell(if server.backup { "-" } else { "Y" });
    row.cell(if server.backup { "Y" } else { "-" });
    match &server.check {
        Some(check) if check.enabled => {
            row.cell(check.failures);
            row.cell(server.downs);
            row.cell(since(server.down_s));
        }
        _ => row.empty(3),
    }
    row.option(server.throttle_percent.map(|p| format!("{p}%")));
    page.push_str("</tr>");
}

fn last_check(server: &ServerView, row: &mut RowWriter<'_>) {
    let Some(check) = server.check.as_ref().filter(|c| c.enabled) else { return row.cell("") };
    let mut text = crate::checks::shown(&check.status).to_owned();
    if let Some(code) = check.code {
        let _ = write!(text, "/{code}");
    }
    if let Some(ms) = check.duration_ms {
        let _ = write!(text, " in {ms}ms");
    }
    let hint = match check.info.as_str() {
        "" => crate::checks::description(&check.status).to_owned(),
        info => format!("{}: {info}", crate::checks::description(&check.status)),
    };
    let _ = write!(row.0, "<td class=\"l\" title=\"{}\">{}</td>", Escaped(&hint), Escaped(&text));
}

/// From the queue to the warnings. `queue_limit` is `None` for pools, which have none.
fn flow_cells(
    flow: &FlowView,
    queue_limit: Option<Option<u64>>,
    limit: Option<u64>,
    row: &mut RowWriter<'_>,
) {
    row.cell(flow.queue);
    row.cell(flow.queue_max);
    match queue_limit {
        Some(limit) => row.cell(limit.map_or("-".to_owned(), |n| n.to_string())),
        None => row.cell(""),
    }
    row.cell(flow.rate.now);
    row.cell(flow.rate.max);
    row.cell("");
    row.cell(flow.current);
    row.cell(flow.current_max);
    row.cell(limit.map_or("-".to_owned(), |n| n.to_string()));
    row.hinted(flow.sessions, &flow_hint(flow));
    row.cell(flow.balanced);
    row.cell(flow.last_session_s.map_or("?".to_owned(), since));
    row.cell(flow.bytes_in);
    row.cell(flow.bytes_out);
    row.cell(if queue_limit.is_none() { flow.denied_requests.to_string() } else { String::new() });
    row.cell(flow.denied_responses);
    row.cell("");
    row.errors(flow.connect_errors);
    row.errors(flow.response_errors);
    row.cell(flow.retries);
    row.cell(flow.redispatches);
}

fn responses_hint(requests: u64, responses: &[u64; 6]) -> String {
    let [c1, c2, c3, c4, c5, other] = responses;
    format!("{requests} requests; 1xx {c1}, 2xx {c2}, 3xx {c3}, 4xx {c4}, 5xx {c5}, other {other}")
}

fn flow_hint(flow: &FlowView) -> String {
    let percent = (flow.reuses * 100).checked_div(flow.reuses + flow.connects).unwrap_or(0);
    let [queue, connect, response, total] = flow.average_ms;
    let [queue_max, connect_max, response_max, total_max] = flow.max_ms;
    format!(
        "{}; reused connections {percent}%; average/max ms: queue {queue}/{queue_max}, connect \
         {connect}/{connect_max}, response {response}/{response_max}, total {total}/{total_max}; aborts by clients \
         {}, by servers {}",
        responses_hint(flow.requests, &flow.responses),
        flow.client_aborts,
        flow.server_aborts,
    )
}

fn state_class(server: &ServerView) -> &'static str {
    match (server.admin, server.health) {
        (Admin::Maintenance, _) => "maint",
        (_, Health::Down) => "down",
        (_, Health::GoingUp(..) | Health::GoingDown(..)) => "going",
        (Admin::Drain, _) | (_, Health::Stopping) => "drain",
        (_, Health::Up) if server.status() == "no check" => "none",
        (_, Health::Up) => "up",
    }
}

/// `3d4h`, `5m10s`: two units are enough.
fn since(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3600 % 24),
    }
}

fn actions(id: u32, page: &mut String) {
    page.push_str(
        "<div class=\"act\">With the chosen servers: <select name=\"action\"><option value=\"\"></option>",
    );
    for (word, _, text) in ACTIONS {
        let _ = write!(page, "<option value=\"{word}\">{text}</option>");
    }
    let _ = write!(
        page,
        "</select> <input type=\"hidden\" name=\"b\" value=\"#{id}\"><button>Apply</button></div></form>"
    );
}

/// What failed and what can be done about it.
fn causes(causes: Option<&Vec<(Cause, u64)>>, page: &mut String) {
    let Some(causes) = causes.filter(|causes| !causes.is_empty()) else { return };
    page.push_str("<details><summary>Failures by cause</summary><ul>");
    for (cause, count) in causes {
        let _ = write!(
            page,
            "<li><b>{count}</b> {} <span class=\"dim\">{}</span></li>",
            cause.label(),
            Escaped(cause.advice())
        );
    }
    page.push_str("</ul></details>");
}

fn events(snapshot: &Snapshot, offset_s: i32, page: &mut String) {
    if snapshot.events.is_empty() {
        return;
    }
    page.push_str("<section><h2>Events</h2><ul>");
    for (at_ms, severity, text) in &snapshot.events {
        let at = Calendar::of((at_ms / 1000) as i64 + i64::from(offset_s)).iso_date();
        let class = if *severity <= 3 { " class=\"bad\"" } else { "" };
        let at = String::from_utf8_lossy(&at).replace('T', " ");
        let _ = write!(page, "<li{class}><span class=\"dim\">{at}</span> {}</li>", Escaped(text));
    }
    page.push_str("</ul></section>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Outcome;
    use crate::sample;

    fn page(request: &PageRequest, options: &PageOptions) -> String {
        html(&sample::snapshot(), request, options)
    }

    /// Every element that is opened is closed, in order.
    fn assert_balanced(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1) {
            let name = tag.split(['>', ' ']).next().unwrap_or("");
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "near {tag:.60}"),
                None if ["meta", "!DOCTYPE", "input"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_page_is_whole_and_says_what_it_should() {
        let options =
            PageOptions { path: "/stats".into(), refresh_s: Some(5), admin: true, ..PageOptions::default() };
        let request = PageRequest { outcome: Some(Outcome::Done), ..PageRequest::default() };
        let all = page(&request, &options);
        assert_balanced(&all);
        for part in [
            "http-equiv=\"refresh\" content=\"5\"",
            "version 2.6.12-mainstay",
            "/stats;csv",
            "/stats;norefresh",
            "name=\"s\" value=\"s1\"",
            "value=\"#4\"",
            "value=\"drain\"",
            "Done.",
            "&lt;DOWN&gt;",
            "L4CON in 12ms",
            "<span class=\"st\">MAINT</span>",
            "bad_request",
        ] {
            assert!(all.contains(part), "{part}");
        }
        assert_eq!(all.matches("<section").count(), 5, "four proxies and the events");
    }

    #[test]
    fn the_page_leaves_out_what_it_should() {
        let options = PageOptions {
            path: "/stats".into(),
            hide_version: true,
            refresh_s: Some(5),
            ..PageOptions::default()
        };
        let request =
            PageRequest { no_refresh: true, scope: "app".into(), only_up: true, ..PageRequest::default() };
        let some = page(&request, &options);
        assert_balanced(&some);
        for part in ["http-equiv", "2.6.12", "checkbox", ">www<", ">s1<", "method=\"post\""] {
            assert!(!some.contains(part), "{part}");
        }
        assert!(some.contains("href=\"/stats;csv?scope=app\""));
        let named = page(&PageRequest::default(), &PageOptions { names: vec!["app".into()], ..options });
        assert!(named.contains(">app<") && !named.contains(">www<") && !named.contains("Events"));
    }

    #[test]
    fn texts_from_outside_stay_texts() {
        const EVIL: &str = "\"><script>alert('&')</script>\u{1}";
        let mut snapshot = sample::snapshot();
        for text in [&mut snapshot.process.name, &mut snapshot.process.version, &mut snapshot.process.node] {
            *text = EVIL.into();
        }
        for pool in &mut snapshot.pools {
            (pool.name, pool.description, pool.algorithm, pool.cookie) =
                (EVIL.into(), EVIL.into(), EVIL.into(), EVIL.into());
            for server in &mut pool.servers {
                (server.name, server.cookie, server.address) = (EVIL.into(), EVIL.into(), EVIL.into());
                if let Some(check) = &mut server.check {
                    (check.info, check.status) = (EVIL.into(), EVIL.into());
                }
            }
        }
        for site in &mut snapshot.sites {
            (site.name, site.description) = (EVIL.into(), EVIL.into());
        }
        snapshot.events[0].2 = EVIL.into();
        let options = PageOptions {
            path: EVIL.into(),
            node: Some(EVIL.into()),
            description: Some(EVIL.into()),
            legends: true,
            admin: true,
            ..PageOptions::default()
        };
        let request = PageRequest { scope: ">".into(), ..PageRequest::default() };
        let page = html(&snapshot, &request, &options);
        assert_balanced(&page);
        assert!(!page.contains("<script") && !page.contains("alert('") && !page.contains('\u{1}'));
    }
}
