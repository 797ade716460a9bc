//! nginx's language, `nginx.conf`, as its users wrote it up to version 1.31.
//!
//! [`read`] is the main road:
//!
//! ```text
//! bytes ──text──► words ──tree──► directives, checked against the table ──► Scope: what is in force where
//!      main, events ──► Process       http ──► Site with its hosts, Pools       stream ──► Sites, Pools
//! ```
//!
//! What a directive is and what becomes of it stands in the tables of [`directives`].

pub mod client;
pub mod directives;
mod errors;
pub(crate) mod glob;
mod http;
mod logs;
mod process;
pub mod resolver;
pub mod scope;
mod stream;
mod text;
pub mod tree;
pub mod upstream;
pub mod values;

pub use errors::emergency;
pub use tree::{COMMAND_LINE, ReadFile};

use crate::{Options, Sources};
use plan::{Draft, Problems};
use scope::{Ground, Scope, Told};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version whose language is spoken, as `-v` tells it.
pub const VERSION: &str = "1.31.5";

/// What nginx's command line says about the reading.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// `-p`: folder that paths of logs and documents begin at; `None` = that of the configuration.
    pub prefix: Option<PathBuf>,
    /// `-e`: where errors go when the file says nothing; `None` = standard error.
    pub error_log: Option<String>,
    /// `-g`: directives that stand before those of the file.
    pub globals: String,
}

/// True for a word that begins an nginx.conf.
pub(crate) fn is_start(word: &str) -> bool {
    matches!(
        word,
        "http"
            | "events"
            | "stream"
            | "worker_processes"
            | "user"
            | "pid"
            | "error_log"
            | "daemon"
            | "load_module"
            | "worker_rlimit_nofile"
            | "include"
            | "pcre_jit"
            | "env"
            | "master_process"
            | "worker_cpu_affinity"
            | "thread_pool"
            | "worker_shutdown_timeout"
    ) || word.strip_suffix(['{', ';']).is_some_and(is_start)
}

/// Reads a main file and what it includes.
pub(crate) fn read(file: &Arc<str>, text: &[u8], sources: &dyn Sources, options: &Options) -> Draft {
    let start = &options.nginx;
    let tree = tree::grow(file, text, &start.globals, sources);
    let folder = Path::new(&**file).parent().map(Path::to_path_buf).unwrap_or_default();
    let ground = Ground {
        sources,
        prefix: start.prefix.clone().unwrap_or_else(|| folder.clone()),
        folder,
        error_log: start.error_log.clone(),
        told: Told::default(),
    };
    let mut draft = Draft::default();
    let scope = Scope::new(&tree.directives, &ground);
    process::read(&scope, &mut draft);
    for http in scope.own_named("http") {
        http::read(&scope.inside(http), &mut draft);
    }
    for stream in scope.own_named("stream") {
        stream::read(&scope.inside(stream), &mut draft);
    }
    let (problems, notes) = ground.told.into_parts();
    draft.problems = in_order([tree.problems, problems].concat(), &tree.files);
    draft.notes = [tree.notes, notes].concat();
    draft
}

/// Problems in the order of the files and lines they are in.
fn in_order(mut problems: Problems, files: &[ReadFile]) -> Problems {
    let places: HashMap<&str, usize> =
        files.iter().enumerate().map(|(at, f)| (f.path.as_str(), at)).collect();
    problems.sort_by_key(|problem| (places.get(&*problem.place.file), problem.place.line));
    problems
}

/// The files that a configuration is made of, in the order they are read, each once; or all problems.
pub fn files(
    file: &str,
    text: &[u8],
    sources: &dyn Sources,
    start: &Start,
) -> Result<Vec<ReadFile>, Problems> {
    let tree = tree::grow(&Arc::from(file), text, &start.globals, sources);
    if tree.problems.is_empty() { Ok(tree.files) } else { Err(tree.problems) }
}
