//! A snapshot for tests: one `listen` section, a site with its pool, an empty pool.

use crate::view::{
    Admin, CheckView, FlowView, Health, PoolView, ProcessView, ServerView, SiteView, Snapshot, TableView,
};
use telemetry::Cause;

/// The snapshot.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        tables: vec![TableView { name: "keys".into(), kind: "string", size: 100, used: 3 }],
        now_ms: 1_795_165_884_123,
        process: ProcessView {
            name: "HAProxy".into(),
            version: "2.6.12-mainstay".into(),
            node: "node1".into(),
            pid: 42,
            threads: 2,
            uptime_s: 93_784,
            max_connections: 1000,
            connections: 3,
            connections_total: 5,
            requests_total: 9,
            reading: 1,
            writing: 1,
            waiting: 1,
            last_reload_ok: true,
            ..ProcessView::default()
        },
        sites: vec![site("www", 2), site("both", 3)],
        pools: vec![
            pool("both", 3, vec![ServerView { backup: true, ..server("b", 1) }]),
            pool("app", 4, vec![checked(server("s1", 1)), maintained(server("s2", 2))]),
            PoolView { up: true, ..pool("empty", 5, Vec::new()) },
        ],
        events: vec![(1_795_165_884_123, 1, "Server app/s1 is <DOWN>".into())],
        invalid_total: 0,
    }
}

fn site(name: &str, id: u32) -> SiteView {
    SiteView {
        name: name.into(),
        id,
        http: true,
        limit: 100,
        sessions: 7,
        responses: [0, 5, 0, 1, 1, 0],
        causes: vec![(Cause::BadRequest, 2)],
        ..SiteView::default()
    }
}

fn pool(name: &str, id: u32, servers: Vec<ServerView>) -> PoolView {
    PoolView {
        name: name.into(),
        id,
        http: true,
        algorithm: "roundrobin".into(),
        limit: 10,
        servers,
        ..PoolView::default()
    }
}

fn server(name: &str, id: u32) -> ServerView {
    ServerView {
        told_rise: 2,
        name: name.into(),
        id,
        address: "127.0.0.1".into(),
        port: 8000,
        flow: FlowView { sessions: 4, average_ms: [0, 1, 2, 1234], ..FlowView::default() },
        weight: 1,
        user_weight: 1,
        initial_weight: 1,
        ..ServerView::default()
    }
}

fn checked(server: ServerView) -> ServerView {
    ServerView {
        health: Health::Down,
        check: Some(CheckView {
            enabled: true,
            status: "L4CON".into(),
            duration_ms: Some(12),
            info: "Connection \"refused\", sorry".into(),
            rise: 2,
            fall: 3,
            ..CheckView::default()
        }),
        ..server
    }
}

fn maintained(server: ServerView) -> ServerView {
    ServerView { admin: Admin::Maintenance, disabled_by_file: true, ..server }
}
