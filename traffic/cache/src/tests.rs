//! Stories of a cache, in memory and on disk, with a given time.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::policy;
use crate::{Ask, Body, Caches, Entry, Found, Keeper, Ticket, Writer, Zone};
use plan::Place;
use plan::cache::{Cache, CacheLock, CacheStore, CacheZone, Turns};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wire::http1::{Fields, ResponseHead};

const NOW: u64 = 1_800_000_000_000;

fn zone(store: CacheStore) -> CacheZone {
    CacheZone {
        name: "z".into(),
        place: Place::none(),
        keys: 1 << 20,
        store,
        inactive: Duration::from_secs(600),
        max_size: None,
        loader: Turns::default(),
        manager: Turns::default(),
    }
}

fn on_disk(path: &Path) -> CacheZone {
    zone(CacheStore::Disk { path: path.to_owned(), levels: vec![1, 2], min_free: 0 })
}

fn open(plan: CacheZone) -> Arc<Zone> {
    let zone = Arc::new(Zone::new(plan).unwrap());
    load(&zone);
    zone
}

fn load(zone: &Arc<Zone>) {
    let mut keeper = Keeper::new(Arc::clone(zone));
    while keeper.is_loading() {
        keeper.turn(NOW);
    }
}

/// Runs a story with a cache in memory and one on disk.
fn both(story: impl Fn(Arc<Zone>)) {
    story(open(zone(CacheStore::Memory)));
    let home = tempfile::tempdir().unwrap();
    story(open(on_disk(home.path())));
}

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.append(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn head(list: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new(200, b"");
    head.fields = fields(list);
    head.set_status(200, b"");
    head
}

fn look(zone: &Arc<Zone>, key: &str, now: u64) -> Found {
    look_as(zone, key, &Fields::new(), now)
}

fn look_as(zone: &Arc<Zone>, key: &str, request: &Fields, now: u64) -> Found {
    zone.look(&Ask { key: key.as_bytes(), request, min_uses: 1, lock: None }, now)
}

fn writer(ticket: Ticket, answer: &[(&str, &str)], request: &Fields, now: u64) -> Writer {
    let head = head(answer);
    let kept = policy::judge(&Cache::of("z"), false, &head, now).unwrap();
    ticket.begin(kept, &head, request).unwrap()
}

fn put(ticket: Ticket, body: &[u8], now: u64) -> Arc<Entry> {
    let answer = [("Cache-Control", "max-age=60, stale-while-revalidate=5"), ("ETag", "\"1\"")];
    let mut writer = writer(ticket, &answer, &Fields::new(), now);
    body.chunks(10_000).for_each(|part| writer.write(part).unwrap());
    writer.finish(now).unwrap()
}

fn missing(found: Found) -> Ticket {
    match found {
        Found::Missing(ticket) => ticket,
        other => panic!("not missing: {other:?}"),
    }
}

fn fresh(found: Found) -> Arc<Entry> {
    match found {
        Found::Fresh(entry) => entry,
        other => panic!("not fresh: {other:?}"),
    }
}

fn stale(found: Found) -> (Arc<Entry>, Ticket) {
    match found {
        Found::Stale(entry, ticket) => (entry, ticket),
        other => panic!("not stale: {other:?}"),
    }
}

fn text(entry: &Entry) -> Vec<u8> {
    match &entry.body {
        Body::Memory(bytes) => bytes.to_vec(),
        Body::File { file, start, length } => {
            let mut bytes = vec![0; *length as usize];
            file.read_exact_at(&mut bytes, *start).unwrap();
            bytes
        }
    }
}

#[test]
fn an_answer_is_kept_and_found() {
    both(|zone| {
        for (key, body) in
            [("small", b"SEE-THIS".to_vec()), ("large", vec![7; 300_000]), ("empty", Vec::new())]
        {
            put(missing(look(&zone, key, NOW)), &body, NOW);
            let entry = fresh(look(&zone, key, NOW + 59_999));
            assert!(text(&entry) == body, "{key}");
            assert_eq!(entry.head.fields.find(wire::http1::Name::Etag), Some(&b"\"1\""[..]));
            assert_eq!(entry.life.age_at(NOW + 30_500), 30);
        }
        assert!(zone.bytes() > 300_000);
    });
}

#[test]
fn what_is_stale_is_fetched_by_one() {
    both(|zone| {
        put(missing(look(&zone, "k", NOW)), b"old", NOW);
        let later = NOW + 60_000;
        let (entry, ticket) = stale(look(&zone, "k", later));
        assert!(entry.may_serve_updating(later + 4999) && !entry.may_serve_updating(later + 5000));
        assert!(matches!(look(&zone, "k", later), Found::Updating(..)));
        drop(ticket);
        let (_, ticket) = stale(look(&zone, "k", later));
        put(ticket, b"new", later);
        assert_eq!(text(&fresh(look(&zone, "k", later))), b"new");
        assert_eq!(text(&entry), b"old", "who has it keeps it");
    });
}

#[test]
fn a_confirmed_answer_is_fresh_again_with_its_new_fields() {
    both(|zone| {
        put(missing(look(&zone, "k", NOW)), &vec![b'x'; 100_000], NOW);
        let later = NOW + 60_000;
        let (entry, ticket) = stale(look(&zone, "k", later));
        let said = head(&[("Cache-Control", "max-age=9"), ("X-New", "1")]);
        let life = policy::judge(&Cache::of("z"), false, &said, later).unwrap().life;
        ticket.confirm(&entry, &said, life, later);
        let entry = fresh(look(&zone, "k", later + 8999));
        assert_eq!(entry.head.fields.find_str(b"x-new").next(), Some(&b"1"[..]));
        assert_eq!(text(&entry).len(), 100_000);
        stale(look(&zone, "k", later + 9000));
    });
}

#[test]
fn variants_lie_side_by_side_and_one_without_takes_over() {
    both(|zone| {
        let by = |value: &str| fields(&[("Accept-Encoding", value)]);
        let answer = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Encoding")];
        for value in ["gzip", "deflate", "foo"] {
            let ticket = missing(look_as(&zone, "k", &by(value), NOW));
            let mut writer = writer(ticket, &answer, &by(value), NOW);
            writer.write(value.as_bytes()).unwrap();
            writer.finish(NOW).unwrap();
        }
        for value in ["foo", "gzip", "deflate"] {
            assert_eq!(text(&fresh(look_as(&zone, "k", &by(value), NOW))), value.as_bytes());
        }
        let (_, ticket) = stale(look_as(&zone, "k", &by("deflate"), NOW + 60_000));
        put(ticket, b"only", NOW + 60_000);
        assert_eq!(text(&fresh(look_as(&zone, "k", &by("gzip"), NOW + 60_000))), b"only");
    });
}

#[test]
fn little_used_answers_are_not_kept() {
    both(|zone| {
        let request = Fields::new();
        let ask = Ask { key: b"k", request: &request, min_uses: 3, lock: None };
        for _ in 0..2 {
            assert!(matches!(zone.look(&ask, NOW), Found::Scarce));
        }
        missing(zone.look(&ask, NOW));
    });
}

#[test]
fn failures_are_kept_for_a_time() {
    both(|zone| {
        missing(look(&zone, "k", NOW)).failed(502, Duration::from_secs(2), NOW);
        assert!(matches!(look(&zone, "k", NOW + 1999), Found::Failed(502)));
        missing(look(&zone, "k", NOW + 2000));
    });
}

#[test]
fn half_an_answer_is_not_kept() {
    both(|zone| {
        let ticket = missing(look(&zone, "k", NOW));
        let mut writer = writer(ticket, &[("Cache-Control", "max-age=60")], &Fields::new(), NOW);
        writer.write(&vec![1; 200_000]).unwrap();
        drop(writer);
        missing(look(&zone, "k", NOW));
        assert_eq!(zone.bytes(), 0);
    });
}

#[test]
fn a_changed_resource_is_forgotten() {
    both(|zone| {
        put(missing(look(&zone, "k", NOW)), b"old", NOW);
        zone.invalidate(b"k");
        missing(look(&zone, "k", NOW));
    });
}

#[test]
fn others_wait_while_one_fetches() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    both(|zone| {
        let request = Fields::new();
        let lock = Some(CacheLock { timeout: Duration::from_secs(5), age: Duration::from_secs(3) });
        let ask = Ask { key: b"k", request: &request, min_uses: 1, lock };
        let first = missing(zone.look(&ask, NOW));
        let Found::Busy(wait) = zone.look(&ask, NOW + 2999) else { panic!("nobody waits") };
        // Who takes too long is overtaken, and can keep its answer all the same.
        let second = missing(zone.look(&ask, NOW + 3000));
        runtime.block_on(wait.over());
        let Found::Busy(wait) = zone.look(&ask, NOW + 3001) else { panic!("nobody waits") };
        put(first, b"first", NOW + 3001);
        assert_eq!(text(&fresh(zone.look(&ask, NOW + 3002))), b"first");
        put(second, b"second", NOW + 3003);
        runtime.block_on(wait.over());
        assert_eq!(text(&fresh(zone.look(&ask, NOW + 3004))), b"second");
    });
}

