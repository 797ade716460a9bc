//! The folder `{{root}}` of a case: files that are the same in every run, with the same time of change.
//!
//! ```text
//! index.html   a page of 60 bytes        sub/index.html     another page
//! a.txt        1,000 bytes, numbered     sub/deep/file.txt  27 bytes
//! page.html    4,000 bytes               list/              names that are awkward on a page
//! style.css script.js data.json picture.png noext           by content type
//! empty        no byte                   big.bin            300,000 bytes, numbered
//! link         leads to a.txt            outside            leads out of the folder, to a file `secret`
//! packed.txt   with packed.txt.gz beside it
//! ```

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Time of change of all files: the date that RFC 9110 uses.
pub const CHANGED: u64 = 784_111_777;

/// Makes the folder.
pub fn make(root: &Path) {
    for folder in ["sub/deep", "list/folder", "hollow"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (name, content) in contents() {
        fs::write(root.join(name), content).unwrap();
    }
    fs::write(root.with_extension("secret"), "outside the root\n").unwrap();
    touch(&root.with_extension("secret"), CHANGED);
    symlink("a.txt", root.join("link")).unwrap();
    symlink(root.with_extension("secret"), root.join("outside")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    age(root);
}

/// Sets the time of change of one file or folder.
pub fn touch(file: &Path, unix_s: u64) {
    let time = Timespec { tv_sec: unix_s as i64, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// `X000XXXXXX`, `X001XXXXXX` …: each ten bytes tell where they are.
pub fn numbered(bytes: usize) -> String {
    let mut text: String = (0..bytes.div_ceil(10)).map(|n| format!("X{:03}XXXXXX", n % 1000)).collect();
    text.truncate(bytes);
    text
}

fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let page =
        |title: &str| format!("<!-- {title} --><p>This page stands still for the tests.</p>\n").into_bytes();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"packed before, and not on the way").unwrap();
    vec![
        ("index.html", page("home")),
        ("sub/index.html", page("sub")),
        ("sub/deep/file.txt", b"deep below, and still there".to_vec()),
        ("a.txt", numbered(1000).into()),
        ("big.bin", numbered(300_000).into()),
        ("page.html", format!("<p>{}</p>", "words and words ".repeat(250)).into()),
        ("style.css", b"p { color: red; background: white }\n".to_vec()),
        ("script.js", b"window.alert('a small script here');\n".to_vec()),
        ("data.json", b"{\"name\": \"value\", \"list\": [1, 2, 3]}\n".to_vec()),
        ("picture.png", b"\x89PNG\r\n\x1a\n, but not really".to_vec()),
        ("noext", b"a name without an ending\n".to_vec()),
        ("empty", Vec::new()),
        ("with space.txt", b"a name with a space\n".to_vec()),
        ("percent%41.txt", b"a name with a percent sign\n".to_vec()),
        ("packed.txt", b"packed before, and not on the way".to_vec()),
        ("packed.txt.gz", packed.finish().unwrap()),
        ("list/plain.txt", b"plain".to_vec()),
        ("list/UPPER.TXT", b"upper".to_vec()),
        ("list/with space & <marks> \"q\" 'a'.txt", b"marks".to_vec()),
        ("list/question?hash#percent%.txt", b"signs".to_vec()),
        ("list/a:colon.txt", b"colon".to_vec()),
        ("list/.hidden", b"hidden".to_vec()),
        ("list/exactly-fifty-letters-long-is-the-limit-of-name.x", b"limit".to_vec()),
        ("list/a-name-that-is-far-too-long-for-the-columns-of-the-page-and-is-cut.txt", b"long".to_vec()),
        ("list/big", vec![b'b'; 20_000]),
    ]
}

/// Sets the time of everything below; folders after what is in them.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            age(&entry.path());
        } else {
            touch(&entry.path(), CHANGED);
        }
    }
    touch(folder, CHANGED);
}
