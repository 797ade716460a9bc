//! From the path of a request to the name of a file. Nothing that a client writes leads out of the root.
//!
//! The path comes decoded and normalised from the walk. It is looked at here all the same: rewriting, captures and
//! aliases make new paths of it, and this is the last place before the file system.

use plan::host::Root;

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
/// With groups of an expression in the root the root is the whole name, unless the path was one that was tried
/// (`tried`), which then stands behind it.
///
/// # Errors
/// The client's part of the name could lead out of the root.
pub fn of(
    root: &Root,
    path: &[u8],
    tried: bool,
    text: impl FnOnce(&plan::Template) -> Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let rest = match root.alias {
        None => path,
        Some(Root::WHOLE) if !tried => &[],
        Some(Root::WHOLE) => path,
        Some(replaced) => path.get(replaced..).unwrap_or_default(),
    };
    check(rest)?;
    let mut name = text(&root.path);
    if name.contains(&0) {
        return Err(Refusal::Nul);
    }
    if root.alias.is_none() && name.ends_with(b"/") && rest.starts_with(b"/") {
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

    fn root(path: &str, alias: Option<usize>) -> Root {
        Root { path: Template::fixed(path), alias, ..Root::default() }
    }

    fn name(root: &Root, path: &str) -> Result<String, Refusal> {
        let text = |t: &Template| t.as_fixed().unwrap_or_default().to_vec();
        of(root, path.as_bytes(), false, text).map(|name| String::from_utf8_lossy(&name).into_owned())
    }

    #[test]
    fn names_are_made() {
        let below = root("/srv", None);
        let alias = root("/data/", Some(3));
        let exact = root("/data/x", Some(Root::WHOLE));
        assert_eq!(name(&below, "/a/b"), Ok("/srv/a/b".into()));
        assert_eq!(name(&root("/srv/", None), "/a/b"), Ok("/srv/a/b".into()));
        assert_eq!(name(&alias, "/i/a"), Ok("/data/a".into()));
        assert_eq!(name(&alias, "/i"), Ok("/data/".into()));
        assert_eq!(name(&exact, "/whatever/../"), Ok("/data/x".into()));
        assert_eq!(name(&below, "/a..b/...."), Ok("/srv/a..b/....".into()));
        let text = |t: &Template| t.as_fixed().unwrap_or_default().to_vec();
        assert_eq!(of(&exact, b"/y", true, text), Ok(b"/data/x/y".to_vec()));
    }

    #[test]
    fn nothing_leads_out() {
        let (below, alias) = (root("/srv", None), root("/data/img/", Some(2)));
        for path in ["/..", "/../", "/../etc/passwd", "/a/../../etc", "/a/..", "//..", "/..//a"] {
            assert_eq!(name(&below, path), Err(Refusal::Up), "{path}");
        }
        assert_eq!(name(&below, "/a\0.html"), Err(Refusal::Nul));
        assert_eq!(name(&alias, "/i../secret"), Err(Refusal::Up));
        assert_eq!(name(&alias, "/i/../secret"), Err(Refusal::Up));
    }
}
