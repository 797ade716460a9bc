//! `show info`: the process, by HAProxy's names.

use crate::rows::{Cell, json_tags, one_line};
use crate::view::{ProcessView, Snapshot};
use std::fmt::Write as _;
use telemetry::json;

/// A field: number, name, tags, type, value.
type Field = (u32, &'static str, &'static str, &'static str, fn(&Snapshot) -> Cell);

/// What has no counterpart here (TLS, compression, caches, peers come later) is truly 0.
const FIELDS: &[Field] = &[
    (0, "Name", "POS", "str", |s| s.process.name.as_str().into()),
    (1, "Version", "POS", "str", |s| s.process.version.as_str().into()),
    (2, "Release_date", "POS", "str", |s| s.process.release_date.as_str().into()),
    (3, "Nbthread", "CGS", "u32", |s| s.process.threads.into()),
    (4, "Nbproc", "CGS", "u32", |_| 1u64.into()),
    (5, "Process_num", "KGP", "u32", |_| 1u64.into()),
    (6, "Pid", "SGP", "u32", |s| s.process.pid.into()),
    (7, "Uptime", "MDP", "str", |s| uptime(s.process.uptime_s).into()),
    (8, "Uptime_sec", "MDP", "u32", |s| s.process.uptime_s.into()),
    (9, "Memmax_MB", "CLP", "u32", zero),
    (10, "PoolAlloc_MB", "MGP", "u32", |s| (s.process.memory >> 20).into()),
    (11, "PoolUsed_MB", "MGP", "u32", |s| (s.process.memory >> 20).into()),
    (12, "PoolFailed", "MCP", "u32", zero),
    (13, "Ulimit-n", "CLP", "u32", |s| s.process.descriptors.into()),
    (14, "Maxsock", "CLP", "u32", |s| s.process.descriptors.into()),
    (15, "Maxconn", "CLP", "u32", |s| s.process.max_connections.into()),
    (16, "Hard_maxconn", "CLP", "u32", |s| s.process.hard_max_connections.into()),
    (17, "CurrConns", "MGP", "u32", |s| s.process.connections.into()),
    (18, "CumConns", "MCP", "u32", |s| s.process.connections_total.into()),
    (19, "CumReq", "MCP", "u32", |s| s.process.requests_total.into()),
    (20, "MaxSslConns", "MMP", "u32", zero),
    (21, "CurrSslConns", "MGP", "u32", |s| s.process.encrypted.into()),
    (22, "CumSslConns", "MCP", "u32", |s| s.process.encrypted_total.into()),
    (23, "Maxpipes", "CLP", "u32", zero),
    (24, "PipesUsed", "MGP", "u32", zero),
    (25, "PipesFree", "MGP", "u32", zero),
    (26, "ConnRate", "MRP", "u32", |s| s.process.connection_rate.now.into()),
    (27, "ConnRateLimit", "CLP", "u32", |s| s.process.connection_rate_limit.into()),
    (28, "MaxConnRate", "MMP", "u32", |s| s.process.connection_rate.max.into()),
    (29, "SessRate", "MRP", "u32", |s| s.process.session_rate.now.into()),
    (30, "SessRateLimit", "CLP", "u32", |s| s.process.session_rate_limit.into()),
    (31, "MaxSessRate", "MRP", "u32", |s| s.process.session_rate.max.into()),
    (32, "SslRate", "MRP", "u32", zero),
    (33, "SslRateLimit", "CLP", "u32", |s| s.process.encrypted_rate_limit.into()),
    (34, "MaxSslRate", "MMP", "u32", zero),
    (35, "SslFrontendKeyRate", "MGP", "u32", zero),
    (36, "SslFrontendMaxKeyRate", "MMP", "u32", zero),
    (37, "SslFrontendSessionReuse_pct", "MGP", "u32", zero),
    (38, "SslBackendKeyRate", "MRP", "u32", zero),
    (39, "SslBackendMaxKeyRate", "MMP", "u32", zero),
    (40, "SslCacheLookups", "MCP", "u32", zero),
    (41, "SslCacheMisses", "MCP", "u32", zero),
    (42, "CompressBpsIn", "MRP", "u32", zero),
    (43, "CompressBpsOut", "MRP", "u32", zero),
    (44, "CompressBpsRateLim", "CLP", "u32", |s| s.process.compression_rate_limit.into()),
    (47, "Tasks", "MGP", "u32", |s| s.process.tasks.into()),
    (48, "Run_queue", "MGP", "u32", zero),
    (49, "Idle_pct", "MaP", "u32", |s| s.process.idle_percent.into()),
    (50, "node", "COS", "str", |s| s.process.node.as_str().into()),
    (51, "description", "COS", "str", |s| s.process.description.as_str().into()),
    (52, "Stopping", "MGP", "u32", |s| u64::from(s.process.stopping).into()),
    (53, "Jobs", "MGP", "u32", |s| (s.process.connections + s.process.listeners).into()),
    (54, "Unstoppable Jobs", "MGP", "u32", zero),
    (55, "Listeners", "MGP", "u32", |s| s.process.listeners.into()),
    (56, "ActivePeers", "MGP", "u32", zero),
    (57, "ConnectedPeers", "MGP", "u32", zero),
    (58, "DroppedLogs", "MGP", "u32", |s| s.process.dropped_logs.into()),
    (59, "BusyPolling", "MGP", "u32", zero),
    (60, "FailedResolutions", "MGP", "u32", |s| s.process.failed_resolutions.into()),
    (61, "TotalBytesOut", "MGP", "u64", |s| s.process.bytes_out.into()),
    (62, "TotalSplicdedBytesOut", "MGP", "u64", |s| s.process.spliced_bytes_out.into()),
    (63, "BytesOutRate", "MRP", "u64", |s| s.process.bytes_out_rate.into()),
    (64, "DebugCommandsIssued", "MGP", "u32", zero),
    (65, "CumRecvLogs", "MCP", "u32", zero),
    (66, "Build info", "POS", "str", |s| s.process.version.as_str().into()),
    (67, "Memmax_bytes", "CLP", "u32", zero),
    (68, "PoolAlloc_bytes", "MGP", "u64", |s| s.process.memory.into()),
    (69, "PoolUsed_bytes", "MGP", "u64", |s| s.process.memory.into()),
    (70, "Start_time_sec", "MDP", "u32", |s| s.process.started_s.into()),
    (71, "Tainted", "SGP", "str", |_| "0".into()),
];

/// What a field means.
fn about(name: &str) -> &'static str {
    match name {
        "Name" => "name of the product",
        "Version" => "version of the product",
        "Release_date" => "date of the version",
        "Nbthread" => "worker threads",
        "Nbproc" => "worker processes, always 1",
        "Process_num" => "number of the worker process, always 1",
        "Pid" => "process id",
        "Uptime" => "time since the start",
        "Uptime_sec" => "time since the start, seconds",
        "Memmax_MB" | "Memmax_bytes" => "memory limit of the command line, 0 = none",
        "PoolAlloc_MB" | "PoolAlloc_bytes" => "memory taken from the system",
        "PoolUsed_MB" | "PoolUsed_bytes" => "memory in use",
        "PoolFailed" => "allocations that failed",
        "Ulimit-n" => "limit of file descriptors",
        "Maxsock" => "limit of sockets",
        "Maxconn" => "limit of client connections now",
        "Hard_maxconn" => "limit of client connections at the start",
        "CurrConns" => "client connections now",
        "CumConns" => "client connections so far",
        "CumReq" => "requests so far",
        "MaxSslConns" => "limit of encrypted connections, 0 = none",
        "CurrSslConns" => "encrypted connections now",
        "CumSslConns" => "encrypted connections so far",
        "Maxpipes" => "limit of pipes, 0 = none",
        "PipesUsed" => "pipes in use",
        "PipesFree" => "pipes kept for later use",
        "ConnRate" => "client connections in the last second",
        "ConnRateLimit" => "limit of client connections per second, 0 = none",
        "MaxConnRate" => "most client connections in a second",
        "SessRate" => "sessions in the last second",
        "SessRateLimit" => "limit of sessions per second, 0 = none",
        "MaxSessRate" => "most sessions in a second",
        "SslRate" => "encrypted sessions in the last second",
        "SslRateLimit" => "limit of encrypted sessions per second, 0 = none",
        "MaxSslRate" => "most encrypted sessions in a second",
        "SslFrontendKeyRate" => "new keys with clients in the last second",
        "SslFrontendMaxKeyRate" => "most new keys with clients in a second",
        "SslFrontendSessionReuse_pct" => "encrypted sessions of clients without a new key, percent",
        "SslBackendKeyRate" => "new keys with servers in the last second",
        "SslBackendMaxKeyRate" => "most new keys with servers in a second",
        "SslCacheLookups" => "look-ups of encrypted sessions",
        "SslCacheMisses" => "look-ups of encrypted sessions that found nothing",
        "CompressBpsIn" => "bytes into compression in the last second",
        "CompressBpsOut" => "bytes out of compression in the last second",
        "CompressBpsRateLim" => "limit of bytes into compression per second, 0 = none",
        "Tasks" => "tasks",
        "Run_queue" => "tasks that wait for a processor",
        "Idle_pct" => "time the workers waited in the last second, percent",
        "node" => "name of the node",
        "description" => "description of the node",
        "Stopping" => "1 while stopping",
        "Jobs" => "client connections and listeners",
        "Unstoppable Jobs" => "jobs that a stop does not end",
        "Listeners" => "listeners",
        "ActivePeers" => "connected peers that speak",
        "ConnectedPeers" => "connected peers",
        "DroppedLogs" => "log lines lost",
        "BusyPolling" => "1 when workers never sleep",
        "FailedResolutions" => "failed look-ups of names",
        "TotalBytesOut" => "bytes to clients so far",
        "TotalSplicdedBytesOut" => "bytes to clients that never left the kernel",
        "BytesOutRate" => "bytes to clients in the last second",
        "DebugCommandsIssued" => "debug commands so far",
        "CumRecvLogs" => "log lines received",
        "Build info" => "build",
        "Start_time_sec" => "start, Unix seconds",
        "Tainted" => "experiments in use",
        _ => "",
    }
}

