//! A cache: looked into by requests, filled by what servers answer.
//!
//! ```text
//!   look ─► Fresh ───────────────────────────────► the answer
//!        ─► Stale + Ticket (we fetch it anew)        │ Ticket::begin ─► Writer ─► finish: kept
//!        ─► Updating + Ticket (somebody does)        │ Ticket::confirm: it still holds
//!        ─► Missing + Ticket (we fetch it)           │ Ticket::failed: the failure is kept
//!        ─► Busy (somebody fetches it: wait)         └ dropped: others may fetch
//!        ─► Scarce, Failed
//! ```

use crate::disk::{self, Begun, Directory, OnDisk};
use crate::entry::{Body, Entry, Life, Record};
use crate::index::{Gone, KEY_BYTES, Key, Node, Shard, Updating};
use crate::policy::{self, Kept};
use crate::{format, vary};
use parking_lot::Mutex;
use plan::cache::{CacheLock, CacheStore, CacheZone};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::http1::{Fields, ResponseHead};

/// Memory for answers that are on disk, too, bytes for each cache.
const HOT_BYTES: u64 = 32 << 20;
/// Memory of a cache in memory that has no size said, bytes.
const MEMORY_BYTES: u64 = 64 << 20;
/// An answer in memory is served without looking at its file for this time, milliseconds.
const TRUST: u64 = 1000;
/// Most shards.
const SHARDS: u64 = 16;

/// A cache.
#[derive(Debug)]
pub struct Zone {
    /// What is meant.
    pub plan: CacheZone,
    shards: Vec<Mutex<Shard>>,
    pub(crate) directory: Option<Directory>,
    /// Bytes of answers.
    pub(crate) size: AtomicU64,
    /// What is on disk is not known yet: it is looked for there.
    pub(crate) cold: AtomicBool,
    tokens: AtomicU64,
}

/// A question to a cache.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Text of the key.
    pub key: &'a [u8],
    /// Fields of the request.
    pub request: &'a Fields,
    /// It must be asked for so often.
    pub min_uses: u32,
    /// One at a time fetches what is not there.
    pub lock: Option<CacheLock>,
}

/// What a cache says.
#[derive(Debug)]
pub enum Found {
    /// A fresh answer.
    Fresh(Arc<Entry>),
    /// A stale one; we are the one who fetches it anew.
    Stale(Arc<Entry>, Ticket),
    /// A stale one; somebody fetches it anew.
    Updating(Arc<Entry>, Ticket),
    /// None; what comes may be kept.
    Missing(Ticket),
    /// The server failed with this status a short time ago.
    Failed(u16),
    /// None, and it was not asked for often enough to be kept.
    Scarce,
    /// None; somebody fetches it.
    Busy(Wait),
}

/// Waiting for somebody who fetches an answer.
#[derive(Clone, Debug)]
pub struct Wait(Arc<Semaphore>);

impl Wait {
    /// Waits until it is there or was given up; look again then.
    pub async fn over(&self) {
        let _ = self.0.acquire().await; // it never has permits; it is closed
    }
}

/// The right to keep an answer.
#[derive(Debug)]
pub struct Ticket {
    zone: Arc<Zone>,
    primary: Key,
    /// Where we looked last: the primary key, or that of a variant.
    place: Key,
    key: Box<[u8]>,
    /// Others wait for us.
    token: Option<u64>,
}

enum Seek {
    Entry(Arc<Entry>),
    Nothing,
    Scarce,
    Failed(u16),
}

impl Zone {
    /// A cache with nothing in it. What its directory holds is taken in later, see [`crate::Keeper`].
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(plan: CacheZone) -> io::Result<Zone> {
        let (directory, hot, count) = match &plan.store {
            CacheStore::Memory => {
                let hot = plan.max_size.unwrap_or(MEMORY_BYTES);
                (None, hot, hot / (16 << 20))
            }
            CacheStore::Disk { path, levels, .. } => {
                (Some(Directory::open(path, levels)?), HOT_BYTES, plan.keys / (256 * 1024))
            }
        };
        let count = count.clamp(1, SHARDS).next_power_of_two();
        let keys = (plan.keys / KEY_BYTES / count).max(16) as usize;
        let shards = (0..count).map(|_| Mutex::new(Shard::new(keys, hot / count))).collect();
        let cold = AtomicBool::new(directory.is_some());
        let (size, tokens) = (AtomicU64::new(0), AtomicU64::new(1));
        Ok(Zone { plan, shards, directory, size, cold, tokens })
    }

