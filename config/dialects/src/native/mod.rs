//! The native file, `mainstay.yaml`: reader and the writer behind `mainstay convert`.
//!
//! ```text
//! text ──yaml──► nodes ──form──► Draft            reading: all problems at once, with their places
//! Draft ──form──► values ──emit──► text           writing: the briefest file that says the same
//! ```
//!
//! Each part of the plan says its fields and their defaults once (`form::Fieldset`); the reader and the
//! writer both follow it. Conditions, values and texts with values have a small language (`expression`,
//! `template`). What the file cannot say is a [`plan::Problem`], never left out.

mod check;
mod course;
mod emit;
mod expression;
mod form;
mod leaf;
mod lists;
mod log;
mod map;
mod pages;
mod pool;
mod process;
mod reader;
mod resolver;
mod rules;
mod site;
mod smooth;
mod steps;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod values;
mod writer;
mod yaml;

use crate::MAX_FILE_BYTES;
use emit::Out;
use form::{Fieldset, read_into, written};
use plan::draft::nearest;
use plan::{Draft, Place, Pool, Problem, Problems, Resolvers, Site};
use reader::{Named, Reader};
use std::collections::HashMap;
use std::sync::Arc;
use writer::Writer;
use yaml::{Kind, Node};

/// Number of the first site: the runtime sockets, if there are any, have number 1 together. Sites count on
/// from it, then pools; a pool named like a site has the site's number.
fn first_id(plan: &Draft) -> u32 {
    if plan.process.runtime_sockets.is_empty() { 1 } else { 2 }
}

/// Reads a file. Problems are in the draft's `problems`; it is usable only when there are none.
pub(crate) fn read(file: &Arc<str>, bytes: &[u8]) -> Draft {
    let mut draft = Draft::default();
    let text = match text(file, bytes) {
        Ok(text) => text,
        Err(problem) => {
            draft.problems.push(problem);
            return draft;
        }
    };
    let (root, faults) = yaml::parse(text);
    let mut reader = Reader::new(Arc::clone(file), text);
    for fault in faults {
        reader.problem(fault.spot, fault.what, fault.hint);
    }
    if let Some(root) = &root {
        read_top(root, &mut draft, &mut reader);
    }
    reader.problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    draft.problems = reader.problems;
    draft
}

/// Writes a plan, so that [`read`] gives it back: names, numbers and order included. Notes are not written.
///
/// Conditions that several rules share are given names; one that is used once stands where it is used.
/// What the file format cannot say, and every problem of the draft itself, is an error.
pub fn write(plan: &Draft) -> Result<String, Problems> {
    if !plan.problems.is_empty() {
        return Err(plan.problems.clone());
    }
    let mut counter = Writer::counting();
    write_top(plan, &mut counter);
    let mut writer = Writer::after(counter);
    let entries = write_top(plan, &mut writer);
    if writer.problems.is_empty() { Ok(emit::document(&entries)) } else { Err(writer.problems) }
}

fn text<'b>(file: &Arc<str>, bytes: &'b [u8]) -> Result<&'b str, Problem> {
    if bytes.len() > MAX_FILE_BYTES {
        let limit = MAX_FILE_BYTES >> 20;
        return Err(Problem::new(Place::new(file, 0, 0), format!("the file is larger than {limit} MiB")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        Problem::new(Place::new(file, line as u32, 0), "the file is not text (UTF-8)")
    })
}

fn read_top<'s>(root: &'s Node, draft: &mut Draft, reader: &mut Reader<'s>) {
    let Kind::Map(entries) = &root.kind else {
        return reader.problem(root.spot, "a map is expected here", "begin with 'sites:'");
    };
    const SECTIONS: &[&str] =
        &["process", "log", "users", "conditions", "maps", "resolvers", "sites", "pools"];
    for (key, _) in entries.iter().filter(|(key, _)| !SECTIONS.contains(&key.text.as_str())) {
        let hint = match nearest(&key.text, SECTIONS.iter().copied()) {
            hint if hint.is_empty() => format!("known here: {}", SECTIONS.join(", ")),
            hint => hint,
        };
        reader.problem(key.spot, format!("'{}' is not known here", key.text), hint);
    }
    let section = |name: &str| {
        let found = entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
        found.filter(|node| !yaml::is_nothing(node))
    };
    if let Some(node) = section("process") {
        read_into(&mut draft.process, node, reader);
    }
    if let Some(node) = section("log") {
        draft.process.logs.extend(form::read_list(node, reader));
    }
    reader.logs.clone_from(&draft.process.logs);
    read_names(section, reader);
    read_sites(section("sites"), draft, reader);
    read_pools(section("pools"), draft, reader);
    read_resolvers(section("resolvers"), draft, reader);
}

/// Makes the parts that have names known, then reads them all.
fn read_names<'s>(section: impl Fn(&str) -> Option<&'s Node>, reader: &mut Reader<'s>) {
    let kinds = [(Named::Users, "users"), (Named::Condition, "conditions"), (Named::Map, "maps")];
    let mut names = Vec::new();
    for (kind, name) in kinds {
        for (key, node) in named_entries(section(name), reader) {
            if kind == Named::Condition && !is_condition_name(&key.text) {
                let hint = "a name has letters, digits, '_' and '-', and is no word of the language";
                reader.problem(key.spot, format!("'{}' cannot name a condition", key.text), hint);
            }
            reader.name(kind, &key.text, node);
            names.push((kind, key));
        }
    }
    for (kind, key) in names {
        if let Err((what, hint)) = reader.named(kind, &key.text) {
            reader.problem(key.spot, what, hint);
        }
    }
}

