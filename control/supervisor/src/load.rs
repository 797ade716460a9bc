//! From files on disk to a plan, or all problems at once.

use dialects::{Dialect, Entry, Sources};
use plan::rule::{Matcher, Test, TextMatch, TextPatterns};
use plan::site::SiteTimeouts;
use plan::{
    Action, Answer, Bind, Condition, Draft, Expr, Fetch, Mode, Place, Plan, Problem, Problems, Rule, Rules,
    Site,
};
use rustix::fs::{Dir, FileType, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest silence of a client that scrapes.
const SCRAPE: Duration = Duration::from_secs(10);

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Files, and folders whose files are read in the order of their names.
    pub files: Vec<PathBuf>,
    /// Dialect of all files; `None` = recognised file by file.
    pub dialect: Option<Dialect>,
    /// Warnings are problems (`-dW` of HAProxy).
    pub zero_warning: bool,
    /// Where paths are looked up.
    pub sources: FileSources,
    /// Our name among peers, over that of the file.
    pub local_peer: Option<String>,
    /// What nginx's command line says about its file.
    pub nginx: dialects::nginx::Start,
}

/// Reads and resolves; nothing is opened but the files.
pub fn load(input: &Input) -> Result<Plan, Problems> {
    let (files, mut problems) = read_files(input);
    let options = dialects::Options { nginx: input.nginx.clone(), ..dialects::Options::default() };
    let draft = dialects::read(&files, input.dialect, &input.sources, &options);
    if input.zero_warning {
        let warnings = draft.notes.iter().filter(|note| note.warning);
        problems.extend(warnings.map(|note| {
            Problem::new(note.place.clone(), &*note.what)
                .hint("warnings are refused by the command line (-dW)")
        }));
    }
    match draft.resolve() {
        Ok(plan) if problems.is_empty() => Ok(plan),
        Ok(_) => Err(problems),
        Err(more) => Err([problems, more].concat()),
    }
}

/// The files that an nginx.conf is made of, in the order they are read.
pub fn nginx_files(input: &Input) -> Result<Vec<dialects::nginx::ReadFile>, Problems> {
    let (files, problems) = read_files(input);
    if !problems.is_empty() {
        return Err(problems);
    }
    let read =
        |(name, text): &(String, Vec<u8>)| dialects::nginx::files(name, text, &input.sources, &input.nginx);
    files.iter().map(read).collect::<Result<Vec<_>, _>>().map(|files| files.concat())
}

/// The plan with what the process adds for itself: a site for each address that answers scrapes.
pub(crate) fn load_to_run(input: &Input) -> Result<Plan, Problems> {
    let mut draft = load(input)?.into_draft();
    draft.local_peer = input.local_peer.clone().or(draft.local_peer);
    if !draft.process.metrics.is_empty() {
        let site = metrics_site(&draft);
        draft.sites.push(site);
    }
    draft.resolve()
}

fn metrics_site(draft: &Draft) -> Site {
    let path = TextPatterns::new(TextMatch::Exact, false, [b"/metrics".to_vec()]);
    let test = Test { expr: Expr::of(Fetch::Path), matcher: Matcher::Text(path) };
    let rule = |condition, action| Rule { place: Place::none(), condition, action };
    let missing = Answer { status: 404, ..Answer::default() };
    let ids = draft.sites.iter().map(|site| site.id).chain(draft.pools.iter().map(|pool| pool.id));
    Site {
        name: "metrics".into(),
        id: ids.max().unwrap_or(0) + 1,
        mode: Mode::Http,
        binds: draft
            .process
            .metrics
            .iter()
            .map(|address| Bind::new(Place::none(), address.clone()))
            .collect(),
        rules: Rules {
            request: vec![
                rule(Condition::Test(test), Action::Metrics),
                rule(Condition::Always, Action::Answer(Arc::new(missing))),
            ],
            ..Rules::default()
        },
        timeouts: SiteTimeouts { client: Some(SCRAPE), request: Some(SCRAPE), ..SiteTimeouts::default() },
        ..Site::default()
    }
}

fn read_files(input: &Input) -> (Vec<(String, Vec<u8>)>, Problems) {
    let (mut files, mut problems) = (Vec::new(), Problems::new());
    let sources = &input.sources;
    for path in &input.files {
        // What is no folder is a file.
        let list = match sources.list(path) {
            // HAProxy leaves out what is not named so.
            Ok(list) if input.dialect == Some(Dialect::Haproxy) => {
                list.into_iter().filter(|file| file.extension().is_some_and(|end| end == "cfg")).collect()
            }
            Ok(list) => list,
            Err(_) => vec![path.clone()],
        };
        for path in list {
            match sources.read(&path) {
                Ok(text) => files.push((path.display().to_string(), text)),
                Err(error) => problems.push(
                    Problem::new(
                        plan::Place::none(),
                        format!("read configuration {}: {error}", path.display()),
                    )
                    .hint("check the path, and that the user of this process may read it"),
                ),
            }
        }
    }
    (files, problems)
}

/// The machine's files, environment and names.
#[derive(Clone, Debug, Default)]
pub struct FileSources {
    /// The machine's root folder, kept from before the process confined itself by chroot(2), so that a
    /// reload finds its files. Nothing else is opened through it.
    root: Option<Arc<OwnedFd>>,
}

impl FileSources {
    /// Sources that go on to see the files of now after a chroot.
    pub fn before_chroot() -> io::Result<FileSources> {
        let root = rustix::fs::open(
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        Ok(FileSources { root: Some(Arc::new(root)) })
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match (&self.root, path.strip_prefix("/")) {
            (Some(root), Ok(below)) => rustix::fs::openat(root, below, flags, rustix::fs::Mode::empty()),
            _ => rustix::fs::open(path, flags, rustix::fs::Mode::empty()),
        };
        Ok(fd?)
    }
}

impl Sources for FileSources {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::from(self.open(path, OFlags::empty())?).read_to_end(&mut text)?;
        Ok(text)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in Dir::new(self.open(folder, OFlags::DIRECTORY)?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.file_type() != FileType::Directory {
                files.push(folder.join(name));
            }
        }
        files.sort();
        Ok(files)
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut entries = Vec::new();
        for entry in Dir::new(self.open(folder, OFlags::DIRECTORY)?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = match entry.file_type() {
                FileType::Directory => true,
                // A link, or a file system that does not tell.
                FileType::Symlink | FileType::Unknown => {
                    self.open(&folder.join(&name), OFlags::DIRECTORY).is_ok()
                }
                _ => false,
            };
            if name != "." && name != ".." {
                entries.push(Entry { name, is_folder });
            }
        }
        Ok(entries)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn lookup(&self, host: &str) -> Option<IpAddr> {
        (host, 0).to_socket_addrs().ok()?.next().map(|address| address.ip())
    }
}