    pub(crate) fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[usize::from(key.0[0]) & (self.shards.len() - 1)]
    }

    pub(crate) fn shards(&self) -> &[Mutex<Shard>] {
        &self.shards
    }

    /// Keys that are known.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Bytes of answers.
    pub fn bytes(&self) -> u64 {
        match self.directory {
            Some(_) => self.size.load(Relaxed),
            None => self.hot_bytes(),
        }
    }

    /// Bytes of answers in memory.
    pub fn hot_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().hot_bytes()).sum()
    }

    /// Looks for the answer to a request. `now` in milliseconds since 1970.
    pub fn look(self: &Arc<Self>, ask: &Ask<'_>, now: u64) -> Found {
        let primary = Key::of(ask.key);
        let mut place = primary;
        let mut found = self.seek(&primary, ask, now);
        if let Seek::Entry(entry) = &found
            && !entry.vary.is_empty()
        {
            let wanted = vary::variant(&primary, &entry.vary, ask.request);
            if wanted != entry.variant {
                place = wanted;
                found = match self.seek(&wanted, ask, now) {
                    Seek::Entry(entry) if entry.variant != wanted => Seek::Nothing,
                    other => other,
                };
            }
        }
        match found {
            Seek::Entry(entry) if entry.is_fresh(now) => Found::Fresh(entry),
            Seek::Entry(entry) => self.stale(entry, self.ticket(ask, primary, place)),
            Seek::Nothing => self.missing(ask, self.ticket(ask, primary, place), now),
            Seek::Scarce => Found::Scarce,
            Seek::Failed(status) => Found::Failed(status),
        }
    }

    /// The right to keep an answer without having looked (`proxy_cache_bypass`).
    pub fn bypass(self: &Arc<Self>, ask: &Ask<'_>) -> Ticket {
        let primary = Key::of(ask.key);
        self.ticket(ask, primary, primary)
    }

    /// Forgets what is kept under a key, after a request that changed what it stands for (RFC 9111, 4.4).
    pub fn invalidate(&self, key: &[u8]) {
        let key = Key::of(key);
        let gone = {
            let mut shard = self.shard(&key).lock();
            shard.get(&key).is_some_and(|node| node.exists).then(|| shard.remove(&key)).flatten()
        };
        if let Some(gone) = gone {
            self.clear_away(&gone);
        }
    }

    fn ticket(self: &Arc<Self>, ask: &Ask<'_>, primary: Key, place: Key) -> Ticket {
        Ticket { zone: Arc::clone(self), primary, place, key: ask.key.into(), token: None }
    }

    fn stale(&self, entry: Arc<Entry>, mut ticket: Ticket) -> Found {
        let mut shard = self.shard(&ticket.place).lock();
        match shard.get(&ticket.place) {
            Some(node) if node.updating.is_some() => {
                drop(shard);
                Found::Updating(entry, ticket)
            }
            Some(node) => {
                ticket.token = Some(self.begin_update(&mut node.updating, u64::MAX));
                drop(shard);
                Found::Stale(entry, ticket)
            }
            None => {
                drop(shard);
                Found::Stale(entry, ticket)
            }
        }
    }

    fn missing(&self, ask: &Ask<'_>, mut ticket: Ticket, now: u64) -> Found {
        let Some(lock) = ask.lock else { return Found::Missing(ticket) };
        let mut shard = self.shard(&ticket.place).lock();
        if let Some(node) = shard.get(&ticket.place) {
            match &node.updating {
                Some(updating) if now < updating.until => {
                    let wait = Wait(Arc::clone(&updating.gate));
                    drop(shard);
                    return Found::Busy(wait);
                }
                _ => {
                    let until = now.saturating_add(millis(lock.age));
                    ticket.token = Some(self.begin_update(&mut node.updating, until));
                }
            }
        }
        drop(shard);
        Found::Missing(ticket)
    }

    fn begin_update(&self, updating: &mut Option<Updating>, until: u64) -> u64 {
        let token = self.tokens.fetch_add(1, Relaxed);
        let before = updating.replace(Updating { token, until, gate: Arc::new(Semaphore::new(0)) });
        // Whoever waited for one that took too long looks again.
        if let Some(before) = before {
            before.gate.close();
        }
        token
    }

    /// The answer of one key, from memory or disk.
    fn seek(&self, key: &Key, ask: &Ask<'_>, now: u64) -> Seek {
        let mut gone = Vec::new();
        let known = self.seek_memory(key, ask, now, &mut gone);
        gone.iter().for_each(|gone| self.clear_away(gone));
        match known {
            Known::Here(seek) => seek,
            Known::Hot(entry) => checked_key(entry, ask),
            Known::OnDisk { otherwise } => match self.fetch(key, now) {
                Some(entry) => checked_key(entry, ask),
                None => otherwise,
            },
        }
    }

    fn seek_memory(&self, key: &Key, ask: &Ask<'_>, now: u64, gone: &mut Vec<Gone>) -> Known {
        let mut shard = self.shard(key).lock();
        let Some(node) = shard.touch(key, gone) else { return Known::Here(Seek::Scarce) };
        node.uses = node.uses.saturating_add(1);
        node.expires = now.saturating_add(millis(self.plan.inactive));
        if let Some((status, until)) = node.failed {
            if now < until {
                return Known::Here(Seek::Failed(status));
            }
            node.failed = None;
        }
        let (exists, often) = (node.exists, node.uses >= ask.min_uses);
        let without = if often { Seek::Nothing } else { Seek::Scarce };
        if let Some(hot) = shard.hot_of(key) {
            let Some(directory) = &self.directory else { return Known::Hot(Arc::clone(&hot.entry)) };
            // Who removes files by hand wants their answers gone.
            if now.saturating_sub(hot.checked) >= TRUST && directory.inode(key) == Some(hot.inode) {
                hot.checked = now;
            }
            if now.saturating_sub(hot.checked) < TRUST {
                return Known::Hot(Arc::clone(&hot.entry));
            }
        }
        match self.directory {
            Some(_) if exists || self.cold.load(Relaxed) => Known::OnDisk { otherwise: without },
            _ => Known::Here(without),
        }
    }

    /// Reads an answer from disk and holds it in memory.
    fn fetch(&self, key: &Key, now: u64) -> Option<Arc<Entry>> {
        let found = self.directory.as_ref()?.read(key);
        let mut shard = self.shard(key).lock();
        let Some(OnDisk { record, body, inode, size }) = found else {
            self.size.fetch_sub(shard.lose(key), Relaxed);
            return None;
        };
        let entry = Arc::new(Entry { record, body });
        if let Some(node) = shard.get(key) {
            self.account(node, size);
            shard.heat(key, &entry, inode, now);
        }
        Some(entry)
    }

    /// Counts that there is an answer that takes so much.
    fn account(&self, node: &mut Node, size: u64) {
        self.size.fetch_add(size, Relaxed);
        self.size.fetch_sub(node.size, Relaxed);
        node.size = size;
        node.exists = true;
    }

    /// Counts and removes what a shard has let go.
    pub(crate) fn clear_away(&self, gone: &Gone) {
        if gone.existed {
            self.size.fetch_sub(gone.size, Relaxed);
            if let Some(directory) = &self.directory {
                directory.remove(&gone.key);
            }
        }
    }

    /// Takes in that there is a file of this size.
    pub(crate) fn learn(&self, key: &Key, size: u64, now: u64) {
        let mut gone = Vec::new();
        if let Some(node) = self.shard(key).lock().touch(key, &mut gone)
            && !node.exists
        {
            node.expires = now.saturating_add(millis(self.plan.inactive));
            self.account(node, size);
        }
        gone.iter().for_each(|gone| self.clear_away(gone));
    }

    /// Puts an answer into its place.
    fn keep(&self, key: &Key, entry: &Arc<Entry>, inode: u64, size: u64, now: u64) {
        let mut gone = Vec::new();
        {
            let mut shard = self.shard(key).lock();
            let Some(node) = shard.touch(key, &mut gone) else { return };
            node.failed = None;
            node.expires = now.saturating_add(millis(self.plan.inactive));
            self.account(node, size);
            if !shard.heat(key, entry, inode, now) && self.directory.is_none() {
                gone.extend(shard.remove(key));
            }
        }
        gone.iter().for_each(|gone| self.clear_away(gone));
    }

    fn release(&self, key: &Key, token: u64) {
        let mut shard = self.shard(key).lock();
        if let Some(node) = shard.get(key)
            && let Some(updating) = node.updating.take_if(|updating| updating.token == token)
        {
            updating.gate.close();
        }
    }
}