fn zero(_: &Snapshot) -> Cell {
    0u64.into()
}

/// `0d 0h00m03s`.
pub(crate) fn uptime(s: u64) -> String {
    format!("{}d {}h{:02}m{:02}s", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
}

/// `show info`: a line per field, with what it means when `description` is asked for.
pub fn info(snapshot: &Snapshot, description: bool) -> String {
    written(snapshot, |(_, name, _, _, _), value| {
        let about = if description { format!(":\"{}\"", about(name)) } else { String::new() };
        format!("{name}: {value}{about}\n")
    })
}

/// `show info typed`.
pub fn info_typed(snapshot: &Snapshot, description: bool) -> String {
    written(snapshot, |(number, name, tags, kind, _), value| {
        let about = if description { format!(":\"{}\"", about(name)) } else { String::new() };
        format!("{number}.{name}.1:{tags}:{kind}:{value}{about}\n")
    })
}

/// `show info json`.
pub fn info_json(snapshot: &Snapshot) -> String {
    let mut out = b"[".to_vec();
    for (at, (number, name, tags, kind, value)) in FIELDS.iter().enumerate() {
        let head = format!(
            "{}{{\"field\":{{\"pos\":{number},\"name\":\"{name}\"}},\"processNum\":1,\"tags\":{},\
             \"value\":{{\"type\":\"{kind}\",\"value\":",
            if at > 0 { "," } else { "" },
            json_tags(tags),
        );
        out.extend_from_slice(head.as_bytes());
        match value(snapshot) {
            Cell::Number(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Cell::Text(text) => json::write_string(text.as_bytes(), &mut out),
            Cell::Empty => out.extend_from_slice(b"\"\""),
        }
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"]\n");
    String::from_utf8(out).unwrap_or_default()
}

fn written(snapshot: &Snapshot, line: impl Fn(&Field, &str) -> String) -> String {
    let mut out = String::new();
    for field in FIELDS {
        let value = match (field.4)(snapshot) {
            Cell::Empty => continue,
            Cell::Number(n) => n.to_string(),
            Cell::Text(text) => one_line(&text),
        };
        out.push_str(&line(field, &value));
    }
    out
}

/// nginx's `stub_status`.
pub fn stub_status(process: &ProcessView) -> String {
    let ProcessView {
        connections, connections_total: total, requests_total, reading, writing, waiting, ..
    } = process;
    let mut out = String::new();
    let _ = write!(
        out,
        "Active connections: {connections} \nserver accepts handled requests\n {total} {total} {requests_total} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    );
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;

    #[test]
    fn fields_and_forms() {
        let snapshot = sample::snapshot();
        let text = info(&snapshot, false);
        for line in
            ["Name: HAProxy", "Pid: 42", "Uptime: 1d 2h03m04s", "CumReq: 9", "node: node1", "Process_num: 1"]
        {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        for (_, name, ..) in FIELDS {
            assert!(!about(name).is_empty(), "{name} is not described");
        }
        assert!(info(&snapshot, true).contains("\nPid: 42:\"process id\"\n"));
        assert!(info_typed(&snapshot, false).contains("\n17.CurrConns.1:MGP:u32:3\n"));
        let json: serde_json::Value = serde_json::from_str(&info_json(&snapshot)).unwrap();
        assert_eq!(json[6]["value"]["value"], 42);
    }

    #[test]
    fn stub_status_as_exporters_read_it() {
        assert_eq!(
            stub_status(&sample::snapshot().process),
            "Active connections: 3 \nserver accepts handled requests\n 5 5 9 \nReading: 1 Writing: 1 Waiting: 1 \n"
        );
    }
}
