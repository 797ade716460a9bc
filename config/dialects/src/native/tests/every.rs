//! A plan in which every field has a value that is not its default, and every variant stands.

use plan::check::{
    AgentCheck, Check, CheckConnect, CheckProgram, Expect, Expectation, FailAs, HeaderExpectation,
    HttpCheckRequest, LateAs, MysqlLogin, MysqlProtocol, PassAs, Probe, Script, ScriptProtocol, Step,
    StepAct, TextExpectation,
};
use plan::compression::{Coding, Compression, CompressionLimits, Squeeze};
use plan::listener::{Bind, BindAddress, ProxyVersion};
use plan::log::{LogAddress, LogFormat, LogHeader, LogPlan, LogTarget, Severity};
use plan::network::{Network, Networks};
use plan::pages::{Answer, AnswerBody, ErrorPage, ErrorPages};
use plan::pool::*;
use plan::process::{Process, RuntimeLevel, RuntimeSocket};
use plan::resolver::*;
use plan::rule::*;
use plan::site::*;
use plan::smooth::{CookieLife, Keep, Smooth, SmoothMethod, SmoothServer, Sticky, StickyCookie, StickyLearn};
use plan::stream::{Content, Datagrams, NextServer, Preread, StreamSettings, Trusted};
use plan::{Draft, Mode, Place};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;
use std::time::Duration;

/// Every field and every variant.
pub(super) fn plan() -> Draft {
    let shared = Arc::new(Condition::Any(vec![
        text(TextMatch::Prefix, false, &["/shared"]),
        text(TextMatch::Suffix, true, &[".png", ".jpg"]),
    ]));
    Draft {
        process: process(),
        sites: vec![site(&shared), plain_site(&shared)],
        pools: pools(),
        resolvers: resolvers(),
        ..Draft::default()
    }
}

/// One text wherever a text can stand.
pub(super) fn with_text(text: &str, bytes: &[u8]) -> Draft {
    let mut draft = Draft::default();
    draft.process.description = Some(text.to_owned());
    let mut site = Site { name: "s".into(), id: 1, ..Site::default() };
    site.request_captures = vec![(text.to_owned(), 3)];
    site.log.line = LogFormat::Text(Template::fixed(bytes));
    let value = |style| Piece::Value(Expr::of(Fetch::Cookie(text.into())), style);
    let quoted = Style { quoted: true, ..Style::default() };
    let template = Template(vec![
        Piece::Text(bytes.into()),
        value(Style::default()),
        Piece::Text(bytes.into()),
        value(quoted),
    ]);
    let patterns =
        TextPatterns::new(TextMatch::Exact, false, [bytes.to_vec(), b"x".to_vec(), bytes.to_vec()]);
    let long = TextPatterns::new(TextMatch::Exact, false, (0..12).map(|n| [bytes, &[b'0' + n]].concat()));
    let fetch = Fetch::Variable(Scope::Request, text.into());
    let test = |matcher| Condition::Test(Test { expr: Expr::of(fetch.clone()), matcher });
    let condition = Condition::All(vec![test(Matcher::Text(patterns)), test(Matcher::Text(long))]);
    let action = Action::SetHeader(text.into(), template);
    site.rules.request = vec![Rule { place: Place::none(), condition, action }];
    let users =
        Userlist { name: String::new(), users: vec![(text.to_owned(), Password::Plain(text.to_owned()))] };
    site.statistics = Some(Arc::new(Statistics { path: text.to_owned(), users, ..Statistics::default() }));
    site.pages.0.insert(503, ErrorPage::Raw(bytes.into()));
    draft.sites = vec![site];
    draft
}

