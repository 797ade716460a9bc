//! Paths: whatever a target says, its place lies below the root, and escaping it leads to the same place again.

use wire::http1::{
    Escape, escape, escape_html, internal_target, normalize_target, unescape, unescape_redirect,
};

/// Checks one input: the first byte says whether slashes are merged, the others are the target.
pub fn check(data: &[u8]) {
    let Some((flags, target)) = data.split_first() else { return };
    let merge = flags & 1 == 0;
    if let Ok(found) = normalize_target(target, merge) {
        below_the_root(&found.path);
        assert!(!merge || !found.path.windows(2).any(|two| two == b"//"));
        let again = escape(&found.path, Escape::Path);
        let again = normalize_target(&again, merge).map(|again| again.path.into_owned());
        assert_eq!(again.as_deref(), Ok(&found.path[..]));
    }
    if let Ok((path, _)) = internal_target(target) {
        assert!(!path.contains(&0) && !path.split(|byte| *byte == b'/').any(|part| part == b".."));
    }
    for place in [Escape::Path, Escape::Argument, Escape::Component] {
        let escaped = escape(target, place);
        assert!(escaped.iter().all(|byte| *byte == b'%' || !place.takes(*byte)));
        assert_eq!(unescape(&escaped), target);
    }
    let controls = |text: &[u8]| text.iter().filter(|byte| !matches!(byte, b' '..=b'~')).count();
    assert_eq!(controls(&unescape_redirect(target)), controls(target));
    assert!(!escape_html(target).iter().any(|byte| b"<>\"".contains(byte)));
}

fn below_the_root(path: &[u8]) {
    assert!(path.starts_with(b"/") && !path.contains(&0));
    assert!(!path.split(|byte| *byte == b'/').any(|part| matches!(part, b"." | b"..")));
}