/// What is known of a key without the disk.
enum Known {
    Here(Seek),
    Hot(Arc<Entry>),
    OnDisk { otherwise: Seek },
}

/// Keys of different texts may be the same, by chance or by somebody's will.
fn checked_key(entry: Arc<Entry>, ask: &Ask<'_>) -> Seek {
    if *entry.key == *ask.key { Seek::Entry(entry) } else { Seek::Nothing }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.zone.release(&self.place, token);
        }
    }
}

impl Ticket {
    /// The cache.
    pub fn zone(&self) -> &Arc<Zone> {
        &self.zone
    }

    /// True when others wait for us, or use what is stale because of us.
    pub fn is_expected(&self) -> bool {
        self.token.is_some()
    }

    /// Begins to keep an answer; `request` = the fields that the server was asked with, or the client's. `None` when
    /// it cannot be kept.
    pub fn begin(self, kept: Kept, head: &ResponseHead, request: &Fields) -> Option<Writer> {
        let variant = match kept.vary.is_empty() {
            true => self.primary,
            false => vary::variant(&self.primary, &kept.vary, request),
        };
        // The first variant lies under the key itself, and says by what the others differ.
        let target = if variant == self.place { self.place } else { self.primary };
        let record =
            Record { key: self.key.clone(), head: own_head(head), life: kept.life, vary: kept.vary, variant };
        Some(Writer { ticket: self, target, record, body: Vec::new(), begun: None, start: 0, written: 0 })
    }