fn seconds(n: u64) -> Option<Duration> {
    Some(Duration::from_secs(n))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn tcp(text: &str) -> BindAddress {
    BindAddress::Tcp(text.parse().unwrap())
}

fn networks(list: &[&str]) -> Networks {
    Networks(list.iter().map(|t| t.parse::<Network>().unwrap()).collect())
}

fn regex(text: &str) -> Regex {
    RegexBuilder::new(text).unicode(false).build().unwrap()
}

fn fixed(text: &str) -> Template {
    Template::fixed(text)
}

fn value(fetch: Fetch) -> Template {
    Template(vec![Piece::Value(Expr::of(fetch), Style::default())])
}

fn test(fetch: Fetch, matcher: Matcher) -> Condition {
    Condition::Test(Test { expr: Expr::of(fetch), matcher })
}

fn text(how: TextMatch, ignore_case: bool, list: &[&str]) -> Condition {
    let patterns = TextPatterns::new(how, ignore_case, list.iter().map(|t| t.as_bytes().to_vec()));
    test(Fetch::Path, Matcher::Text(patterns))
}

fn target(address: LogAddress) -> LogTarget {
    LogTarget {
        address,
        header: LogHeader::Rfc3164,
        facility: 16,
        level: Severity::Debug,
        max_level: Severity::Emergency,
        length: 1024,
        sample: None,
        tag: None,
    }
}

fn process() -> Process {
    let socket = |address, level| RuntimeSocket {
        place: Place::none(),
        address,
        level,
        mode: Some(0o660),
        user: some("u"),
        group: some("g"),
    };
    Process {
        threads: Some(2),
        max_connections: Some(4096),
        connections_per_thread: Some(512),
        connection_rate: Some(500),
        session_rate: Some(400),
        user: some("haproxy"),
        group: some("haproxy"),
        chroot: Some("/var/lib/x".into()),
        pid_file: Some("/run/x.pid".into()),
        daemon: true,
        runtime_sockets: vec![
            socket(BindAddress::Unix("/run/x.sock".into()), RuntimeLevel::Admin),
            socket(tcp("127.0.0.1:9999"), RuntimeLevel::User),
            socket(BindAddress::Inherited(5), RuntimeLevel::Operator),
        ],
        runtime_timeout: seconds(30),
        logs: vec![
            LogTarget {
                level: Severity::Info,
                max_level: Severity::Error,
                length: 2048,
                header: LogHeader::Rfc5424,
                sample: Some((2, 3, 10)),
                ..target(LogAddress::Udp("127.0.0.1:514".parse().unwrap()))
            },
            LogTarget { facility: 3, ..target(LogAddress::Stdout) },
            target(LogAddress::Tcp("10.0.0.1:601".parse().unwrap())),
        ],
        log_tag: some("tag"),
        log_hostname: some(""),
        node: some("n1"),
        description: some("d: with # odd [things]"),
        hard_stop_after: seconds(90),
        cut_after_reload: seconds(20),
        spread_checks_percent: 5,
        own_idle_connections: true,
        compression: CompressionLimits { level: Some(6), bytes_per_second: Some(1_000_000) },
        head_bytes: Some(32768),
        descriptors: Some(100_000),
        metrics: vec![tcp("127.0.0.1:9100"), BindAddress::Abstract("m".into())],
    }
}

fn site(shared: &Arc<Condition>) -> Site {
    Site {
        place: Place::none(),
        name: "front".into(),
        id: 7,
        mode: Mode::Http,
        disabled: true,
        description: some("true"),
        binds: binds(),
        rules: rules(shared),
        inspect_delay: seconds(5),
        routes: routes(shared),
        default_pool: some("app"),
        timeouts: SiteTimeouts {
            client: seconds(50),
            client_fin: seconds(1),
            request: Some(Duration::from_millis(1500)),
            keep_alive: Some(Duration::ZERO),
            tarpit: Some(Duration::from_nanos(7)),
        },
        max_connections: Some(10),
        session_rate: Some(30),
        log: log(),
        http: HttpOptions {
            connection: ConnectionMode::ServerClose,
            forwarded_for: Some(ForwardedFor {
                header: "X-Client".into(),
                except: networks(&["127.0.0.0/8", "::1"]),
                if_none: true,
            }),
            original_to: Some(ForwardedFor {
                header: "X-Client".into(),
                except: networks(&["127.0.0.0/8", "::1"]),
                if_none: true,
            }),
            buffer_request: true,
            abort_on_close: Some(false),
            idle_close_on_response: true,
            ignore_probes: true,
            compression: Some(Compression {
                responses: Squeeze {
                    codings: vec![Coding::Gzip, Coding::Deflate, Coding::RawDeflate],
                    types: vec!["text/".into(), "image/svg".into()],
                    least_bytes: 500,
                },
                requests: Squeeze { codings: vec![Coding::Identity], ..Squeeze::default() },
                offload: true,
            }),
            pretend_keep_alive: true,
            odd_names: plan::site::OddNames::Delete,
        },
        pages: pages(),
        statistics: Some(Arc::new(statistics())),
        monitor_path: some("/alive"),
        monitor_fail: vec![test(
            Fetch::UsableServers(Some("app".into())),
            Matcher::Int(vec![IntRange { from: 0, to: 1 }]),
        )],
        request_captures: vec![("host".into(), 20), ("host".into(), 30)],
        response_captures: vec![("server".into(), 10)],
        cookie_capture: Some(("sid".into(), 32)),
        unique_id: Some(Template(vec![
            Piece::Value(Expr::of(Fetch::ClientAddress), Style { hex: true, ..Style::default() }),
            Piece::Text((*b"-$").into()),
            Piece::Value(
                Expr::of(Fetch::Record(RecordField::RequestCounter)),
                Style { quoted: true, escaped: true, ..Style::default() },
            ),
            Piece::Text((*b"${x} \xff$").into()),
        ])),
        unique_id_header: some("x-id"),
        tcp_keep_alive: true,
        hosts: None,
        stream: Some(Arc::new(stream())),
    }
}

fn stream() -> StreamSettings {
    let rule = |who, allow| plan::host::AccessRule { who, allow };
    StreamSettings {
        access: vec![
            rule(plan::host::AccessWho::Unix, true),
            rule(plan::host::AccessWho::Network("10.0.0.0/8".parse().unwrap()), true),
            rule(plan::host::AccessWho::All, false),
        ],
        limits: plan::limit::Limits::default(),
        set: Vec::new(),
        logs: Vec::new(),
        content: Content::Target(value(Fetch::LocalPort)),
        preread: Some(Preread { buffer: 1024, timeout: Duration::from_secs(3) }),
        real_ip_from: Some(Trusted { networks: networks(&["10.0.0.0/8"]), unix: true }),
        connect_timeout: Duration::from_secs(3),
        silence: Duration::from_millis(1500),
        resolver: Some(plan::stream::Asked { group: "dns".into(), patience: Duration::from_secs(2) }),
        next: NextServer { on: false, tries: Some(2), time: seconds(4), datagrams: true },
        half_close: true,
        send_proxy: Some(ProxyVersion::V2),
        source: Some(fixed("10.0.0.1")),
        keep_alive: true,
        no_delay: false,
        upload_rate: Some(fixed("100")),
        download_rate: Some(value(Fetch::LocalPort)),
        datagrams: Datagrams { requests: Some(1), responses: Some(0) },
    }
}

fn plain_site(shared: &Arc<Condition>) -> Site {
    let lines = RecordField::all();
    let style = Style { dash: true, printable: true, ..Style::default() };
    Site {
        name: "app".into(),
        id: 3,
        binds: vec![Bind::new(Place::none(), tcp("0.0.0.0:80"))],
        log: LogPlan {
            targets: vec![target(LogAddress::Stderr)],
            line: LogFormat::Text(Template(
                lines.map(|f| Piece::Value(Expr::of(Fetch::Record(f)), style)).collect(),
            )),
            ..LogPlan::default()
        },
        monitor_fail: vec![Condition::Shared(Arc::clone(shared))],
        stream: Some(Arc::new(StreamSettings {
            content: Content::Text(fixed("bye")),
            ..StreamSettings::default()
        })),
        ..Site::default()
    }
}

trait All {
    fn all() -> std::vec::IntoIter<RecordField>;
}

impl All for RecordField {
    fn all() -> std::vec::IntoIter<RecordField> {
        let table: Vec<RecordField> = crate::native::values::RECORD.iter().map(|(_, field)| *field).collect();
        table.into_iter()
    }
}

fn binds() -> Vec<Bind> {
    let bind = |address| Bind::new(Place::none(), address);
    let full = Bind {
        name: some("b1"),
        accept_proxy: true,
        proxy_from: Some(networks(&["10.0.0.0/8"])),
        proxy_only_tells: true,
        socket_per_worker: true,
        receive_buffer: Some(65_536),
        send_buffer: Some(5),
        max_connections: Some(5),
        backlog: Some(128),
        v6_only: true,
        transparent: true,
        interface: some("eth0"),
        defer_accept: true,
        mode: Some(0o7),
        user: some("u"),
        group: some("g"),
        ..bind(BindAddress::Unix("/run/in.sock".into()))
    };
    let others = [
        tcp("0.0.0.0:80"),
        tcp("[::]:443"),
        tcp("10.1.2.3:8080"),
        BindAddress::Udp("10.1.2.3:53".parse().unwrap()),
        BindAddress::Udp("0.0.0.0:53".parse().unwrap()),
        BindAddress::Udp("[::]:53".parse().unwrap()),
        BindAddress::Abstract("abc".into()),
        BindAddress::Inherited(3),
    ];
    std::iter::once(full).chain(others.map(bind)).collect()
}

fn log() -> LogPlan {
    let mut targets = vec![
        LogTarget { header: LogHeader::Priority, ..target(LogAddress::Unix("/dev/log".into())) },
        LogTarget { header: LogHeader::Short, ..target(LogAddress::Unix("relative".into())) },
        LogTarget { header: LogHeader::Timed, ..target(LogAddress::File("/var/log/x".into())) },
        LogTarget { header: LogHeader::Bracketed, ..target(LogAddress::Stderr) },
        LogTarget { header: LogHeader::Plain, ..target(LogAddress::Stdout) },
        LogTarget { header: LogHeader::HostTag, tag: some("web"), ..target(LogAddress::Stdout) },
        target(LogAddress::Gzip(plan::GzipFile {
            path: "/var/log/a:b.gz".into(),
            level: 5,
            bytes: 65536,
            flush: seconds(2),
        })),
        target(LogAddress::Gzip(plan::GzipFile { path: "a.gz".into(), level: 1, bytes: 1, flush: None })),
        LogTarget { header: LogHeader::Tag, ..target(LogAddress::Stdout) },
        LogTarget { header: LogHeader::Raw, ..target(LogAddress::Descriptor(2)) },
    ];
    for (facility, level) in (0..24)
        .zip([Severity::Notice, Severity::Warning, Severity::Critical, Severity::Alert].into_iter().cycle())
    {
        targets.push(LogTarget { facility, level, ..target(LogAddress::Stderr) });
    }
    LogPlan {
        targets,
        line: LogFormat::Json,
        error_line: Some(fixed("http")),
        tag: some("t"),
        skip_empty: true,
        only_errors: true,
        errors_at_err: true,
        early: true,
        when: Some(Condition::Never),
    }
}

fn pages() -> ErrorPages {
    let raw = |bytes: &[u8]| ErrorPage::Raw(Arc::from(bytes));
    let built = |body| {
        ErrorPage::Built(Arc::new(Answer {
            status: 418,
            content_type: some("text/html"),
            headers: vec![("x-a".into(), fixed("1")), ("x-a".into(), value(Fetch::Method))],
            body,
        }))
    };
    ErrorPages(
        [
            (400, raw(b"")),
            (403, raw(b"HTTP/1.0 403 No\r\nContent-Type: text/plain\r\n\r\nline one\nline two\n")),
            (404, raw(b"HTTP/1.0 404 No\r\n\r\nodd\r\n")),
            (408, raw(b"\xff\xfe")),
            (410, built(AnswerBody::ErrorPage)),
            (429, built(AnswerBody::Empty)),
            (500, built(AnswerBody::Fixed(Arc::from(&b""[..])))),
            (502, built(AnswerBody::Fixed(Arc::from(&b"<html>\n</html>\n"[..])))),
            (503, built(AnswerBody::Template(value(Fetch::Status)))),
            (504, built(AnswerBody::Message(Arc::from(&b"HTTP/1.1 504 Late\r\n\r\n"[..])))),
        ]
        .into(),
    )
}

fn statistics() -> Statistics {
    Statistics {
        path: "/stats".into(),
        users: Userlist {
            name: String::new(),
            users: vec![
                ("admin".into(), Password::Plain("secret: '\"x".into())),
                ("admin".into(), Password::Hashed("$5$abc$def".into())),
            ],
        },
        realm: "a realm".into(),
        refresh: seconds(10),
        admin: Some(Condition::Always),
        hide_version: true,
        node: some("n"),
        description: some(""),
        legends: true,
        scope: vec![".".into(), "app".into()],
        metrics_path: some("/metrics"),
    }
}

fn routes(shared: &Arc<Condition>) -> Vec<Route> {
    let route = |condition, target| Route { place: Place::none(), condition, target };
    let list: Vec<Condition> = conditions(shared);
    let mut routes: Vec<Route> =
        list.into_iter().map(|c| route(c, RouteTarget::Pool("app".into()))).collect();
    routes.extend(
        fetches().into_iter().map(|f| route(test(f, Matcher::Found), RouteTarget::Pool("app".into()))),
    );
    routes.push(route(Condition::Always, RouteTarget::Computed(value(Fetch::Cookie("pool".into())))));
    routes
}

fn conditions(shared: &Arc<Condition>) -> Vec<Condition> {
    let path = || test(Fetch::Path, Matcher::Found);
    let not = |c| Condition::Not(Box::new(c));
    let ranges = || {
        vec![
            IntRange { from: 1, to: 1 },
            IntRange { from: i64::MIN, to: -5 },
            IntRange { from: 7, to: i64::MAX },
            IntRange { from: i64::MIN, to: i64::MAX },
            IntRange { from: -3, to: 9 },
        ]
    };
    let list = |matcher| test(Fetch::Status, matcher);
    let long: Vec<String> = (0..40).map(|n| format!("/a long path with blanks {n}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    vec![
        Condition::Always,
        Condition::Never,
        not(Condition::Always),
        not(not(Condition::All(vec![path(), path()]))),
        Condition::All(vec![]),
        Condition::Any(vec![]),
        Condition::All(vec![Condition::Any(vec![path()])]),
        Condition::Any(vec![Condition::All(vec![path(), path()]), Condition::Any(vec![path(), not(path())])]),
        Condition::All(vec![
            Condition::Any(vec![path(), path()]),
            Condition::All(vec![path(), path()]),
            not(path()),
        ]),
        Condition::Shared(Arc::clone(shared)),
        not(Condition::Shared(Arc::clone(shared))),
        Condition::Shared(Arc::new(Condition::All(vec![path(), Condition::Shared(Arc::clone(shared))]))),
        text(TextMatch::Exact, false, &[]),
        text(TextMatch::Exact, true, &["A\"\\\n"]),
        text(TextMatch::Substring, false, &["a", "b"]),
        text(TextMatch::Directory, false, &["img"]),
        text(TextMatch::Domain, true, &["example"]),
        text(TextMatch::Exact, false, &long),
        list(Matcher::True),
        list(Matcher::Int(ranges())),
        list(Matcher::Int(vec![])),
        list(Matcher::Length(ranges())),
        list(Matcher::Length(vec![])),
        list(Matcher::Regex(vec![regex("^/a\\d+'$"), regex("(?i)b")])),
        list(Matcher::Regex(vec![regex("(?i)b'\\."), regex("(?i)\"")])),
        list(Matcher::Regex(vec![])),
        list(Matcher::Address(Networks(vec![]))),
        list(Matcher::Address(networks(&[
            "10.0.0.0/8",
            "1.2.3.4",
            "2001:db8::/32",
            "::1",
            "0.0.0.0/0",
            "fe80::1",
        ]))),
        Condition::Test(Test {
            expr: Expr { fetch: Fetch::Path, converters: converters() },
            matcher: Matcher::Found,
        }),
    ]
}

fn converters() -> Vec<Converter> {
    let variable = || Argument::Value(Box::new(Fetch::Variable(Scope::Transaction, "x".into())));
    let some = |parameter: &Parameter| match parameter.is_number() {
        true => Argument::Int(7),
        false => Argument::Text((*b":\xff").into()),
    };
    let each = |name: &'static str| {
        let function = function_named(name).unwrap();
        let full: Vec<Argument> = function.parameters.iter().map(some).collect();
        let required: Vec<Argument> =
            function.parameters.iter().filter(|p| p.is_required()).map(some).collect();
        let variables: Vec<Argument> = function.parameters.iter().map(|_| variable()).collect();
        let calls = [full, required, variables].into_iter();
        calls.filter_map(move |arguments| Converter::call(function, arguments).ok()).collect::<Vec<_>>()
    };
    let concat = function_named("concat").unwrap();
    let sparse = Converter::call(concat, [Argument::None, variable()]).unwrap();
    let replace =
        |regex, all| Converter::Replace(Arc::new(Replacement { regex, with: Box::from(*br"\1 "), all }));
    let replaced = [replace(regex("(?i)a(b)"), false), replace(regex(","), true)];
    let text = |text: &str| Argument::Text(text.as_bytes().into());
    let masks = function_named("mask_with").unwrap();
    let masked = Converter::call(masks, [text("255.0.0.1"), text("ffff::1")]).unwrap();
    function_names().flat_map(each).chain([sparse, masked]).chain(replaced).collect()
}

fn fetches() -> Vec<Fetch> {
    let header =
        |name: &str, occurrence, whole_line| HeaderFetch { name: name.into(), occurrence, whole_line };
    let table = Arc::new(MapTable {
        key: value(Fetch::Path),
        entries: vec![
            (Matcher::Text(TextPatterns::new(TextMatch::Exact, false, [b"a".to_vec()])), fixed("1")),
            (Matcher::True, value(Fetch::Query)),
            (Matcher::Regex(vec![regex("^x")]), Template(vec![])),
        ],
        default: Some(fixed("")),
    });
    let users = |names: &[&str]| {
        let users = names.iter().map(|n| ((*n).to_owned(), Password::Plain("p".into()))).collect();
        Arc::new(Userlist { name: "staff".into(), users })
    };
    let plain = crate::native::values::PLAIN.iter().map(|(_, fetch)| fetch.clone());
    let record = RecordField::all().map(Fetch::Record);
    let mut list: Vec<Fetch> = plain.chain(record).collect();
    list.extend([
        Fetch::Header(header("host", Occurrence::Any, false)),
        Fetch::Header(header("x.y z", Occurrence::Nth(-1), true)),
        Fetch::HeaderCount(header("host", Occurrence::Any, false)),
        Fetch::HeaderCount(header("", Occurrence::Nth(2), true)),
        Fetch::ResponseHeader(header("location", Occurrence::Any, false)),
        Fetch::ResponseHeader(header("location", Occurrence::Any, true)),
        Fetch::ResponseHeaderCount(header("location", Occurrence::Any, false)),
        Fetch::ResponseHeaderCount(header("location", Occurrence::Any, true)),
        Fetch::Cookie("sid".into()),
        Fetch::QueryParameter("id".into()),
        Fetch::ResponseCookie("s id".into()),
        Fetch::UsableServers(None),
        Fetch::UsableServers(Some("app".into())),
        Fetch::SiteConnections(None),
        Fetch::SiteConnections(Some("a b".into())),
        Fetch::Constant(Value::Bool(true)),
        Fetch::Constant(Value::Bool(false)),
        Fetch::Constant(Value::Int(-12)),
        Fetch::Constant(Value::Text(b"te\"xt\x80".to_vec().into())),
        Fetch::Constant(Value::Address("10.0.0.1".parse().unwrap())),
        Fetch::Constant(Value::Address("::1".parse().unwrap())),
        Fetch::Holds(Box::new(test(Fetch::ClientAddress, Matcher::Address(networks(&["10.0.0.0/8"]))))),
        Fetch::Variable(Scope::Process, "a".into()),
        Fetch::Variable(Scope::Session, "a.b".into()),
        Fetch::Variable(Scope::Transaction, "a b".into()),
        Fetch::Variable(Scope::Request, "x".into()),
        Fetch::Variable(Scope::Response, "x".into()),
        Fetch::RequestCapture(0),
        Fetch::ResponseCapture(3),
        Fetch::Authenticated(users(&["a", "b"])),
        Fetch::Authenticated(users(&["a"])),
        Fetch::Random(100),
        Fetch::Date(0),
        Fetch::Date(-60),
        Fetch::Map(Arc::clone(&table)),
        Fetch::Map(table),
    ]);
    list
}

fn rules(shared: &Arc<Condition>) -> Rules {
    let rule = |action| Rule { place: Place::none(), condition: Condition::Always, action };
    let when = |action| Rule { condition: Condition::Shared(Arc::clone(shared)), ..rule(action) };
    let answer = |status| Arc::new(Answer { status, ..Answer::default() });
    Rules {
        connection: vec![when(Action::Reject), rule(Action::Reject), rule(Action::SilentDrop)],
        session: vec![when(Action::Reject)],
        content: vec![rule(Action::Allow), when(Action::Allow)],
        response_content: vec![rule(Action::Reject)],
        request: actions().into_iter().chain(courses()).flat_map(|a| [rule(a.clone()), when(a)]).collect(),
        response: vec![rule(Action::Deny(answer(502)))],
        after_response: vec![rule(Action::SetStatus(204, None))],
    }
}

fn courses() -> Vec<Action> {
    use plan::rule::{
        Course, NewValue, Normalizer, SetVariable, TimeoutKind, VariableCondition, WaitForBody,
    };
    let number = || Expr::of(Fetch::Constant(Value::Int(5)));
    let set = |value, when| {
        Course::SetVariable(Box::new(SetVariable {
            scope: Scope::Transaction,
            name: "x".into(),
            value,
            when,
        }))
    };
    let mut list = vec![
        Course::ClientPort(number()),
        Course::LocalAddress(Expr::of(Fetch::ClientAddress)),
        Course::LocalPort(number()),
        Course::WaitForBody(WaitForBody { longest: Duration::from_secs(1), at_least: 100 }),
        Course::WaitForBody(WaitForBody::default()),
        Course::Pause(number()),
        Course::EarlyHint("link".into(), fixed("</a.css>")),
        Course::Tries(number()),
        Course::NoRetry,
        Course::Strict(true),
        Course::Strict(false),
        Course::ClientMark(number()),
        Course::ClientTos(number()),
        Course::CaptureResponse(Expr::of(Fetch::Status), 1),
        set(NewValue::Value(number()), vec![VariableCondition::Set, VariableCondition::Greater]),
        set(
            NewValue::Text(fixed("t")),
            vec![VariableCondition::NotSet, VariableCondition::Empty, VariableCondition::NotEmpty],
        ),
        set(NewValue::Value(number()), vec![VariableCondition::Less]),
    ];
    for kind in [
        TimeoutKind::Client,
        TimeoutKind::Connect,
        TimeoutKind::Queue,
        TimeoutKind::Server,
        TimeoutKind::Tarpit,
        TimeoutKind::Tunnel,
    ] {
        list.push(Course::Timeout(kind, number()));
    }
    for step in [
        Normalizer::FragmentEncode,
        Normalizer::FragmentStrip,
        Normalizer::MergeSlashes,
        Normalizer::StripDot,
        Normalizer::StripDotDot { full: false },
        Normalizer::StripDotDot { full: true },
        Normalizer::DecodeUnreserved { strict: false },
        Normalizer::DecodeUnreserved { strict: true },
        Normalizer::UpperCaseEscapes { strict: false },
        Normalizer::UpperCaseEscapes { strict: true },
        Normalizer::SortQuery,
    ] {
        list.push(Course::Normalize(step));
    }
    list.into_iter().map(|course| Action::Course(Box::new(course))).collect()
}

fn actions() -> Vec<Action> {
    let with = || {
        RegexTemplate(Template(vec![
            Piece::Text((*b"\\1-").into()),
            Piece::Value(Expr::of(Fetch::Path), Style::default()),
        ]))
    };
    let answer = || {
        Arc::new(Answer {
            status: 429,
            content_type: None,
            headers: vec![("retry-after".into(), fixed("5"))],
            body: AnswerBody::Fixed(Arc::from(&b"slow down"[..])),
        })
    };
    let redirect = |kind, status| {
        Arc::new(Redirect {
            status,
            kind,
            drop_query: false,
            append_slash: false,
            keep_query: false,
            set_cookie: None,
            ignore_empty: false,
        })
    };
    let full = Redirect {
        status: 301,
        kind: RedirectKind::Scheme(fixed("https")),
        drop_query: true,
        append_slash: true,
        keep_query: true,
        set_cookie: Some(fixed("a=b")),
        ignore_empty: true,
    };
    let pattern = |pattern| Action::DelHeader(HeaderMatch { pattern });
    vec![
        Action::Metrics,
        Action::Deny(answer()),
        Action::Tarpit(answer()),
        Action::Answer(answer()),
        Action::Redirect(redirect(RedirectKind::Location(fixed("/x")), 302)),
        Action::Redirect(redirect(RedirectKind::Prefix(value(Fetch::Query)), 307)),
        Action::Redirect(Arc::new(full)),
        Action::Authenticate { realm: "r".into() },
        Action::SetHeader("x-a".into(), value(Fetch::ClientAddress)),
        Action::AddHeader("x-b".into(), Template(vec![])),
        pattern(TextPattern::Exact("a".into())),
        pattern(TextPattern::Prefix("a".into())),
        pattern(TextPattern::Suffix("a".into())),
        pattern(TextPattern::Substring("a".into())),
        pattern(TextPattern::Regex(regex("^a"))),
        Action::ReplaceHeader("x".into(), regex("(.*)"), with()),
        Action::ReplaceValue("x".into(), regex("(.*)"), with()),
        Action::SetMethod(fixed("GET")),
        Action::SetPath(fixed("/p")),
        Action::SetPathAndQuery(fixed("/p?q")),
        Action::SetQuery(fixed("q")),
        Action::SetTarget(fixed("*")),
        Action::ReplacePath(regex("(.*)"), with()),
        Action::ReplacePathAndQuery(regex("(.*)"), with()),
        Action::ReplaceTarget(regex("(.*)"), with()),
        Action::SetStatus(404, Some("Gone away".into())),
        Action::SetVariable(
            Scope::Transaction,
            "x.y".into(),
            Expr { fetch: Fetch::Path, converters: vec![Converter::plain("lower").unwrap()] },
        ),
        Action::SetVariableText(Scope::Process, "x".into(), value(Fetch::Path)),
        Action::UnsetVariable(Scope::Session, "x".into()),
        Action::SetLogLevel(None),
        Action::SetLogLevel(Some(Severity::Warning)),
        Action::SetClientAddress(Expr::of(Fetch::Constant(Value::Address("10.0.0.1".parse().unwrap())))),
        Action::Capture(Expr::of(Fetch::Target), 1),
    ]
}

fn pools() -> Vec<Pool> {
    let mut pools = vec![full_pool()];
    let mut add = |change: &dyn Fn(&mut Pool)| {
        let mut pool = Pool { name: format!("p{}", pools.len()), id: 40, ..Pool::default() };
        change(&mut pool);
        pools.push(pool);
    };
    let uri = UriHash { length: Some(5), depth: Some(2), whole: true, path_only: true };
    for balance in [
        Balance::StaticRoundRobin,
        Balance::LeastConnections,
        Balance::First,
        Balance::Source,
        Balance::Uri(UriHash::default()),
        Balance::Uri(uri),
        Balance::QueryParameter("q".into()),
        Balance::Header { name: "host".into(), domain_only: false },
        Balance::Hash(Expr { fetch: Fetch::Path, converters: vec![Converter::plain("lower").unwrap()] }),
        Balance::Random(2),
        Balance::Random(5),
        smooth(SmoothMethod::Turns),
        smooth(SmoothMethod::LeastConnections),
        smooth(SmoothMethod::ClientNetwork),
        smooth(SmoothMethod::Key { key: value(Fetch::Path), ring: false }),
        smooth(SmoothMethod::Key { key: Template(vec![]), ring: true }),
        smooth(SmoothMethod::Random),
        smooth(SmoothMethod::RandomOfTwo),
        Balance::Smooth(Box::new(full_smooth())),
    ] {
        add(&|pool| pool.balance = balance.clone());
    }
    for function in [HashFunction::Djb2, HashFunction::Wt6, HashFunction::None] {
        add(&|pool| pool.hash.function = function);
    }
    for reuse in [Reuse::Safe, Reuse::Aggressive, Reuse::Always] {
        add(&|pool| pool.reuse = reuse);
    }
    for mode in [CookieMode::Insert, CookieMode::Prefix] {
        add(&|pool| pool.cookie = Some(cookie(mode)));
    }
    add(&|pool| {
        pool.alerts = Some(Arc::new(mail_alerts()));
        pool.servers = vec![Server {
            track: Some(Tracked { pool: "p".into(), server: "s".into() }),
            told_rise: 3,
            ..server("a", 1, ServerAddress::Transparent)
        }];
    });
    for probe in probes() {
        add(&|pool| pool.probe = Some(probe.clone()));
        add(&|pool| {
            pool.probe = Some(probe.clone());
            pool.servers = vec![server("a", 1, ServerAddress::Transparent)];
        });
    }
    add(&|pool| {
        pool.retry.redispatch = Redispatch::Never;
        pool.retry.on = RetryOn { connect_failure: false, empty_response: false, ..RetryOn::default() };
    });
    pools
}

fn smooth(method: SmoothMethod) -> Balance {
    Balance::Smooth(Box::new(Smooth { method, sticky: None, queue: None }))
}

fn full_smooth() -> Smooth {
    let cookie = StickyCookie {
        name: "route".into(),
        domain: Some(value(Fetch::Path)),
        path: Some("/a".into()),
        life: Some(CookieLife::For(Duration::from_secs(3600))),
        http_only: true,
        secure: true,
        same_site: Some(fixed("lax")),
    };
    let learn = StickyLearn {
        zone: "z".into(),
        max_sessions: 9,
        timeout: Duration::from_secs(5),
        create: vec![value(Fetch::Path)],
        at_head: true,
    };
    Smooth {
        method: SmoothMethod::Turns,
        sticky: Some(Sticky { lookup: vec![value(Fetch::Query)], cookie: Some(cookie), learn: Some(learn) }),
        queue: Some(7),
    }
}

fn mail_alerts() -> plan::alert::MailAlerts {
    plan::alert::MailAlerts {
        mailers: vec!["10.0.0.1:25".parse().unwrap()],
        timeout: Duration::from_secs(20),
        from: "a@b.test".into(),
        to: "c@d.test".into(),
        level: Severity::Notice,
        hostname: Some("h".into()),
    }
}

fn probes() -> Vec<Probe> {
    let expect = |negate, what| StepAct::Expect(Expect { negate, ..Expect::from(what) });
    let send = |method: &str, minor| {
        StepAct::Request(HttpCheckRequest { method: method.into(), minor, ..HttpCheckRequest::default() })
    };
    let full = StepAct::Request(HttpCheckRequest {
        method: "POST".into(),
        target: Template::fixed("/h"),
        minor: 1,
        headers: vec![("host".into(), Template::fixed("a")), ("x".into(), Template::fixed("b"))],
        body: Template::fixed(b"\xff".to_vec()),
    });
    let http = |acts: Vec<StepAct>| {
        Probe::Script(Script { steps: acts.into_iter().map(Step::from).collect(), ..Script::default() })
    };
    let mut probes = vec![
        Probe::Tcp,
        Probe::Redis,
        Probe::Ldap,
        Probe::TlsHello,
        Probe::Mysql(None),
        Probe::Mysql(Some(MysqlLogin { user: "u".into(), protocol: MysqlProtocol::V41 })),
        Probe::Mysql(Some(MysqlLogin { user: "u".into(), protocol: MysqlProtocol::Old })),
        Probe::Smtp { hello: "EHLO a.test".into() },
        Probe::Postgres { user: "u".into() },
        Probe::Program(CheckProgram {
            command: "/bin/true".into(),
            path: "/bin".into(),
            keep_environment: true,
            listener: Some(("127.0.0.1".into(), "80".into())),
        }),
        http(vec![]),
        http(vec![send("GET", 0)]),
        http(vec![send("GET", 1), expect(false, Expectation::Status(vec![(200, 200)]))]),
        http(vec![send("G T", 0), expect(true, Expectation::Status(vec![(200, 399), (404, 404)]))]),
        http(vec![expect(false, Expectation::Status(vec![]))]),
        http(vec![expect(false, Expectation::StatusRegex(regex("^2"))), full]),
        http(vec![send("GET", 0), expect(false, Expectation::Text(b"\xffok".to_vec()))]),
        http(vec![send("GET", 0), expect(true, Expectation::Regex(regex("ok")))]),
    ];
    probes.extend([http(every_act()), every_script()]);
    probes
}

fn every_script() -> Probe {
    let steps = every_act().into_iter().map(|act| Step { act, comment: Some("a remark".into()) }).collect();
    Probe::Script(Script { protocol: ScriptProtocol::Bytes, steps, send_state: true, stop_on_404: true })
}

fn every_act() -> Vec<StepAct> {
    let text = |text: &str| Template::fixed(text);
    let header = |name, value| {
        StepAct::Expect(Expect::from(Expectation::Header(HeaderExpectation {
            name,
            value,
            whole_line: true,
        })))
    };
    let one = Expect {
        negate: true,
        what: Expectation::HexTemplate(text("41")),
        least: Some(0),
        passes_as: PassAs::Conditional,
        fails_as: Some(FailAs::WrongStatus),
        late_as: LateAs::Layer4,
        on_success: Some(text("fine")),
        on_error: Some(text("bad")),
        code: Some(Expr::of(Fetch::Status)),
    };
    let of = |what| StepAct::Expect(Expect::from(what));
    vec![
        StepAct::Connect(CheckConnect {
            as_server: true,
            address: Some("10.0.0.9".parse().unwrap()),
            port: Some(Expr::of(Fetch::Variable(Scope::Check, "port".into()))),
            send_proxy: true,
            linger: true,
        }),
        StepAct::Connect(CheckConnect::default()),
        StepAct::Send(text("PING\r\n")),
        StepAct::SendHex(text("41")),
        StepAct::Set(Scope::Check, "a".into(), Expr::of(Fetch::ServerName)),
        StepAct::SetText(Scope::Session, "b".into(), text("x")),
        StepAct::Unset(Scope::Check, "a".into()),
        StepAct::Remark,
        StepAct::Expect(one),
        of(Expectation::Binary(b"\0\xff".to_vec())),
        of(Expectation::HexRegex(regex("^41"))),
        of(Expectation::Template(text("a"))),
        header(TextExpectation::Regex(regex("^x-")), None),
        header(
            TextExpectation::Text(TextMatch::Prefix, text("x-")),
            Some(TextExpectation::Text(TextMatch::Exact, text("1"))),
        ),
    ]
}

fn cookie(mode: CookieMode) -> Cookie {
    Cookie {
        name: "SRV".into(),
        mode,
        indirect: true,
        no_cache: true,
        post_only: true,
        preserve: true,
        http_only: true,
        secure: true,
        domains: vec![".a.test".into(), "b".into()],
        attributes: vec!["SameSite=Lax".into()],
        max_life: seconds(3600),
    }
}

fn server(name: &str, id: u32, address: ServerAddress) -> Server {
    Server::new(Place::none(), name, id, address)
}

fn full_pool() -> Pool {
    let check = Check {
        interval: Duration::from_millis(2500),
        fast_interval: seconds(1),
        down_interval: seconds(5),
        rise: 4,
        fall: 5,
        address: Some("10.0.0.9".parse().unwrap()),
        port: Some(81),
        send_proxy: Some(ProxyVersion::V2),
    };
    Pool {
        alerts: Some(Arc::new(mail_alerts())),
        place: Place::none(),
        name: "app".into(),
        id: 9,
        mode: Mode::Http,
        disabled: true,
        description: some("123"),
        servers: servers(&check),
        // No words for these yet; the writer says so.
        stick: Vec::new(),
        stick_response: Vec::new(),
        persist_to_down: false,
        persistence_rules: Vec::new(),
        server_rules: Vec::new(),
        balance: Balance::Header { name: "host".into(), domain_only: true },
        hash: HashKind {
            method: HashMethod::Consistent,
            function: HashFunction::Crc32,
            avalanche: true,
            balance_factor: Some(150),
        },
        timeouts: PoolTimeouts {
            connect: seconds(5),
            server: seconds(50),
            server_fin: seconds(1),
            queue: seconds(2),
            tunnel: seconds(7200),
            check: seconds(3),
        },
        retry: Retry {
            tries: 1,
            redispatch: Redispatch::Always,
            on: RetryOn {
                junk_response: true,
                response_timeout: true,
                statuses: vec![503, 502],
                ..RetryOn::default()
            },
            budget_percent: Some(20),
        },
        cookie: Some(cookie(CookieMode::Rewrite)),
        probe: Some(probes().remove(5)),
        log_checks: true,
        http: HttpOptions {
            connection: ConnectionMode::Close,
            forwarded_for: Some(ForwardedFor {
                header: "X-Forwarded-For".into(),
                except: Networks::default(),
                if_none: false,
            }),
            original_to: Some(ForwardedFor {
                header: "X-Forwarded-For".into(),
                except: Networks::default(),
                if_none: false,
            }),
            abort_on_close: Some(true),
            ..HttpOptions::default()
        },
        reuse: Reuse::Never,
        keep: Some(Keep {
            connections: 3,
            requests: 4,
            idle: Duration::from_secs(5),
            age: Duration::from_secs(6),
        }),
        rules: Rules {
            response: vec![Rule {
                place: Place::none(),
                condition: Condition::Always,
                action: Action::Allow,
            }],
            ..Rules::default()
        },
        pages: pages(),
        statistics: Some(Arc::new(Statistics {
            path: "/s".into(),
            users: Userlist { name: "staff".into(), users: vec![] },
            ..Statistics::default()
        })),
        full_connections: Some(100),
        state_file: Some("/var/lib/states".into()),
        all_backups: true,
        tcp_keep_alive: true,
        hold: seconds(4),
        event_logs: process().logs,
    }
}

fn resolvers() -> Vec<Resolvers> {
    let server = |name: &str, address: &str, transport| NameServer {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        transport,
    };
    vec![Resolvers {
        servers: vec![
            server("ns1", "10.0.0.53:53", Transport::Tcp),
            server("10.0.0.54", "10.0.0.54:53", Transport::Udp),
        ],
        tries: 5,
        interval: Duration::from_secs(9),
        patience: Duration::from_secs(2),
        hold: Hold {
            valid: Duration::from_secs(1),
            missing: Duration::from_secs(2),
            silent: seconds(3),
            refused: seconds(4),
            other: seconds(5),
            obsolete: Duration::from_secs(6),
        },
        payload_bytes: 8192,
        on_demand: Some(OnDemand { valid: seconds(3), v4: true, v6: false, timeout: Duration::from_secs(4) }),
        ..Resolvers::new(Place::none(), "dns")
    }]
}

fn servers(check: &Check) -> Vec<Server> {
    let full = Server {
        lookup: Lookup {
            resolvers: some("dns"),
            prefer: Family::V4,
            networks: networks(&["10.0.0.0/8"]),
            shared: true,
            ignore_weight: true,
            first: vec![
                FirstAddress::Last,
                FirstAddress::System,
                FirstAddress::Fixed("10.0.0.8".parse().unwrap()),
                FirstAddress::None,
            ],
        },
        check: Some(check.clone()),
        agent: Some(AgentCheck {
            port: 99,
            address: Some("::1".parse().unwrap()),
            interval: Duration::from_secs(9),
            send: Some(b"hi\n".to_vec()),
        }),
        weight: 0,
        backup: true,
        disabled: true,
        max_connections: Some(20),
        min_connections: Some(2),
        max_queue: Some(5),
        slow_start: seconds(30),
        cookie: some("c1"),
        send_proxy: Some(ProxyVersion::V1),
        observe: Some(Observe { layer: ObserveLayer::Http, error_limit: 3, action: ObserveAction::MarkDown }),
        source: Some("10.0.0.5:0".parse().unwrap()),
        cut_when_down: true,
        cut_backups_when_up: true,
        idle_connections: Some(0),
        idle_low: Some(3),
        idle_life: Some(Duration::from_secs(4)),
        max_reuse: Some(5),
        redirect_prefix: some("http://x"),
        non_stick: false,
        smooth: Some(Box::new(SmoothServer {
            max_fails: 3,
            window: Duration::from_secs(7),
            drained: true,
            route: some("a"),
            written: "app:80".into(),
            every_address: true,
        })),
        ..server("a", 11, ServerAddress::Tcp("10.0.0.1:80".parse().unwrap()))
    };
    let observe = |layer, action| Some(Observe { layer, error_limit: 10, action });
    let checked = |server: Server| Server { check: Some(check.clone()), ..server };
    vec![
        full,
        checked(server("b", 2, ServerAddress::Name("app.test".into(), 80))),
        checked(server("b2", 12, ServerAddress::MappedName("app.test".into(), 0))),
        checked(server("b3", 13, ServerAddress::Service("_http._tcp.app.test".into()))),
        checked(server("80", 3, ServerAddress::Unix("/run/app.sock".into()))),
        checked(server("d", 4, ServerAddress::MappedPort("10.0.0.4".parse().unwrap(), 0))),
        checked(server("e", 5, ServerAddress::MappedPort("::1".parse().unwrap(), -8))),
        Server { check: Some(Check::default()), ..server("f", 6, ServerAddress::Transparent) },
        Server {
            agent: Some(AgentCheck { port: 1, address: None, interval: Duration::from_secs(2), send: None }),
            observe: observe(ObserveLayer::Connection, ObserveAction::FastInter),
            ..server("g", 7, ServerAddress::Tcp("[::1]:80".parse().unwrap()))
        },
        Server {
            observe: observe(ObserveLayer::Connection, ObserveAction::SuddenDeath),
            ..checked(server("h", 8, ServerAddress::Tcp("10.0.0.2:80".parse().unwrap())))
        },
        Server {
            observe: observe(ObserveLayer::Connection, ObserveAction::FailCheck),
            ..checked(server("i", 9, ServerAddress::Tcp("10.0.0.3:80".parse().unwrap())))
        },
    ]
}