#[test]
fn memory_is_bounded() {
    let plan = CacheZone { max_size: Some(100_000), ..zone(CacheStore::Memory) };
    let zone = open(plan);
    for n in 0..200 {
        put(missing(look(&zone, &n.to_string(), NOW)), &[1; 5000], NOW);
        assert!(zone.bytes() <= 100_000);
    }
    fresh(look(&zone, "199", NOW));
    missing(look(&zone, "0", NOW));
    let mut writer =
        writer(missing(look(&zone, "huge", NOW)), &[("Cache-Control", "max-age=60")], &Fields::new(), NOW);
    assert!(writer.write(&vec![1; 200_000]).is_err());
}

#[test]
fn answers_outlive_the_process() {
    let home = tempfile::tempdir().unwrap();
    let by = fields(&[("Accept", "a")]);
    {
        let zone = open(on_disk(home.path()));
        put(missing(look(&zone, "k", NOW)), b"kept", NOW);
        put(missing(look(&zone, "big", NOW)), &vec![3; 100_000], NOW);
        let answer = [("Cache-Control", "max-age=60"), ("Vary", "accept")];
        for request in [&Fields::new(), &by] {
            let ticket = missing(look_as(&zone, "v", request, NOW));
            writer(ticket, &answer, request, NOW).finish(NOW).unwrap();
        }
    }
    // At once, while nothing is taken in yet.
    let cold = Arc::new(Zone::new(on_disk(home.path())).unwrap());
    assert_eq!(text(&fresh(look(&cold, "k", NOW))), b"kept");
    fresh(look_as(&cold, "v", &by, NOW));
    missing(look(&cold, "other", NOW));
    load(&cold);
    assert_eq!(text(&fresh(look(&cold, "big", NOW))), vec![3; 100_000]);
    assert_eq!(cold.bytes(), 4096 * 3 + 102_400);
    let warm = open(on_disk(home.path()));
    assert_eq!((warm.bytes(), warm.keys()), (4096 * 3 + 102_400, 4));
    assert_eq!(text(&fresh(look(&warm, "k", NOW))), b"kept");
}

