//! `Vary`: which of several answers under one key is for a request (RFC 9111, 4.1).

use crate::index::Key;
use md5::{Digest, Md5};
use wire::http1::Fields;

/// Longest list of names that is kept, bytes: answers with longer ones are not.
const LONGEST: usize = 128;

/// What `Vary` of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// The same answer for everybody.
    Nothing,
    /// By these fields of the request: names in lower case, separated by commas.
    Fields(Box<[u8]>),
    /// By what nobody can know, or by too much.
    Unknown,
}

/// Reads all `Vary` fields of an answer.
pub fn read(fields: &Fields) -> Vary {
    let mut names: Vec<u8> = Vec::new();
    for name in fields.find_all(wire::http1::Name::Vary).flat_map(|line| line.split(|b| *b == b',')) {
        match name.trim_ascii() {
            b"" => {}
            b"*" => return Vary::Unknown,
            name => {
                if !names.is_empty() {
                    names.push(b',');
                }
                names.extend(name.iter().map(u8::to_ascii_lowercase));
            }
        }
    }
    match names.len() {
        0 => Vary::Nothing,
        1..=LONGEST => Vary::Fields(names.into()),
        _ => Vary::Unknown,
    }
}

/// The key of the variant that a request wants. White space and empty members of lists do not count.
pub fn variant(primary: &Key, names: &[u8], request: &Fields) -> Key {
    let mut hash = Md5::new();
    hash.update(primary.0);
    hash.update(names);
    for name in names.split(|b| *b == b',') {
        hash.update([0]);
        hash.update(name);
        let members = request.find_str(name).flat_map(|line| line.split(|b| *b == b','));
        for member in members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
            hash.update([1]);
            hash.update(member);
        }
    }
    Key(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.append(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn lists_of_names() {
        let check = |values: &[&str], expected: Vary| {
            let list: Vec<_> = values.iter().map(|value| ("Vary", *value)).collect();
            assert_eq!(read(&fields(&list)), expected, "{values:?}");
        };
        let by = |names: &str| Vary::Fields(names.as_bytes().into());
        check(&[], Vary::Nothing);
        check(&[" , "], Vary::Nothing);
        check(&[",, Accept-encoding , ,"], by("accept-encoding"));
        check(&["Accept-Encoding", "Foo"], by("accept-encoding,foo"));
        check(&["a", "*"], Vary::Unknown);
        check(&[&"x".repeat(129)], Vary::Unknown);
    }

    #[test]
    fn requests_that_mean_the_same_want_the_same() {
        let of = |list: &[(&str, &str)]| variant(&Key::of(b"k"), b"accept,x", &fields(list));
        let plain = of(&[("Accept", "foo, bar")]);
        assert_eq!(plain, of(&[("accept", "foo,,  ,bar , ")]));
        assert_eq!(plain, of(&[("accept", "foo"), ("accept", "bar")]));
        for other in
            [&[("accept", "foobar")][..], &[("x", "foo, bar")], &[], &[("accept", "foo,bar"), ("x", "1")]]
        {
            assert_ne!(plain, of(other), "{other:?}");
        }
        assert_ne!(plain, variant(&Key::of(b"j"), b"accept,x", &fields(&[("Accept", "foo, bar")])));
    }
}
