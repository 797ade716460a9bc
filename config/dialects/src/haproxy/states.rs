//! Files of server states: `server-state-file`, `server-state-base`, `load-server-state-from-file`,
//! `server-state-file-name`.

use super::said::{Cursor, Done};
use super::scene::{Proxy, Scene};
use std::path::{Path, PathBuf};

/// What `global` says.
#[derive(Default)]
pub(super) struct Files {
    pub base: Option<PathBuf>,
    pub file: Option<PathBuf>,
}

/// What a section says.
#[derive(Clone, Default)]
pub(super) struct Load {
    from: From,
    name: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum From {
    #[default]
    Nothing,
    Global,
    Local,
}

/// `load-server-state-from-file global|local|none`.
pub(super) fn load(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.states.from = match cursor.text("global, local or none")? {
        "global" => From::Global,
        "local" => From::Local,
        "none" => From::Nothing,
        other => return Err(cursor.wrong(other, "global, local or none")),
    };
    cursor.end()
}

/// `server-state-file-name [FILE|use-backend-name]`.
pub(super) fn file_name(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    scene.proxy.states.name = match cursor.next().map(|word| word.text.clone()) {
        Some(name) if name != "use-backend-name" => Some(name),
        _ => None,
    };
    cursor.end()
}

/// The file that a section's server states are read from at the start.
pub(super) fn file(files: &Files, proxy: &Proxy) -> Option<PathBuf> {
    let below = |name: &Path| match &files.base {
        Some(base) => base.join(name),
        None => name.to_owned(),
    };
    match proxy.states.from {
        From::Nothing => None,
        From::Global => files.file.as_deref().map(below),
        From::Local => Some(below(Path::new(proxy.states.name.as_ref().unwrap_or(&proxy.name)))),
    }
}
