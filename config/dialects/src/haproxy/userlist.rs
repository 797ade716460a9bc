//! `userlist` sections: users and groups for `http_auth`.

use super::said::{Cursor, Done, Said};
use super::scene::{Shared, Users};
use super::source::{Line, Section};
use super::units;
use plan::rule::{Password, Userlist};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Reads a list of users.
pub(super) fn read(shared: &mut Shared<'_>, section: &Section) {
    let name = match name(&section.head) {
        Ok(name) => name,
        Err(said) => return shared.problem(said, &section.head),
    };
    if shared.userlists.contains_key(&name) {
        let what = format!("the userlist '{name}' is defined twice; the first counts");
        return shared.warn(section.head.place(1), what);
    }
    let mut list = Userlist { name: name.clone(), users: Vec::new() };
    let mut groups: HashMap<String, BTreeSet<String>> = HashMap::new();
    for line in &section.body {
        if let Err(said) = read_line(shared, line, &mut list, &mut groups) {
            shared.problem(said, line);
        }
    }
    check_groups(shared, section, &list, &groups);
    shared.userlists.insert(name, Users { users: Arc::new(list), groups });
}

fn name(head: &Line) -> Done<String> {
    let mut cursor = Cursor::new(head, 1);
    let name = cursor.text("a name")?;
    cursor.end()?;
    if let Some(bad) = units::bad_in_name(name) {
        return Err(Said::new(format!("'{bad}' may not stand in the name '{name}'")).at(1));
    }
    Ok(name.to_owned())
}

/// Users and groups name each other: all must be there.
fn check_groups(
    shared: &mut Shared<'_>,
    section: &Section,
    list: &Userlist,
    groups: &HashMap<String, BTreeSet<String>>,
) {
    let defined: BTreeSet<&str> =
        section.body.iter().filter(|l| l.text(0) == "group").map(|l| l.text(1)).collect();
    let missing_groups =
        groups.keys().filter(|g| !defined.contains(g.as_str())).map(|g| format!("no group '{g}'"));
    let users = groups.values().flatten().collect::<BTreeSet<_>>();
    let missing_users = users
        .into_iter()
        .filter(|name| list.users.iter().all(|(user, _)| user != *name))
        .map(|u| format!("no user '{u}'"));
    let missing: BTreeSet<String> = missing_groups.chain(missing_users).collect();
    for what in missing {
        shared.problem(Said::new(format!("there is {what} in the userlist '{}'", list.name)), &section.head);
    }
}

fn read_line(
    shared: &mut Shared<'_>,
    line: &Line,
    list: &mut Userlist,
    groups: &mut HashMap<String, BTreeSet<String>>,
) -> Done {
    let mut cursor = Cursor::new(line, 1);
    match line.text(0) {
        "user" => user(shared, &mut cursor, list, groups),
        "group" => group(&mut cursor, groups),
        other => Err(Said::new(format!("unknown keyword '{other}' in a userlist section"))
            .hint("write 'user NAME password HASH' or 'group NAME users A,B'")),
    }
}

/// `user NAME password HASH [groups G,H]`, `user NAME insecure-password TEXT`.
fn user(
    shared: &mut Shared<'_>,
    cursor: &mut Cursor<'_>,
    list: &mut Userlist,
    groups: &mut HashMap<String, BTreeSet<String>>,
) -> Done {
    let name = cursor.text("a name")?.to_owned();
    let mut password = None;
    while let Some(word) = cursor.next() {
        match word.text.as_str() {
            "password" => {
                let hash = cursor.text("a hashed password")?;
                if !hash.starts_with("$5$") && !hash.starts_with("$6$") {
                    return Err(Said::not_yet("a password hash other than crypt(5) SHA-256 and SHA-512")
                        .hint("make one that begins with $6$: openssl passwd -6"));
                }
                password = Some(Password::Hashed(hash.to_owned()));
            }
            "insecure-password" => password = Some(Password::Plain(cursor.text("a password")?.to_owned())),
            "groups" => {
                for group in cursor.text("a list of groups")?.split(',') {
                    groups.entry(group.to_owned()).or_default().insert(name.clone());
                }
            }
            other => return Err(cursor.wrong(other, "password, insecure-password or groups")),
        }
    }
    if list.users.iter().any(|(user, _)| *user == name) {
        shared.warn(cursor.line.place(1), format!("the user '{name}' is listed twice; the first counts"));
        return Ok(());
    }
    // A user without a password can never authenticate.
    list.users.push((name, password.unwrap_or_else(|| Password::Hashed("!".into()))));
    Ok(())
}

/// `group NAME [users A,B]`.
fn group(cursor: &mut Cursor<'_>, groups: &mut HashMap<String, BTreeSet<String>>) -> Done {
    let members = groups.entry(cursor.text("a name")?.to_owned()).or_default();
    if cursor.eat("users") {
        members.extend(cursor.text("a list of users")?.split(',').map(str::to_owned));
    }
    cursor.end()
}
