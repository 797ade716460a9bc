//! From the path of a request to the name of a file. Nothing that a client writes leads out of the root.
//!
//! The path comes decoded and normalised from the walk. It is looked at here all the same: rewriting, captures and
//! aliases make new paths of it, and this is the last place before the file system.

use plan::files::Root;

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A NUL byte, which ends names in the file system.
    Nul,
    /// A part `..`, which leads up.
    Up,
}

/// The name of the file for a path. `text` gives the value of a template.
///
/// # Errors
/// The client's part of the name could lead out of the root.
pub fn of(
    root: &Root,
    path: &[u8],
    text: impl FnOnce(&plan::Template) -> Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let (mut name, rest) = match root {
        Root::Below(folder) => (text(folder), path),
        Root::Instead { folder, replaced } => (text(folder), path.get(*replaced..).unwrap_or_default()),
        Root::Exactly(file) => (text(file), &[][..]),
    };
    check(rest)?;
    if name.contains(&0) {
        return Err(Refusal::Nul);
    }
    if matches!(root, Root::Below(_)) && name.ends_with(b"/") && rest.starts_with(b"/") {
        name.pop();
    }
    name.extend_from_slice(rest);
    Ok(name)
}

/// Refuses what could lead out of the root. With `alias` the first part may be the end of a part: `/img../x` in a
/// location `/img` leads up just as well.
fn check(path: &[u8]) -> Result<(), Refusal> {
    if path.contains(&0) {
        return Err(Refusal::Nul);
    }
    if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(Refusal::Up);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Template;

    fn name(root: &Root, path: &str) -> Result<String, Refusal> {
        let text = |t: &Template| t.as_fixed().unwrap_or_default().to_vec();
        of(root, path.as_bytes(), text).map(|name| String::from_utf8_lossy(&name).into_owned())
    }

    #[test]
    fn names_are_made() {
        let below = Root::Below(Template::fixed("/srv"));
        let slash = Root::Below(Template::fixed("/srv/"));
        let alias = Root::Instead { folder: Template::fixed("/data/"), replaced: 3 };
        let exact = Root::Exactly(Template::fixed("/data/x"));
        assert_eq!(name(&below, "/a/b"), Ok("/srv/a/b".into()));
        assert_eq!(name(&slash, "/a/b"), Ok("/srv/a/b".into()));
        assert_eq!(name(&alias, "/i/a"), Ok("/data/a".into()));
        assert_eq!(name(&alias, "/i"), Ok("/data/".into()));
        assert_eq!(name(&exact, "/whatever/../"), Ok("/data/x".into()));
        assert_eq!(name(&below, "/a..b/...."), Ok("/srv/a..b/....".into()));
    }

    #[test]
    fn nothing_leads_out() {
        let below = Root::Below(Template::fixed("/srv"));
        let alias = Root::Instead { folder: Template::fixed("/data/img/"), replaced: 2 };
        for path in ["/..", "/../", "/../etc/passwd", "/a/../../etc", "/a/..", "//..", "/..//a"] {
            assert_eq!(name(&below, path), Err(Refusal::Up), "{path}");
        }
        assert_eq!(name(&below, "/a\0.html"), Err(Refusal::Nul));
        assert_eq!(name(&alias, "/i../secret"), Err(Refusal::Up));
        assert_eq!(name(&alias, "/i/../secret"), Err(Refusal::Up));
    }
}
