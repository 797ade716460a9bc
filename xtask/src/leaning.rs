//! Who may lean on whom: the walls between the crates, as a table. Checked by `tidy` against cargo's metadata.

use crate::source::Problem;
use crate::tidy::Crate;

/// A crate, and the crates of this workspace that it may depend on (tests included).
///
/// - `web` and `stream` do not see each other; a dialect sees only `plan`; `health` may see `pool`.
/// - What will live in `ha/` never sees `traffic/`; they meet in `supervisor`.
/// - `app` wires the command line; only `supervisor` sees everything.
/// - Tests of the whole, the sample application and the tools use the binary, not the crates.
const MAY_LEAN_ON: &[(&str, &[&str])] = &[
    ("plan", &[]),
    ("wire", &[]),
    ("tasks", &[]),
    ("dialects", &["plan"]),
    ("telemetry", &["plan"]),
    ("dashboard", &["plan", "telemetry"]),
    ("listener", &["plan", "telemetry", "wire", "tasks"]),
    ("pool", &["plan", "telemetry", "wire", "tasks"]),
    ("tables", &["plan"]),
    ("files", &["plan", "wire"]),
    ("cache", &["plan", "wire"]),
    ("web", &["plan", "telemetry", "wire", "tasks", "listener", "pool", "tables", "files", "cache"]),
    ("stream", &["plan", "telemetry", "wire", "tasks", "listener", "pool", "tables"]),
    ("peers", &["plan", "wire", "tables"]),
    ("health", &["plan", "telemetry", "wire", "tasks", "pool"]),
    ("discovery", &["plan", "telemetry", "pool"]),
    ("admin", &["plan", "telemetry", "tasks", "pool", "tables", "dashboard"]),
    (
        "supervisor",
        &[
            "plan",
            "dialects",
            "telemetry",
            "wire",
            "tasks",
            "listener",
            "pool",
            "tables",
            "cache",
            "peers",
            "web",
            "stream",
            "health",
            "discovery",
            "admin",
            "dashboard",
        ],
    ),
    ("app", &["plan", "dialects", "supervisor"]),
    ("demo", &[]),
    ("e2e", &[]),
    ("benchmarks", &[]),
    ("xtask", &[]),
];

/// Each dependency that the table does not allow, each crate that the table does not know.
pub fn check(crates: &[Crate]) -> Vec<Problem> {
    crates.iter().flat_map(check_one).collect()
}

fn check_one(subject: &Crate) -> Vec<Problem> {
    let manifest = format!("{}/Cargo.toml", subject.folder);
    let Some((_, allowed)) = MAY_LEAN_ON.iter().find(|(name, _)| *name == subject.name) else {
        return vec![format!("{manifest}: crate {} has no row in xtask/src/leaning.rs", subject.name)];
    };
    let forbidden = subject.ours.iter().filter(|name| !allowed.contains(&name.as_str()));
    forbidden.map(|name| format!("{manifest}: {} may not lean on {name}", subject.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(name: &str, ours: &[&str]) -> Crate {
        let ours = ours.iter().map(|name| (*name).to_owned()).collect();
        Crate { name: name.into(), folder: format!("x/{name}"), ours }
    }

    #[test]
    fn walls_hold() {
        assert!(check(&[krate("web", &["plan", "pool"]), krate("health", &["pool"])]).is_empty());
        assert_eq!(check(&[krate("web", &["stream"])]), ["x/web/Cargo.toml: web may not lean on stream"]);
        assert_eq!(check(&[krate("dialects", &["plan", "wire"])]).len(), 1);
        assert_eq!(check(&[krate("unheard-of", &[])]).len(), 1);
    }

    #[test]
    fn nobody_leans_in_a_circle() {
        let mut order = Vec::new();
        loop {
            let ready = |below: &[&str]| below.iter().all(|name| order.contains(name));
            let free = MAY_LEAN_ON.iter().find(|(name, below)| !order.contains(name) && ready(below));
            let Some((name, _)) = free else { break };
            order.push(*name);
        }
        assert_eq!(order.len(), MAY_LEAN_ON.len(), "a circle beyond {order:?}");
    }
}
