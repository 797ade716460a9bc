//! Moving bytes from one stream to another without looking at them: tunnels and bodies.
//!
//! `stream` moves whole connections with [`both`], `web` does so for upgraded ones and moves bodies with a
//! [`Copy`]. A direction starts with plain reads and writes through a buffer of the worker. When bytes come
//! so fast that reads fill the buffer time after time, it changes to splice(2): the bytes then go through a
//! pipe inside the kernel and are never copied. A direction that waits for its source holds neither.

use crate::{Buffer, Deadline, Fired, Stream, Worker, clock};
use rustix::pipe::{PipeFlags, SpliceFlags};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Bytes that must come in full reads, one after the other, before a direction is spliced.
const STREAK: usize = 64 * 1024;
/// A splice that moves less does not pay; the direction goes back to its buffer.
const SMALL: usize = 4 * 1024;
/// Size asked for a pipe. Larger ones mean fewer calls, but data that has left the cache when it is sent.
const PIPE: usize = 256 * 1024;
/// Rounds before other tasks get their turn.
const ROUNDS: u32 = 16;

/// Empty pipes of one worker that are not in use. A bounded number is kept.
#[derive(Debug, Default)]
pub struct Pipes(RefCell<Vec<Pipe>>);

/// A pipe with no bytes in it (when it is in [`Pipes`]).
#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipes {
    const KEEP: usize = 64;

    /// `None` when no descriptor is left: the buffer will do.
    fn take(&self) -> Option<Pipe> {
        self.0.borrow_mut().pop().or_else(Pipe::new)
    }

    fn give(&self, pipe: Pipe) {
        let mut free = self.0.borrow_mut();
        if free.len() < Self::KEEP {
            free.push(pipe);
        }
    }
}

impl Pipe {
    fn new() -> Option<Pipe> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // Refused when the user has many pipes already; the default size works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&into, PIPE);
        Some(Pipe { out, into })
    }
}

/// Which end of a direction failed.
#[derive(Debug)]
pub enum Fault {
    /// Reading failed: the source reset the connection.
    Source(io::Error),
    /// Writing failed: the target no longer takes bytes.
    Target(io::Error),
}

/// One direction.
///
/// ```text
/// Nothing ──read──► Bytes ──written──► Nothing      (slow or small)
/// Nothing ──splice──► Piped ──spliced──► Nothing    (fast)
/// ```
#[derive(Debug)]
pub struct Copy {
    held: Held,
    left: u64,
    moved: u64,
    spliced: u64,
    streak: usize,
    ended: bool,
    pace: Option<Box<Pace>>,
}

/// A limit of bytes a second.
struct Pace {
    rate: u64,
    begun: Duration,
    taken: u64,
    /// Nothing is taken before it fires.
    rest: Deadline,
    resting: bool,
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes a second", self.rate)
    }
}

impl Pace {
    /// How many bytes may be taken now. Each second allows so many, and what is taken is followed by a rest as long as
    /// the rate makes it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            if self.resting {
                ready!(self.rest.poll_fired(cx));
                self.resting = false;
            }
            let seconds = clock::now().as_secs() - self.begun.as_secs() + 1;
            let allowed = self.rate.saturating_mul(seconds);
            if let Some(room) = allowed.checked_sub(self.taken).filter(|room| *room > 0) {
                return Poll::Ready(usize::try_from(room).unwrap_or(usize::MAX));
            }
            self.rest_for(self.taken - allowed + 1);
        }
    }

    fn took(&mut self, bytes: u64) {
        self.taken += bytes;
        self.rest_for(bytes);
    }

    fn rest_for(&mut self, bytes: u64) {
        let ms = bytes.saturating_mul(1000) / self.rate;
        if ms > 0 {
            self.rest.set(Some(Duration::from_millis(ms)));
            self.resting = true;
        }
    }
}

/// Bytes taken from the source and not yet given to the target.
#[derive(Debug)]
enum Held {
    Nothing,
    Bytes(Buffer),
    Piped(Pipe, usize),
}