#[test]
fn damaged_files_are_misses_and_go() {
    let home = tempfile::tempdir().unwrap();
    {
        let zone = open(on_disk(home.path()));
        put(missing(look(&zone, "k", NOW)), b"kept", NOW);
    }
    let file = files(home.path()).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for damaged in [&whole[..10], &whole[..whole.len() - 1], b"", &[&whole[..], b"x"].concat(), &[0; 5000]] {
        std::fs::write(&file, damaged).unwrap();
        let zone = open(on_disk(home.path()));
        missing(look(&zone, "k", NOW));
        assert!(!file.exists());
        assert_eq!(zone.bytes(), 0);
    }
    std::fs::write(&file, &whole).unwrap();
    fresh(look(&open(on_disk(home.path())), "k", NOW));
}

#[test]
fn a_file_of_another_key_is_not_taken() {
    let home = tempfile::tempdir().unwrap();
    let zone = open(on_disk(home.path()));
    put(missing(look(&zone, "a", NOW)), b"A", NOW);
    put(missing(look(&zone, "b", NOW)), b"B", NOW);
    let all = files(home.path());
    std::fs::copy(&all[0], &all[1]).unwrap();
    let zone = open(on_disk(home.path()));
    let found = [look(&zone, "a", NOW), look(&zone, "b", NOW)];
    assert_eq!(found.iter().filter(|found| matches!(found, Found::Missing(_))).count(), 1);
}

