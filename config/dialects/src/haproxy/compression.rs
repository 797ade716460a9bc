//! `compression …`: bodies that are compressed on their way.

use super::proxy::needs_http;
use super::said::{Cursor, Done, Said};
use super::scene::{Kind, Scene};
use plan::compression::{Coding, Compression, Squeeze};

/// What the lines of a section have said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    said: Compression,
    /// `direction`, or the filters `comp-req` and `comp-res`: requests and responses.
    directions: Option<(bool, bool)>,
}

impl Settings {
    /// What is compressed; `None` = nothing.
    pub(super) fn compression(&self) -> Option<Compression> {
        let (requests, responses) = self.directions.unwrap_or((false, true));
        let mut meant = self.said.clone();
        if !requests {
            meant.requests = Squeeze::default();
        }
        if !responses {
            meant.responses = Squeeze::default();
        }
        let nothing = meant.requests.codings.is_empty() && meant.responses.codings.is_empty();
        (!nothing).then_some(meant)
    }

    /// A filter asks for these directions.
    pub(super) fn direct(&mut self, requests: bool, responses: bool) {
        let before = self.directions.unwrap_or_default();
        self.directions = Some((before.0 | requests, before.1 | responses));
    }
}

/// `compression algo|algo-req|algo-res|type|type-req|type-res|minsize-req|minsize-res|offload|direction …`.
pub(super) fn compression(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    const WORDS: &str =
        "algo, algo-req, algo-res, type, type-req, type-res, minsize-req, minsize-res, offload or direction";
    let word = cursor.text(WORDS)?;
    let said = &mut scene.proxy.compression.said;
    match word {
        "algo" | "algo-res" => said.responses.codings = codings(cursor)?,
        "algo-req" => {
            let word = cursor.text(CODINGS)?;
            said.requests.codings = vec![coding(word, cursor)?];
        }
        "type" | "type-res" => said.responses.types.extend(types(cursor)?),
        "type-req" => said.requests.types.extend(types(cursor)?),
        "minsize-req" => said.requests.least_bytes = cursor.size()?,
        "minsize-res" => said.responses.least_bytes = cursor.size()?,
        "offload" if scene.proxy.kind == Kind::Defaults => {
            scene.warn("'compression offload' is ignored in a defaults section".to_owned());
        }
        "offload" => said.offload = true,
        "direction" => scene.proxy.compression.directions = Some(direction(cursor)?),
        other => return Err(cursor.wrong(other, WORDS)),
    }
    needs_http(scene, cursor, "compression");
    cursor.end()
}

const CODINGS: &str = "gzip, deflate, raw-deflate or identity";

fn codings(cursor: &mut Cursor<'_>) -> Done<Vec<Coding>> {
    let mut all = Vec::new();
    while let Some(word) = cursor.next() {
        all.push(coding(&word.text, cursor)?);
    }
    if all.is_empty() { Err(Said::new(format!("'compression algo' needs {CODINGS}"))) } else { Ok(all) }
}

fn coding(word: &str, cursor: &Cursor<'_>) -> Done<Coding> {
    Ok(match word {
        "identity" => Coding::Identity,
        "gzip" => Coding::Gzip,
        "deflate" => Coding::Deflate,
        "raw-deflate" => Coding::RawDeflate,
        other => return Err(cursor.wrong(other, CODINGS)),
    })
}

fn types(cursor: &mut Cursor<'_>) -> Done<Vec<String>> {
    let mut all = Vec::new();
    while let Some(word) = cursor.next() {
        all.push(word.text.clone());
    }
    if all.is_empty() { Err(Said::new("'compression type' needs content types")) } else { Ok(all) }
}

fn direction(cursor: &mut Cursor<'_>) -> Done<(bool, bool)> {
    Ok(match cursor.text("request, response or both")? {
        "request" => (true, false),
        "response" => (false, true),
        "both" => (true, true),
        other => return Err(cursor.wrong(other, "request, response or both")),
    })
}

/// `filter NAME …`: those that do nothing but compress.
pub(super) fn filter(scene: &mut Scene<'_, '_>, cursor: &mut Cursor<'_>) -> Done {
    let at = cursor.at;
    match cursor.text("compression, comp-req or comp-res")? {
        "compression" => {}
        "comp-req" => scene.proxy.compression.direct(true, false),
        "comp-res" => scene.proxy.compression.direct(false, true),
        other => {
            return Err(Said::not_yet(format!("'filter {other}'"))
                .hint("of the filters, those that compress are there")
                .at(at));
        }
    }
    cursor.end()
}