impl Default for Copy {
    fn default() -> Copy {
        Copy::to_end()
    }
}

impl Copy {
    /// Moves all bytes until the source ends.
    pub fn to_end() -> Copy {
        Copy::exactly(u64::MAX)
    }

    /// Moves so many bytes and takes no byte more from the source.
    pub fn exactly(bytes: u64) -> Copy {
        Copy { held: Held::Nothing, left: bytes, moved: 0, spliced: 0, streak: 0, ended: false, pace: None }
    }

    /// The same, but bytes that were read before go first. They do not count as taken from the source.
    #[must_use]
    pub fn after(mut self, read_before: Buffer) -> Copy {
        self.held = if read_before.is_empty() { Held::Nothing } else { Held::Bytes(read_before) };
        self
    }

    /// The same at so many bytes a second; 0 = without a limit.
    #[must_use]
    pub fn at_rate(mut self, worker: &Worker, bytes_a_second: u64) -> Copy {
        self.pace = (bytes_a_second > 0).then(|| {
            let rest = worker.deadlines.slot();
            Box::new(Pace { rate: bytes_a_second, begun: clock::now(), taken: 0, rest, resting: false })
        });
        self
    }

    /// True while it rests to keep its rate.
    pub fn is_resting(&self) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.resting)
    }

    /// Bytes given to the target so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Of these, bytes that went through a pipe.
    pub fn spliced(&self) -> u64 {
        self.spliced
    }

    /// Bytes that were not yet taken from the source, of [`Copy::exactly`].
    pub fn left(&self) -> u64 {
        self.left
    }

    /// True when the source has ended (also before all of [`Copy::exactly`]).
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// True when the target keeps bytes from moving.
    pub fn is_blocked(&self) -> bool {
        !matches!(self.held, Held::Nothing)
    }

    /// Ready when the source has ended or the wanted bytes are moved, and all are given to the target.
    ///
    /// # Errors
    /// One end failed; nothing more can be moved.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        from: &mut Stream,
        to: &mut Stream,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..ROUNDS {
            ready!(self.poll_give(cx, worker, to)).map_err(Fault::Target)?;
            if self.ended || self.left == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_take(cx, worker, from)).map_err(Fault::Source)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes bytes from the source once. Nothing is held before.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        from: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let room = match &mut self.pace {
            Some(pace) => ready!(pace.poll_room(cx)),
            None => usize::MAX,
        };
        if self.streak >= STREAK
            && self.pace.is_none()
            && let Some(pipe) = worker.pipes.take()
        {
            return self.poll_splice(cx, worker, from, pipe);
        }
        ready!(from.poll_readable(cx))?;
        let mut buffer = worker.buffers.take();
        let room = (self.left.min(buffer.size() as u64) as usize).min(room);
        let read = buffer.poll_fill(&mut Limited { stream: from, room }, cx);
        let Poll::Ready(Ok(length)) = read else {
            worker.buffers.give(buffer);
            return read.map_ok(|_| ());
        };
        self.took(length, if length == buffer.size() { self.streak + length } else { 0 });
        match length {
            0 => worker.buffers.give(buffer),
            _ => self.held = Held::Bytes(buffer),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        from: &Stream,
        pipe: Pipe,
    ) -> Poll<io::Result<()>> {
        let room = self.left.min(PIPE as u64) as usize;
        match from.try_io(Interest::READABLE, || splice(&*from, &pipe.into, room)) {
            Ok(0) => {
                self.took(0, 0);
                worker.pipes.give(pipe);
            }
            Ok(length) => {
                self.took(length, if length < SMALL { 0 } else { self.streak });
                self.held = Held::Piped(pipe, length);
            }
            Err(error) => {
                worker.pipes.give(pipe);
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Poll::Ready(Err(error));
                }
                ready!(from.poll_readable(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// `length` bytes came from the source; 0 is its end.
    fn took(&mut self, length: usize, streak: usize) {
        self.ended = length == 0;
        self.left -= length as u64;
        self.streak = streak;
        if let Some(pace) = &mut self.pace {
            pace.took(length as u64);
        }
    }

    /// Gives all that is held to the target.
    fn poll_give(&mut self, cx: &mut Context<'_>, worker: &Worker, to: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            let given = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Bytes(buffer) => {
                    let given = ready!(Pin::new(&mut *to).poll_write(cx, buffer.bytes()))?;
                    buffer.consume(given);
                    given
                }
                Held::Piped(pipe, length) => {
                    let given = ready!(poll_unsplice(cx, pipe, *length, to))?;
                    *length -= given;
                    self.spliced += given as u64;
                    given
                }
            };
            if given == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved += given as u64;
            self.release(worker);
        }
    }

    /// Gives buffer or pipe back once it is empty. (A pipe with bytes in it is closed with the connection.)
    fn release(&mut self, worker: &Worker) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Bytes(buffer) if buffer.is_empty() => worker.buffers.give(buffer),
            Held::Piped(pipe, 0) => worker.pipes.give(pipe),
            still => self.held = still,
        }
    }
}