#[test]
fn files_removed_by_hand_are_gone_after_a_second() {
    let home = tempfile::tempdir().unwrap();
    let zone = open(on_disk(home.path()));
    put(missing(look(&zone, "k", NOW)), b"kept", NOW);
    let kept = fresh(look(&zone, "k", NOW + 500));
    std::fs::remove_dir_all(home.path()).unwrap();
    fresh(look(&zone, "k", NOW + 900));
    let ticket = missing(look(&zone, "k", NOW + 1000));
    assert_eq!(zone.bytes(), 0);
    // The directory is made again when it is needed.
    put(ticket, &vec![2; 100_000], NOW + 1000);
    fresh(look(&zone, "k", NOW + 1000));
    assert_eq!(text(&kept), b"kept");
}

#[test]
fn what_is_unused_or_too_much_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let plan = CacheZone { max_size: Some(10 * 4096), ..on_disk(home.path()) };
    let zone = open(plan);
    let mut keeper = Keeper::new(Arc::clone(&zone));
    keeper.turn(NOW);
    for n in 0..15 {
        put(missing(look(&zone, &n.to_string(), NOW + n)), b"x", NOW + n);
    }
    fresh(look(&zone, "0", NOW + 20));
    keeper.turn(NOW + 20);
    assert_eq!((files(home.path()).len(), zone.bytes()), (10, 10 * 4096));
    fresh(look(&zone, "0", NOW + 20));
    keeper.turn(NOW + 20 + 600_000);
    assert_eq!((files(home.path()).len(), zone.bytes(), zone.keys()), (0, 0, 0));
}

#[test]
fn files_begun_long_ago_are_cleared_away_and_others_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let old = home.path().join(".begun-1-1");
    let new = home.path().join(".begun-2-1");
    let other = home.path().join("README");
    for path in [&old, &new, &other] {
        std::fs::write(path, "x").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    open(on_disk(home.path()));
    assert!(!old.exists() && new.exists() && other.exists());
}

#[test]
fn caches_go_on_over_a_reload_when_they_stay_as_they_were() {
    let plan = zone(CacheStore::Memory);
    let before = Caches::build(std::slice::from_ref(&plan), None).unwrap();
    put(missing(look(before.get("z").unwrap(), "k", NOW)), b"kept", NOW);
    let after = Caches::build(std::slice::from_ref(&plan), Some(&before)).unwrap();
    fresh(look(after.get("z").unwrap(), "k", NOW));
    let other = Caches::build(&[CacheZone { keys: 2 << 20, ..plan }], Some(&before)).unwrap();
    missing(look(other.get("z").unwrap(), "k", NOW));
}

#[test]
fn workers_at_once_see_whole_answers_only() {
    both(|zone| {
        std::thread::scope(|scope| {
            for worker in 0..4u8 {
                let zone = &zone;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(worker.into());
                    for step in 0..300u64 {
                        let (key, now) = (random.u32(0..10).to_string(), NOW + step * 100);
                        match look(zone, &key, now) {
                            Found::Fresh(entry) | Found::Updating(entry, _) => {
                                let body = text(&entry);
                                assert!(body.iter().all(|b| *b == body[0]) && body.len() == 70_000);
                            }
                            Found::Missing(ticket) | Found::Stale(_, ticket) => {
                                put(ticket, &vec![worker; 70_000], now);
                            }
                            other => panic!("{other:?}"),
                        }
                        if step % 50 == 0 {
                            zone.invalidate(key.as_bytes());
                        }
                    }
                });
            }
        });
    });
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for item in std::fs::read_dir(directory).unwrap().flatten() {
        if item.file_type().unwrap().is_dir() {
            all.extend(files(&item.path()));
        } else {
            let mut beginning = [0; 8];
            std::fs::File::open(item.path()).unwrap().read_exact(&mut beginning).unwrap();
            all.push(item.path());
        }
    }
    all
}
