//! Lists of the files in a folder: reading them, and the three formats.

use super::open::{Facts, Fault, Kind};
use plan::host::Directories;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use std::io::Write;
use wire::http1::date;

/// Most files of a folder that are listed: the list is made in memory.
const MOST: usize = 100_000;
/// Columns of a name on the page.
const COLUMNS: usize = 50;
/// Columns of a name that is cut.
const CUT: usize = 47;

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Length, bytes.
    pub length: u64,
    /// Time of the last change, Unix seconds.
    pub modified_s: i64,
}

/// Reads a folder: folders before files, each by name; without those whose name begins with a dot.
///
/// # Errors
/// The folder cannot be read.
pub fn read(folder: &[u8]) -> Result<Vec<Entry>, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty())?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&opened)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") || entries.len() >= MOST {
            continue;
        }
        let Some(facts) = facts(&[folder, b"/", name].concat())? else { continue };
        let Facts { kind, length, modified_s, .. } = facts;
        entries.push(Entry { name: name.to_vec(), kind, length, modified_s });
    }
    let is_file = |entry: &Entry| entry.kind != Kind::Folder;
    entries.sort_by(|a, b| is_file(a).cmp(&is_file(b)).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}

/// `None` for a file that vanished or that we may not look at. A link that leads nowhere is what it is itself.
fn facts(name: &[u8]) -> Result<Option<Facts>, Fault> {
    match super::open::look(name) {
        Ok(facts) => Ok(Some(facts)),
        Err(Fault::Forbidden(Errno::LOOP) | Fault::NotFound(_)) => Ok(super::open::look_at_link(name).ok()),
        Err(Fault::Forbidden(_)) => Ok(None),
        Err(broken) => Err(broken),
    }
}

/// The content type of a format.
pub fn content_type(how: Directories) -> &'static str {
    match how {
        Directories::Json => "application/json",
        Directories::Xml => "text/xml; charset=utf-8",
        Directories::Html { .. } | Directories::Hidden => "text/html",
    }
}

/// The list of the folder that clients know as `path`. `zone_s` gives the offset of the local zone at a time, seconds
/// east of UTC.
pub fn render(how: Directories, path: &[u8], entries: &[Entry], zone_s: impl Fn(i64) -> i64) -> Vec<u8> {
    match how {
        Directories::Html { exact, local } => {
            let zone_s = |time| if local { zone_s(time) } else { 0 };
            page(exact, path, entries, zone_s)
        }
        Directories::Json => json(entries),
        Directories::Xml => xml(entries),
        Directories::Hidden => Vec::new(),
    }
}

fn page(exact: bool, path: &[u8], entries: &[Entry], zone_s: impl Fn(i64) -> i64) -> Vec<u8> {
    let mut out = b"<html>\r\n<head><title>Index of ".to_vec();
    escape_html(path, &mut out);
    out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
    escape_html(path, &mut out);
    out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for entry in entries {
        line(exact, entry, &zone_s, &mut out);
    }
    out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
    out
}