fn poll_unsplice(cx: &mut Context<'_>, pipe: &Pipe, length: usize, to: &Stream) -> Poll<io::Result<usize>> {
    loop {
        match to.try_io(Interest::WRITABLE, || splice(&pipe.out, to, length)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(to.poll_writable(cx))?,
            other => return Poll::Ready(other),
        }
    }
}

/// SIGPIPE is ignored by the Rust runtime, so a closed target is an error like any other.
fn splice(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
    Ok(rustix::pipe::splice(from, None, to, None, length, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// A stream of which at most `room` bytes are read at once.
struct Limited<'a> {
    stream: &'a mut Stream,
    room: usize,
}

impl AsyncRead for Limited<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = self.room.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut *self.stream).poll_read(cx, &mut part))?;
        let length = part.filled().len();
        buf.advance(length);
        Poll::Ready(Ok(()))
    }
}

/// The two ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who called us.
    Client,
    /// Whom we called.
    Server,
}

/// Longest silences. `None` = without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Of the client.
    pub client: Option<Duration>,
    /// Of the client after we shut down our side towards it.
    pub client_fin: Option<Duration>,
    /// Of the server.
    pub server: Option<Duration>,
    /// Of the server after we shut down our side towards it.
    pub server_fin: Option<Duration>,
    /// Of both; replaces `client` and `server`.
    pub tunnel: Option<Duration>,
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum End {
    /// Both sides have ended in order.
    Done,
    /// This side reset its connection or no longer takes bytes.
    Broken(Side, io::Error),
    /// This side was silent, or took no bytes, for too long.
    Silent(Side),
    /// The deadline slot fired for another reason than time.
    Fired(Fired),
}

/// A tunnel: two directions and the silence on both.
#[derive(Debug, Default)]
pub struct Tunnel {
    up: Copy,
    down: Copy,
    up_done: bool,
    down_done: bool,
    ends_at_once: bool,
}

impl Tunnel {
    /// A tunnel; `up` moves to the server, `down` to the client.
    pub fn new(up: Copy, down: Copy) -> Tunnel {
        Tunnel { up, down, up_done: false, down_done: false, ends_at_once: false }
    }

    /// The end of one side ends all, once what it sent is passed on.
    #[must_use]
    pub fn ending_at_once(mut self, yes: bool) -> Tunnel {
        self.ends_at_once = yes;
        self
    }

    /// So many bytes a second to the server and to the client; 0 = without a limit.
    #[must_use]
    pub fn at_rates(mut self, worker: &Worker, up: u64, down: u64) -> Tunnel {
        self.up = self.up.at_rate(worker, up);
        self.down = self.down.at_rate(worker, down);
        self
    }

    /// Bytes given to the server so far.
    pub fn up(&self) -> u64 {
        self.up.moved
    }