    /// The server says that an answer still holds.
    pub fn confirm(self, entry: &Arc<Entry>, from: &ResponseHead, life: Life, now: u64) -> Arc<Entry> {
        let mut record = entry.record.clone();
        policy::refresh(&mut record.head, from);
        record.life = life;
        let entry = Arc::new(Entry { record, body: entry.body.clone() });
        let zone = &self.zone;
        let (mut inode, mut size) = (0, 0);
        if let Some(directory) = &zone.directory {
            // What does not fit over the old head is known until the memory for it is needed.
            directory.rewrite(&self.place, &entry.record, &entry.body);
            inode = directory.inode(&self.place).unwrap_or(0);
            size = zone.shard(&self.place).lock().get(&self.place).map_or(size, |node| node.size);
        }
        zone.keep(&self.place, &entry, inode, size, now);
        entry
    }

    /// Keeps that the server failed, for a time.
    pub fn failed(self, status: u16, time: Duration, now: u64) {
        if let Some(node) = self.zone.shard(&self.place).lock().get(&self.place) {
            node.failed = Some((status, now.saturating_add(millis(time))));
        }
    }
}

/// The fields that are kept, in a head of their own.
fn own_head(head: &ResponseHead) -> ResponseHead {
    let mut own = ResponseHead::new(head.status, head.reason());
    for (name, value) in head.fields.pairs().filter(|(name, _)| policy::is_kept(name)) {
        own.fields.append(name, value);
    }
    own
}

