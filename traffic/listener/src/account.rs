//! Numbers of users and groups by name, for the owner of a unix socket (and of the process).
//!
//! Reads the local files only. Names kept elsewhere (LDAP, …) can be given as numbers.

use std::io;

/// Number of a user by name (or decimal number), from `/etc/passwd`.
///
/// # Errors
/// The file cannot be read, or the name is not in it.
pub fn user_id(name: &str) -> io::Result<u32> {
    id("user", "/etc/passwd", name)
}

/// Number of a group by name (or decimal number), from `/etc/group`.
///
/// # Errors
/// The file cannot be read, or the name is not in it.
pub fn group_id(name: &str) -> io::Result<u32> {
    id("group", "/etc/group", name)
}

fn id(kind: &str, file: &str, name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let table = std::fs::read_to_string(file)?;
    find(&table, name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {kind} '{name}' in {file}")))
}

/// passwd(5) and group(5) have name and number in the first and third field.
fn find(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        fields.nth(1).filter(|_| found)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(group_id("1234").unwrap(), 1234);
        assert_eq!(user_id("no-such-user").unwrap_err().to_string(), "no user 'no-such-user' in /etc/passwd");
        assert_eq!(find("a:x:5:\nab:x:6:\n", "ab"), Some(6));
    }
}
