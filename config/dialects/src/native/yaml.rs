//! YAML text to a tree of nodes that know their places. Called by the reader.
//!
//! Size, depth and number of values are limited. Anchors, aliases and tags are refused: nothing here
//! needs them, and without them a small file cannot unfold into a large one.

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

/// Deepest nesting of lists and maps.
pub(super) const MAX_DEPTH: usize = 64;
/// Most values in a file.
const MAX_VALUES: usize = 1 << 20;
/// Longest key, characters.
const MAX_KEY: usize = 1 << 14;

/// A place in the text. Line and column count from 1, the column in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) line: u32,
    pub(super) column: u32,
    /// From the start of the text, bytes.
    pub(super) offset: usize,
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A text; every number, time or word is one until its reader knows better.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in order of the file, each key once.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) spot: Spot,
    pub(super) text: String,
}

/// What is wrong with the text.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) spot: Spot,
    pub(super) what: String,
    pub(super) hint: String,
}

/// The one value of the text, `None` when there is none, and what is wrong.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Fault>) {
    let options = granit_parser::options! { simple_key_max_lookahead: MAX_KEY, emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let starts =
        std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
    let mut builder = Builder { text, starts: starts.collect(), parser, faults: Vec::new(), values: 0 };
    let root = match builder.document() {
        Ok(root) => root,
        Err(fault) => {
            builder.faults.push(fault);
            None
        }
    };
    (root, builder.faults)
}

struct Builder<'t> {
    text: &'t str,
    /// Where the lines begin.
    starts: Vec<usize>,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    faults: Vec<Fault>,
    values: usize,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(self.fault(&span, "a second document", "a file holds one document"));
                }
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        Ok(root.filter(|node| !is_nothing(node)))
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(pair)) => Ok(Some(pair)),
            Some(Err(error)) => {
                let spot = self.spot(error.marker());
                let hint = "the indentation or a quote may be wrong here or just above".to_owned();
                Err(Fault { spot, what: format!("this is no YAML: {}", error.info()), hint })
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.fault(span, "the file holds too many values", "split it"));
        }
        if depth > MAX_DEPTH {
            return Err(self.fault(span, "lists and maps are nested too deeply", ""));
        }
        let spot = self.spot(&span.start);
        let kind = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(span, anchor != 0, tag.is_some());
                Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse(span, anchor != 0, tag.is_some());
                Kind::List(self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse(span, anchor != 0, tag.is_some());
                Kind::Map(self.map(depth)?)
            }
            _ => {
                return Err(self.fault(
                    span,
                    "anchors and aliases are not understood",
                    "write the value again",
                ));
            }
        };
        Ok(Node { spot, kind })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut list = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            list.push(self.node(event, &span, depth + 1)?);
        }
        Ok(list)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, Fault> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut first = std::collections::HashMap::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span, depth + 1)?;
            let Some((event, value)) = self.next()? else { break };
            let value = self.node(event, &value, depth + 1)?;
            let Kind::Scalar { text, .. } = key.kind else {
                self.faults.push(self.fault(&span, "a key must be a text", ""));
                continue;
            };
            if let Some(line) = first.insert(text.clone(), key.spot.line) {
                let what = format!("'{text}' stands here twice");
                self.faults.push(Fault {
                    spot: key.spot,
                    what,
                    hint: format!("the first one is in line {line}"),
                });
                continue;
            }
            entries.push((Key { spot: key.spot, text }, value));
        }
        Ok(entries)
    }

    fn refuse(&mut self, span: &Span, anchor: bool, tag: bool) {
        if anchor {
            self.faults.push(self.fault(
                span,
                "anchors and aliases are not understood",
                "write the value again",
            ));
        }
        if tag {
            self.faults.push(self.fault(
                span,
                "tags are not understood",
                "remove the word that begins with '!'",
            ));
        }
    }

    fn fault(&self, span: &Span, what: &str, hint: &str) -> Fault {
        Fault { spot: self.spot(&span.start), what: what.into(), hint: hint.into() }
    }

    fn spot(&self, marker: &granit_parser::Marker) -> Spot {
        let offset = marker.byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.starts.get(at)).copied().unwrap_or(0);
        Spot { line: line as u32, column: (offset - start) as u32 + 1, offset }
    }
}

/// True for a value that was left out: `key:` or `key: ~`.
pub(super) fn is_nothing(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar { text, plain: true } if text.is_empty() || text == "~")
}