    /// Bytes given to the client so far.
    pub fn down(&self) -> u64 {
        self.down.moved
    }

    /// Of these, bytes that went through a pipe.
    pub fn spliced_down(&self) -> u64 {
        self.down.spliced
    }

    /// Moves both directions. The first end is passed on as a shutdown, the second by closing, which is left
    /// to the caller.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &mut Stream,
        server: &mut Stream,
    ) -> Poll<End> {
        if !self.up_done
            && let Poll::Ready(end) = self.up.poll(cx, worker, client, server)
        {
            if let Err(fault) = end {
                return Poll::Ready(broken(fault, Side::Client, Side::Server));
            }
            self.up_done = true;
            self.pass_end_to(server, cx);
        }
        if !self.down_done
            && let Poll::Ready(end) = self.down.poll(cx, worker, server, client)
        {
            if let Err(fault) = end {
                return Poll::Ready(broken(fault, Side::Server, Side::Client));
            }
            self.down_done = true;
            self.pass_end_to(client, cx);
        }
        match (self.up_done, self.down_done) {
            (true, true) => Poll::Ready(End::Done),
            (false, false) => Poll::Pending,
            _ if self.ends_at_once => Poll::Ready(End::Done),
            _ => Poll::Pending,
        }
    }

    /// After the second end both connections are closed, which says the same.
    fn pass_end_to(&self, stream: &mut Stream, cx: &mut Context<'_>) {
        if !(self.ends_at_once || self.up_done && self.down_done) {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
    }

    fn progress(&self) -> Progress {
        let resting = self.up.is_resting() || self.down.is_resting();
        Progress { up: self.up(), down: self.down(), done: (self.up_done, self.down_done), resting }
    }

    /// How long it may be silent now. Whoever is made to wait is not silent.
    fn patience(&self, silence: &Silence) -> Option<Duration> {
        if self.up.is_resting() || self.down.is_resting() {
            return None;
        }
        match (self.up_done, self.down_done) {
            (true, _) => silence.server_fin.or(silence.tunnel).or(silence.server),
            (_, true) => silence.client_fin.or(silence.tunnel).or(silence.client),
            _ => silence.tunnel.or(shorter(silence.client, silence.server)),
        }
    }

    /// Whose silence it is: who does not take bytes; who is left; who has less time (the client, if equal).
    fn silent(&self, silence: &Silence) -> Side {
        let server_has_less = silence.tunnel.is_none()
            && silence.server.is_some_and(|server| silence.client.is_none_or(|client| server < client));
        match (self.down.is_blocked(), self.up.is_blocked(), self.up_done, self.down_done) {
            (true, ..) => Side::Client,
            (_, true, ..) | (_, _, true, _) => Side::Server,
            (_, _, _, true) => Side::Client,
            _ if server_has_less => Side::Server,
            _ => Side::Client,
        }
    }
}

/// How far a tunnel is.
#[derive(PartialEq, Eq)]
struct Progress {
    up: u64,
    down: u64,
    done: (bool, bool),
    resting: bool,
}