/// Takes in the body of an answer. Dropped before [`Writer::finish`], nothing is kept.
#[derive(Debug)]
pub struct Writer {
    ticket: Ticket,
    target: Key,
    record: Record,
    /// The body, or what is not written yet.
    body: Vec<u8>,
    begun: Option<Begun>,
    /// Where the body begins in the file.
    start: u64,
    written: u64,
}

impl Writer {
    /// Adds a part of the body.
    ///
    /// # Errors
    /// It is too much, or cannot be written: drop the writer.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let zone = &self.ticket.zone;
        let most = zone.plan.max_size.unwrap_or(u64::MAX);
        if self.length() + bytes.len() as u64 > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        match &zone.directory {
            Some(_) if (self.body.len() + bytes.len()) as u64 > disk::SMALL => {
                self.spill()?;
                self.written += bytes.len() as u64;
                self.begun.as_mut().map_or(Ok(()), |begun| begun.write(bytes))
            }
            _ => {
                self.body.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Bytes of the body so far.
    pub fn length(&self) -> u64 {
        self.written + self.body.len() as u64
    }

    /// Writes to disk what waits in memory.
    fn spill(&mut self) -> io::Result<()> {
        if self.begun.is_none() {
            self.begin_file()?;
        }
        if let Some(begun) = &mut self.begun {
            begun.write(&self.body)?;
            self.written += self.body.len() as u64;
            self.body.clear();
        }
        Ok(())
    }

    fn begin_file(&mut self) -> io::Result<()> {
        let Some(directory) = &self.ticket.zone.directory else { return Ok(()) };
        let head = self.encoded()?;
        let mut begun = directory.begin()?;
        begun.write(&head)?;
        self.start = head.len() as u64;
        self.begun = Some(begun);
        Ok(())
    }

    fn encoded(&self) -> io::Result<Vec<u8>> {
        let head = format::encode(&self.record, self.length(), 0);
        head.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
    }

    /// Only the status is kept, as long as the answer would be fresh: somebody else makes the page of it.
    pub fn keep_status(self, status: u16) {
        let Writer { ticket, target, record, .. } = self;
        if let Some(node) = ticket.zone.shard(&target).lock().get(&target) {
            node.failed = Some((status, record.life.fresh));
        }
    }

    /// The body is whole: the answer is kept.
    ///
    /// # Errors
    /// It cannot be written; nothing is kept.
    pub fn finish(mut self, now: u64) -> io::Result<Arc<Entry>> {
        if self.ticket.zone.directory.is_none() {
            return Ok(self.finish_memory(now));
        }
        let small = self.begun.is_none().then(|| Arc::<[u8]>::from(self.body.as_slice()));
        self.spill()?;
        let Writer { ticket, target, record, begun, start, written, .. } = self;
        let (Some(directory), Some(mut begun)) = (&ticket.zone.directory, begun) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let head = format::encode(&record, written, start as usize);
        let head = head.filter(|head| head.len() as u64 == start).ok_or(io::ErrorKind::InvalidData)?;
        std::os::unix::fs::FileExt::write_all_at(&begun.file, &head, 0)?;
        let data = begun.file.metadata()?;
        directory.finish(&mut begun, &target)?;
        let body = match small {
            Some(bytes) => Body::Memory(bytes),
            None => Body::File { file: Arc::new(begun.file.try_clone()?), start, length: written },
        };
        let entry = Arc::new(Entry { record, body });
        let inode = std::os::unix::fs::MetadataExt::ino(&data);
        ticket.zone.keep(&target, &entry, inode, disk::on_disk(data.len()), now);
        Ok(entry)
    }

    fn finish_memory(self, now: u64) -> Arc<Entry> {
        let Writer { ticket, target, record, body, .. } = self;
        let entry = Arc::new(Entry { record, body: Body::Memory(body.into()) });
        ticket.zone.keep(&target, &entry, 0, 0, now);
        entry
    }
}