fn is_condition_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        && !expression::is_reserved(name)
}

fn named_entries<'n>(node: Option<&'n Node>, reader: &mut Reader<'_>) -> &'n [(yaml::Key, Node)] {
    let Some(node) = node else { return &[] };
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => {
            reader.problem(node.spot, "a map of names (name: …) is expected here", "");
            &[]
        }
    }
}

fn read_sites(node: Option<&Node>, draft: &mut Draft, reader: &mut Reader<'_>) {
    for ((key, node), id) in named_entries(node, reader).iter().zip(first_id(draft)..) {
        reader.id = id;
        let mut site = Site::blank();
        if read_into(&mut site, node, reader) {
            site.place = reader.place(key.spot);
            site.name.clone_from(&key.text);
            draft.sites.push(site);
        }
    }
}

fn read_pools(node: Option<&Node>, draft: &mut Draft, reader: &mut Reader<'_>) {
    let mut ids = PoolIds::new(draft);
    for (key, node) in named_entries(node, reader) {
        reader.id = ids.next(&key.text);
        let mut pool = Pool::blank();
        if read_into(&mut pool, node, reader) {
            pool.place = reader.place(key.spot);
            pool.name.clone_from(&key.text);
            draft.pools.push(pool);
        }
    }
}

fn read_resolvers(node: Option<&Node>, draft: &mut Draft, reader: &mut Reader<'_>) {
    for (key, node) in named_entries(node, reader) {
        let mut resolvers = Resolvers::blank();
        if read_into(&mut resolvers, node, reader) {
            resolvers.place = reader.place(key.spot);
            resolvers.name.clone_from(&key.text);
            draft.resolvers.push(resolvers);
        }
    }
}

/// The numbers that pools have when they say none.
struct PoolIds {
    sites: HashMap<String, u32>,
    next: u32,
}

impl PoolIds {
    fn new(plan: &Draft) -> PoolIds {
        let by_name = plan.sites.iter().map(|site| (site.name.clone(), site.id)).collect();
        PoolIds { sites: by_name, next: first_id(plan) + plan.sites.len() as u32 }
    }

    fn next(&mut self, name: &str) -> u32 {
        if let Some(id) = self.sites.get(name) {
            return *id;
        }
        self.next += 1;
        self.next - 1
    }
}

fn write_top(plan: &Draft, writer: &mut Writer) -> Vec<(String, Out)> {
    writer.logs.clone_from(&plan.process.logs);
    let mut entries = Vec::new();
    let process = written(&plan.process, writer);
    if !process.is_empty() {
        entries.push(("process".to_owned(), Out::Map(process)));
    }
    for table in &plan.tables {
        writer.place.clone_from(&table.place);
        writer.unsaid(&format!("the stick table '{}'", table.name));
    }
    for group in &plan.peers {
        writer.place.clone_from(&group.place);
        writer.unsaid(&format!("the peers '{}'", group.name));
    }
    for site in plan.sites.iter().filter(|site| site.hosts.is_some()) {
        writer.unsaid(&format!("the virtual hosts of '{}'", site.name));
    }
    let sites = write_sites(plan, writer);
    let pools = write_pools(plan, writer);
    let resolvers = write_resolvers(plan, writer);
    entries.extend(writer.sections());
    for (name, section) in [("resolvers", resolvers), ("sites", sites), ("pools", pools)] {
        if !section.is_empty() {
            entries.push((name.to_owned(), Out::Map(section).block()));
        }
    }
    entries
}

fn write_sites(plan: &Draft, writer: &mut Writer) -> Vec<(String, Out)> {
    let mut entries = Vec::new();
    for (site, id) in plan.sites.iter().zip(first_id(plan)..) {
        writer.id = id;
        entry(&mut entries, "sites", &site.name, site, writer);
    }
    entries
}

fn write_pools(plan: &Draft, writer: &mut Writer) -> Vec<(String, Out)> {
    let mut ids = PoolIds::new(plan);
    let mut entries = Vec::new();
    for pool in &plan.pools {
        writer.id = ids.next(&pool.name);
        entry(&mut entries, "pools", &pool.name, pool, writer);
    }
    entries
}

fn write_resolvers(plan: &Draft, writer: &mut Writer) -> Vec<(String, Out)> {
    let mut entries = Vec::new();
    for resolvers in &plan.resolvers {
        entry(&mut entries, "resolvers", &resolvers.name, resolvers, writer);
    }
    entries
}

fn entry<T: Fieldset>(
    entries: &mut Vec<(String, Out)>,
    kind: &str,
    name: &str,
    part: &T,
    writer: &mut Writer,
) {
    let out = Out::Map(written(part, writer)).block();
    if entries.iter().any(|(other, _)| other == name) {
        writer.problem(format!("there are two {kind} named '{name}'"), "rename one of them");
    }
    entries.push((name.to_owned(), out));
}

/// Names of values, log fields, converters and actions, for the test of the manual.
#[cfg(test)]
fn words() -> Vec<&'static str> {
    let mut list: Vec<&str> = expression::value_names().collect();
    list.extend(values::RECORD.iter().map(|(name, _)| *name));
    list.extend(plan::rule::function_names());
    list.extend(rules::ACTIONS);
    list
}