fn broken(fault: Fault, source: Side, target: Side) -> End {
    match fault {
        Fault::Source(error) => End::Broken(source, error),
        Fault::Target(error) => End::Broken(target, error),
    }
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Runs a tunnel to its end. `moved` is told bytes up and down as they move, for counters.
pub async fn both(
    tunnel: &mut Tunnel,
    worker: &Worker,
    (client, server): (&mut Stream, &mut Stream),
    silence: &Silence,
    deadline: &Deadline,
    mut moved: impl FnMut(u64, u64),
) -> End {
    deadline.set(tunnel.patience(silence));
    poll_fn(|cx| {
        let before = tunnel.progress();
        let end = tunnel.poll(cx, worker, client, server);
        if before != tunnel.progress() {
            moved(tunnel.up() - before.up, tunnel.down() - before.down);
            deadline.prolong(tunnel.patience(silence));
        }
        if end.is_ready() {
            return end;
        }
        deadline.poll_fired(cx).map(|fired| match fired {
            Fired::Timeout => End::Silent(tunnel.silent(silence)),
            other => End::Fired(other),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A client and a server with a tunnel between them.
    struct World {
        worker: Worker,
        client: TcpStream,
        server: TcpStream,
        tunnel: tokio::task::JoinHandle<(End, u64, u64)>,
    }

    fn story(silence: Silence, tell: impl AsyncFnOnce(World)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let worker = Worker::new(0);
            tokio::task::spawn_local(worker.deadlines.clone().sweep());
            let ((client, from), (to, server)) = (pair().await, pair().await);
            let tunnel = tokio::task::spawn_local(run(worker.clone(), from, to, silence));
            tell(World { worker, client, server, tunnel }).await;
        });
    }

    async fn run(worker: Worker, client: TcpStream, server: TcpStream, silence: Silence) -> (End, u64, u64) {
        let (mut client, mut server) = (Stream::Tcp(client), Stream::Tcp(server));
        let (mut tunnel, deadline) = (Tunnel::default(), worker.deadlines.slot());
        let (mut up, mut down) = (0, 0);
        let ends = (&mut client, &mut server);
        let end = both(&mut tunnel, &worker, ends, &silence, &deadline, |u, d| {
            up += u;
            down += d;
        });
        (end.await, up, down)
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    async fn expect(stream: &mut TcpStream, text: &[u8]) {
        let mut got = vec![0; text.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, text);
    }

    async fn expect_end(stream: &mut TcpStream) {
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    }

    #[test]
    fn words_go_both_ways_and_each_side_ends_by_itself() {
        story(Silence::default(), async |mut world| {
            world.client.write_all(b"question").await.unwrap();
            expect(&mut world.server, b"question").await;
            world.client.shutdown().await.unwrap();
            expect_end(&mut world.server).await;
            world.server.write_all(b"a late answer").await.unwrap();
            expect(&mut world.client, b"a late answer").await;
            drop(world.server);
            expect_end(&mut world.client).await;
            let (end, up, down) = world.tunnel.await.unwrap();
            assert!(matches!(end, End::Done), "{end:?}");
            assert_eq!((up, down), (8, 13));
        });
    }

    #[test]
    fn a_reset_is_blamed_on_its_side() {
        story(Silence::default(), async |world| {
            world.server.set_zero_linger().unwrap();
            drop(world.server);
            let (end, ..) = world.tunnel.await.unwrap();
            assert!(matches!(end, End::Broken(Side::Server, _)), "{end:?}");
        });
    }

    const TOTAL: usize = 100 * 1000 * 1000;
    /// A prime: no two blocks of the stream are equal.
    const PERIOD: usize = 1_000_003;

    fn pattern() -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..PERIOD).map(|_| next()).collect()
    }

    async fn send_much(mut stream: tokio::net::tcp::OwnedWriteHalf) {
        let pattern = pattern();
        let mut left = TOTAL;
        while left > 0 {
            let part = left.min(PERIOD);
            stream.write_all(&pattern[..part]).await.unwrap();
            left -= part;
        }
    }

    async fn receive_much(mut stream: tokio::net::tcp::OwnedReadHalf) {
        let (pattern, mut got, mut left) = (pattern(), vec![0; PERIOD], TOTAL);
        while left > 0 {
            let part = left.min(PERIOD);
            stream.read_exact(&mut got[..part]).await.unwrap();
            assert!(got[..part] == pattern[..part], "damaged with {left} bytes to come");
            left -= part;
        }
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn much_goes_both_ways_at_once_undamaged_and_spliced() {
        story(Silence::default(), async |world| {
            let ((from_client, to_client), (from_server, to_server)) =
                (world.client.into_split(), world.server.into_split());
            tokio::join!(
                send_much(to_client),
                receive_much(from_server),
                send_much(to_server),
                receive_much(from_client)
            );
            let (end, up, down) = world.tunnel.await.unwrap();
            assert!(matches!(end, End::Done), "{end:?}");
            assert_eq!((up, down), (TOTAL as u64, TOTAL as u64));
            assert!(!world.worker.pipes.0.borrow().is_empty(), "nothing was spliced");
        });
    }

    #[test]
    fn exactly_so_many_bytes_are_moved() {
        story(Silence::default(), async |world| {
            let ((mut near, from), (to, mut far)) = (pair().await, pair().await);
            let (mut from, mut to) = (Stream::Tcp(from), Stream::Tcp(to));
            const BODY: usize = 3_000_001;
            let sender = tokio::task::spawn_local(async move {
                near.write_all(&[b'x'; BODY]).await.unwrap();
                near.write_all(b"next").await.unwrap();
                near
            });
            let reader = tokio::task::spawn_local(async move {
                far.read_exact(&mut vec![0; BODY]).await.unwrap();
                far
            });
            let mut copy = Copy::exactly(BODY as u64);
            poll_fn(|cx| copy.poll(cx, &world.worker, &mut from, &mut to)).await.unwrap();
            assert_eq!((copy.moved(), copy.left(), copy.is_ended()), (BODY as u64, 0, false));
            let _near = sender.await.unwrap();
            let mut rest = [0; 16];
            assert_eq!(from.read(&mut rest).await.unwrap(), 4);
            assert_eq!(&rest[..4], b"next");
            drop(to);
            assert_eq!(reader.await.unwrap().read(&mut rest).await.unwrap(), 0);
        });
    }

    #[test]
    fn bytes_read_before_go_first() {
        story(Silence::default(), async |world| {
            let ((mut near, from), (to, mut far)) = (pair().await, pair().await);
            let (mut from, mut to) = (Stream::Tcp(from), Stream::Tcp(to));
            let mut before = world.worker.buffers.take();
            before.append(b"first ");
            near.write_all(b"second").await.unwrap();
            drop(near);
            let mut copy = Copy::to_end().after(before);
            poll_fn(|cx| copy.poll(cx, &world.worker, &mut from, &mut to)).await.unwrap();
            expect(&mut far, b"first second").await;
        });
    }

    fn silent(silence: Silence, tell: impl AsyncFnOnce(&mut World), expected: Side) {
        story(silence, async |mut world| {
            tell(&mut world).await;
            let (end, ..) = world.tunnel.await.unwrap();
            assert!(matches!(end, End::Silent(side) if side == expected), "{end:?}, not {expected:?}");
        });
    }

    #[test]
    fn silence_is_blamed_on_who_owes_bytes() {
        let short = Some(Duration::from_millis(40));
        let long = Some(Duration::from_secs(600));
        let both = |client, server| Silence { client, server, ..Silence::default() };
        silent(both(short, long), async |_| {}, Side::Client);
        silent(both(long, short), async |_| {}, Side::Server);
        silent(both(short, short), async |_| {}, Side::Client);
        silent(Silence { tunnel: short, ..both(long, long) }, async |_| {}, Side::Client);
        silent(
            Silence { server_fin: short, ..both(long, long) },
            async |w| w.client.shutdown().await.unwrap(),
            Side::Server,
        );
        silent(
            Silence { client_fin: short, ..both(long, long) },
            async |w| w.server.shutdown().await.unwrap(),
            Side::Client,
        );
    }

    #[test]
    fn a_server_that_takes_no_bytes_is_silent() {
        // Long enough for the flood to begin on a busy machine.
        let silence = Some(Duration::from_millis(500));
        story(Silence { client: silence, server: silence, ..Silence::default() }, async |mut world| {
            let flood = async move { world.client.write_all(&vec![0; TOTAL]).await };
            let flood = tokio::task::spawn_local(flood);
            let (end, up, _) = world.tunnel.await.unwrap();
            assert!(flood.await.unwrap().is_err());
            assert!(matches!(end, End::Silent(Side::Server)), "{end:?}");
            assert!(up > 0);
        });
    }
}
