//! `stats …`: the statistics page. Every such line switches it on.

use super::acl;
use super::keywords::{self, ANY, Entry};
use super::logs;
use super::proxy::needs_http;
use super::said::{Cursor, Done, Said};
use super::scene::{Phase, Scene};
use super::units;
use plan::rule::{Matcher, Password, Test, TextMatch, TextPatterns};
use plan::site::Statistics;
use plan::{Action, Condition, Expr, Fetch, Rule};

type Set = fn(&mut Scene<'_, '_>, &mut Statistics, &mut Cursor<'_>) -> Done;

/// Path without `stats uri`.
const PATH: &str = "/haproxy?stats";
/// Realm without `stats realm`.
const REALM: &str = "HAProxy Statistics";

macro_rules! entry {
    ($name:literal, $act:expr, $manual:literal) => {
        Entry { name: $name, sections: ANY, act: $act, manual: $manual }
    };
}

/// All words behind `stats`.
pub(super) const STATS: &[Entry<Set>] = &[
    entry!("admin", admin, "admin if …: the page may change servers"),
    entry!("auth", auth, "auth USER:PASSWORD"),
    entry!("enable", |_, _, _| Ok(()), "switches the page on"),
    entry!("hide-version", |_, p, _| set(&mut p.hide_version), "leaves the version out"),
    entry!("http-request", http_request, "http-request allow|deny|auth … [if …]: who may see the page"),
    entry!("realm", |_, p, c| c.text("a text").map(|t| p.realm = t.to_owned()), "realm shown to the user"),
    entry!(
        "refresh",
        |_, p, c| c.time_in(1000).map(|t| p.refresh = units::limit(t)),
        "the page loads itself again"
    ),
    entry!(
        "scope",
        |_, p, c| c.text("the name of a section").map(|t| p.scope.push(t.to_owned())),
        "shows this section only"
    ),
    entry!("show-desc", show_description, "shows a description"),
    entry!("show-legends", |_, p, _| set(&mut p.legends), "shows further details"),
    entry!(
        "show-modules",
        |s, _, c| {
            s.no_effect(c.line, 1, "there are no module columns");
            Ok(())
        },
        "shows columns of modules"
    ),
    entry!(
        "show-node",
        |_, p, c| {
            p.node = Some(logs::rest(c));
            Ok(())
        },
        "shows the name of the node"
    ),
    entry!("uri", |_, p, c| c.text("a path").map(|t| p.path = t.to_owned()), "path of the page"),
];

/// `stats WORD …`.
pub(super) fn stats(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("a word such as enable or uri")?;
    let Some(entry) = STATS.iter().find(|e| e.name == word) else {
        return Err(unknown(word).at(1));
    };
    let mut page = scene.proxy.statistics.take().unwrap_or_else(|| Statistics {
        path: PATH.to_owned(),
        realm: REALM.to_owned(),
        ..Statistics::default()
    });
    let done = (entry.act)(scene, &mut page, cursor).and_then(|()| cursor.end());
    scene.proxy.statistics = Some(page);
    needs_http(scene, cursor, "stats");
    done
}

fn unknown(word: &str) -> Said {
    match word {
        "socket" | "timeout" | "maxconn" | "bind-process" => {
            Said::new(format!("'stats {word}' may not stand here")).hint("move it to 'global'")
        }
        _ => Said::new(format!("'stats {word}' is unknown"))
            .hint(keywords::nearest(word, STATS.iter().map(|e| e.name))),
    }
}

fn set(flag: &mut bool) -> Done {
    *flag = true;
    Ok(())
}

fn auth(_: &mut Scene<'_, '_>, page: &mut Statistics, cursor: &mut Cursor<'_>) -> Done {
    let word = cursor.text("USER:PASSWORD")?;
    let (user, password) = word.split_once(':').unwrap_or((word, ""));
    if user.is_empty() || password.is_empty() {
        return Err(Said::new("'stats auth' needs USER:PASSWORD").at(1));
    }
    let entry = (user.to_owned(), Password::Plain(password.to_owned()));
    if !page.users.users.contains(&entry) {
        page.users.users.push(entry);
    }
    Ok(())
}

fn admin(scene: &mut Scene<'_, '_>, page: &mut Statistics, cursor: &mut Cursor<'_>) -> Done {
    if !cursor.is_condition() {
        return Err(Said::new("'stats admin' needs 'if …' or 'unless …'"));
    }
    let condition = acl::condition(scene, cursor, Phase::Request)?;
    page.admin = Some(match page.admin.take() {
        None => condition,
        Some(before) => Condition::Any(vec![before, condition]),
    });
    Ok(())
}

/// Runs behind the other rules of the section, for requests to the page.
fn http_request(scene: &mut Scene<'_, '_>, _: &mut Statistics, cursor: &mut Cursor<'_>) -> Done {
    let rule = super::rules::stats_request(scene, cursor)?;
    scene.proxy.rules.statistics.push(rule);
    Ok(())
}

/// What a rule of the page becomes among the rules of its section: it holds for requests to the page only.
pub(super) fn for_page(page: &Statistics, mut rule: Rule) -> Rule {
    let prefix = TextPatterns::new(TextMatch::Prefix, false, [page.path.clone().into_bytes()]);
    let test = Test { expr: Expr::of(Fetch::PathAndQuery), matcher: Matcher::Text(prefix) };
    rule.condition = Condition::All(vec![Condition::Test(test), rule.condition]);
    if let Action::Authenticate { realm } = &mut rule.action
        && realm.is_empty()
    {
        *realm = page.realm.as_str().into();
    }
    rule
}

/// Without a text the one of `global` is shown, which is put in when all is read.
fn show_description(_: &mut Scene<'_, '_>, page: &mut Statistics, cursor: &mut Cursor<'_>) -> Done {
    page.description = Some(logs::rest(cursor));
    Ok(())
}