/// A line of the page: link, time, length.
fn line(exact: bool, entry: &Entry, zone_s: impl Fn(i64) -> i64, out: &mut Vec<u8>) {
    let is_folder = entry.kind == Kind::Folder;
    let slash: &[u8] = if is_folder { b"/" } else { b"" };
    out.extend_from_slice(b"<a href=\"");
    escape_component(&entry.name, out);
    out.extend_from_slice(slash);
    out.extend_from_slice(b"\">");
    let mut columns = entry.name.len();
    if columns > COLUMNS {
        escape_html(&entry.name[..CUT], out);
        out.extend_from_slice(b"..&gt;</a>");
        columns = COLUMNS;
    } else {
        escape_html(&entry.name, out);
        if is_folder && columns < COLUMNS {
            out.push(b'/');
            columns += 1;
        }
        out.extend_from_slice(b"</a>");
    }
    out.resize(out.len() + COLUMNS - columns, b' ');
    let offset = zone_s(entry.modified_s);
    out.push(b' ');
    out.extend_from_slice(day_and_minute(entry.modified_s + offset).as_bytes());
    out.push(b' ');
    let length = match (is_folder, exact) {
        (true, true) => format!("{:>19}", "-"),
        (true, false) => format!("{:>7}", "-"),
        (false, true) => format!("{:>19}", entry.length),
        (false, false) => rounded(entry.length),
    };
    out.extend_from_slice(length.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `06-Nov-1994 08:49`.
fn day_and_minute(unix_s: i64) -> String {
    let text = date::format(unix_s.max(0) as u64);
    let part = |range: std::ops::Range<usize>| String::from_utf8_lossy(&text[range]).into_owned();
    format!("{}-{}-{} {}", part(5..7), part(8..11), part(12..16), part(17..22))
}

/// Rounded to K, M or G, right-aligned before the unit.
fn rounded(length: u64) -> String {
    const UNITS: [(u64, u64, char); 3] =
        [(1 << 30, (1 << 30) - 1, 'G'), (1 << 20, (1 << 20) - 1, 'M'), (1 << 10, 9_999, 'K')];
    match UNITS.iter().find(|(_, above, _)| length > *above) {
        Some((unit, _, letter)) => {
            let up = u64::from(length % unit > unit / 2 - 1);
            format!("{:>6}{letter}", length / unit + up)
        }
        None => format!(" {length:>6}"),
    }
}

fn json(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for (place, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\r\n{ \"name\":\"" } else { b",\r\n{ \"name\":\"" });
        escape_json(&entry.name, &mut out);
        let kind = word(entry.kind);
        let modified = date::format(entry.modified_s.max(0) as u64);
        let _ = write!(out, "\", \"type\":\"{kind}\", \"mtime\":\"{}\"", String::from_utf8_lossy(&modified));
        if entry.kind == Kind::File {
            let _ = write!(out, ", \"size\":{}", entry.length);
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
    out
}

fn xml(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\"?>\r\n<list>\r\n".to_vec();
    for entry in entries {
        let kind = word(entry.kind);
        let _ = write!(out, "<{kind} mtime=\"{}\"", iso(entry.modified_s));
        if entry.kind == Kind::File {
            let _ = write!(out, " size=\"{}\"", entry.length);
        }
        out.push(b'>');
        escape_html(&entry.name, &mut out);
        let _ = write!(out, "</{kind}>\r\n");
    }
    out.extend_from_slice(b"</list>\r\n");
    out
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder => "directory",
        Kind::Other => "other",
    }
}

/// `1994-11-06T08:49:37Z`.
fn iso(unix_s: i64) -> String {
    let seconds = unix_s.max(0) as u64;
    let (year, month, day) = date::civil(seconds / 86_400);
    let time = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            other => out.push(*other),
        }
    }
}

/// A part of a path: all but unreserved bytes as `%XX` (RFC 3986, 2.3).
fn escape_component(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => drop(write!(out, "\\u{byte:04X}")),
            other => out.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn entry(name: &str, kind: Kind, length: u64) -> Entry {
        Entry { name: name.into(), kind, length, modified_s: 784_111_777 }
    }

    #[test]
    fn folders_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::create_dir(dir.path().join("z")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let entries = read(dir.path().as_os_str().as_bytes()).unwrap();
        let names: Vec<_> = entries.iter().map(|e| (&e.name[..], e.kind)).collect();
        assert_eq!(
            names,
            [(&b"z"[..], Kind::Folder), (b"a", Kind::File), (b"b", Kind::File), (b"link", Kind::Other)]
        );
        assert_eq!(read(b"/nowhere/at/all").unwrap_err().status(), 404);
    }

    #[test]
    fn lengths_are_rounded() {
        for (length, text) in [
            (0, "      0"),
            (9_999, "   9999"),
            (10_000, "    10K"),
            (10_751, "    10K"),
            (10_752, "    11K"),
            (1_048_575, "  1024K"),
            (1_048_576, "     1M"),
            (1_610_612_736, "     2G"),
        ] {
            assert_eq!(rounded(length), text, "{length}");
        }
    }

    #[test]
    fn names_cannot_break_out() {
        let hostile = [entry("<a \"&'>", Kind::File, 1), entry("\n\u{1}\\", Kind::Folder, 0)];
        let text = |how| String::from_utf8_lossy(&render(how, b"/<x>/", &hostile, |_| 0)).into_owned();
        let html = text(Directories::Html { exact: true, local: false });
        assert!(html.contains("<title>Index of /&lt;x&gt;/</title>"), "{html}");
        assert!(html.contains("<a href=\"%3Ca%20%22%26%27%3E\">&lt;a &quot;&amp;'&gt;</a>"), "{html}");
        assert!(html.contains(" 06-Nov-1994 08:49                   1\r\n"), "{html}");
        let json = text(Directories::Json);
        assert!(json.contains("{ \"name\":\"<a \\\"&'>\", \"type\":\"file\", \"mtime\":\"Sun, 06 Nov 1994 08:49:37 GMT\", \"size\":1 },\r\n{ \"name\":\"\\n\\u0001\\\\\", \"type\":\"directory\""), "{json}");
        let xml = text(Directories::Xml);
        assert!(xml.contains("<file mtime=\"1994-11-06T08:49:37Z\" size=\"1\">&lt;a"), "{xml}");
    }
}
