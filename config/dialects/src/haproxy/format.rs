//! Log formats and the texts of rules: `%ci`, `%{+Q}r`, `%[req.hdr(host),lower]`, `%%`.

use super::said::{Done, Said};
use super::sample;
use super::scene::{Phase, Scene};
use crate::formats::LOG_STYLE;
use plan::rule::{Expr, Fetch, Piece, RecordField, Style, Template, Value};

/// Line of `option httplog clf`.
pub(super) const CLF_LOG: &str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta \
     %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";

/// `option httpslog`: behind the HTTP line, what a connection without TLS says of it.
pub(super) const HTTPS_LOG: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
     %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r 0/-/-/-/0 -/-/-";

/// Short names behind `%` and the field they stand for.
const FIELDS: &[(&str, RecordField)] = &[
    ("B", RecordField::BytesOut),
    ("CC", RecordField::RequestCookie),
    ("CS", RecordField::ResponseCookie),
    ("H", RecordField::Hostname),
    ("HM", RecordField::Method),
    ("HP", RecordField::TargetPath),
    ("HPO", RecordField::Path),
    ("HQ", RecordField::Query),
    ("HU", RecordField::Target),
    ("HV", RecordField::Version),
    ("ID", RecordField::UniqueId),
    ("ST", RecordField::Status),
    ("T", RecordField::AcceptDateUtc),
    ("Ta", RecordField::ActiveTime),
    ("Tc", RecordField::ConnectTime),
    ("Td", RecordField::DataTime),
    ("Th", RecordField::HandshakeTime),
    ("Ti", RecordField::IdleTime),
    ("Tl", RecordField::AcceptDateZone),
    ("Tq", RecordField::FullRequestTime),
    ("TR", RecordField::RequestTime),
    ("Tr", RecordField::ResponseTime),
    ("Ts", RecordField::AcceptSeconds),
    ("Tt", RecordField::TotalTime),
    ("Tu", RecordField::UserTime),
    ("Tw", RecordField::QueueTime),
    ("U", RecordField::BytesIn),
    ("ac", RecordField::ProcessConnections),
    ("b", RecordField::PoolName),
    ("bc", RecordField::PoolConnections),
    ("bi", RecordField::PoolAddress),
    ("bp", RecordField::PoolPort),
    ("bq", RecordField::PoolQueue),
    ("ci", RecordField::ClientAddress),
    ("cp", RecordField::ClientPort),
    ("f", RecordField::SiteName),
    ("fc", RecordField::SiteConnections),
    ("fi", RecordField::SiteAddress),
    ("fp", RecordField::SitePort),
    ("ft", RecordField::SiteNameMarked),
    ("hr", RecordField::RequestHeaders),
    ("hrl", RecordField::RequestHeaderList),
    ("hs", RecordField::ResponseHeaders),
    ("hsl", RecordField::ResponseHeaderList),
    ("ms", RecordField::AcceptMilliseconds),
    ("pid", RecordField::ProcessId),
    ("r", RecordField::RequestLine),
    ("rc", RecordField::Retries),
    ("rt", RecordField::RequestCounter),
    ("s", RecordField::ServerName),
    ("sc", RecordField::ServerConnections),
    ("si", RecordField::ServerAddress),
    ("sp", RecordField::ServerPort),
    ("sq", RecordField::ServerQueue),
    ("t", RecordField::AcceptDate),
    ("tr", RecordField::RequestDate),
    ("trg", RecordField::RequestDateUtc),
    ("trl", RecordField::RequestDateZone),
    ("ts", RecordField::Termination),
    ("tsc", RecordField::TerminationWithCookie),
];

/// Short names that are known and not there yet.
const NOT_YET: &[(&str, &str)] = &[
    ("lc", "%rt counts the requests of the process"),
    ("OG", "the state letters %ts say where the line comes from"),
];

/// Short names about encryption towards the client: nothing on the connections we have.
const OF_TLS: &[&str] = &["sslc", "sslv"];

/// Reads the text of a rule, a redirect, a header. Values that are not there leave nothing.
pub(super) fn text(scene: &Scene<'_, '_>, bytes: &[u8], phase: Phase) -> Done<Template> {
    Formatter::new(bytes, phase, Style::default()).read(scene)
}

/// Reads a log line. Values that are not there leave a `-`; nothing in them can forge a line.
pub(super) fn log_line(scene: &Scene<'_, '_>, bytes: &[u8]) -> Done<Template> {
    let mut template = Formatter::new(bytes, Phase::Log, LOG_STYLE).read(scene)?;
    merge_spaces(&mut template);
    Ok(template)
}

/// Reads the format of unique ids: spaces are merged as in log lines.
pub(super) fn unique_id(scene: &Scene<'_, '_>, bytes: &[u8]) -> Done<Template> {
    let mut template = text(scene, bytes, Phase::Request)?;
    merge_spaces(&mut template);
    Ok(template)
}

struct Formatter<'t> {
    bytes: &'t [u8],
    at: usize,
    phase: Phase,
    style: Style,
    fixed: Vec<u8>,
    pieces: Vec<Piece>,
}

impl<'t> Formatter<'t> {
    fn new(bytes: &'t [u8], phase: Phase, style: Style) -> Formatter<'t> {
        Formatter { bytes, at: 0, phase, style, fixed: Vec::new(), pieces: Vec::new() }
    }

    fn read(mut self, scene: &Scene<'_, '_>) -> Done<Template> {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            if byte == b'%' {
                self.percent(scene)?;
            } else {
                self.fixed.push(byte);
            }
        }
        self.end_fixed();
        Ok(Template(self.pieces))
    }

    fn percent(&mut self, scene: &Scene<'_, '_>) -> Done {
        if self.bytes.get(self.at) == Some(&b'%') {
            self.fixed.push(b'%');
            self.at += 1;
            return Ok(());
        }
        let flags = self.flags()?;
        if self.bytes.get(self.at) == Some(&b'[') {
            return self.expression(scene, &flags);
        }
        let length = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        let name = String::from_utf8_lossy(&self.bytes[self.at..self.at + length]).into_owned();
        self.at += length;
        if name == "o" {
            self.style = self.apply(&flags)?;
            return Ok(());
        }
        self.alias(&name, &flags)
    }

    /// Letters between the braces of `%{+Q,-X}`.
    fn flags(&mut self) -> Done<Vec<u8>> {
        if self.bytes.get(self.at) != Some(&b'{') {
            return Ok(Vec::new());
        }
        let rest = &self.bytes[self.at + 1..];
        let end = rest.iter().position(|b| *b == b'}').ok_or_else(|| Said::new("'%{' has no '}'"))?;
        self.at += end + 2;
        Ok(rest[..end].to_vec())
    }

    fn apply(&self, flags: &[u8]) -> Done<Style> {
        let mut style = self.style;
        let mut on = true;
        for flag in flags {
            match flag {
                b'+' => on = true,
                b'-' => on = false,
                b' ' | b',' => {}
                b'Q' => style.quoted = on,
                b'E' => style.escaped = on,
                b'X' => style.hex = on,
                b'M' => style.dash = on,
                other => {
                    return Err(Said::new(format!("unknown flag '{}' in '%{{…}}'", char::from(*other)))
                        .hint("the flags are +Q (quotes), +X (hexadecimal), +E (escapes)"));
                }
            }
        }
        Ok(style)
    }

    fn expression(&mut self, scene: &Scene<'_, '_>, flags: &[u8]) -> Done {
        let start = self.at + 1;
        let blanks = self.bytes[start..].iter().take_while(|b| **b == b' ').count();
        let (found, mut end) = sample::read(scene, self.bytes, start + blanks)?;
        end += self.bytes[end..].iter().take_while(|b| **b == b' ').count();
        if self.bytes.get(end) != Some(&b']') {
            return Err(Said::new(format!("'%[{}' has no ']'", found.name)));
        }
        sample::check_phase(&found, self.phase)?;
        let style = self.apply(flags)?;
        self.push(found.expr, style);
        self.at = end + 1;
        Ok(())
    }

    fn alias(&mut self, name: &str, flags: &[u8]) -> Done {
        if OF_TLS.contains(&name) {
            let style = self.apply(flags)?;
            self.push(Expr::of(Fetch::Constant(Value::Text(Vec::new().into()))), style);
            return Ok(());
        }
        let Some((_, field)) = FIELDS.iter().find(|(n, _)| *n == name) else {
            return Err(unknown_alias(name));
        };
        let mut style = self.apply(flags)?;
        // A target without a query leaves nothing, not a dash.
        style.dash &= *field != RecordField::Query;
        if self.phase == Phase::Log {
            self.push(Expr::of(Fetch::Record(*field)), style);
            return Ok(());
        }
        if *field == RecordField::Version {
            self.fixed.extend_from_slice(b"HTTP/");
        }
        self.push(Expr::of(live(*field)), style);
        Ok(())
    }

    fn push(&mut self, expr: Expr, style: Style) {
        self.end_fixed();
        self.pieces.push(Piece::Value(expr, style));
    }

    fn end_fixed(&mut self) {
        if !self.fixed.is_empty() {
            self.pieces.push(Piece::Text(std::mem::take(&mut self.fixed).into_boxed_slice()));
        }
    }
}

/// What gives a field while the request is still on its way; the record itself is for logs.
fn live(field: RecordField) -> Fetch {
    match field {
        RecordField::ClientAddress => Fetch::ClientAddress,
        RecordField::ClientPort => Fetch::ClientPort,
        RecordField::SiteAddress => Fetch::LocalAddress,
        RecordField::SitePort => Fetch::LocalPort,
        RecordField::SiteName => Fetch::SiteName,
        RecordField::PoolName => Fetch::PoolName,
        RecordField::ServerName => Fetch::ServerName,
        RecordField::Method => Fetch::Method,
        RecordField::Path | RecordField::TargetPath => Fetch::Path,
        RecordField::Target => Fetch::Target,
        RecordField::Version => Fetch::Version,
        RecordField::Status => Fetch::Status,
        other => Fetch::Record(other),
    }
}

fn unknown_alias(name: &str) -> Said {
    if let Some((_, hint)) = NOT_YET.iter().find(|(known, _)| *known == name) {
        return Said::not_yet(format!("'%{name}'")).hint(*hint);
    }
    if name.is_empty() {
        return Said::new("a lone '%' in a text with values").hint("write '%%' for a percent sign");
    }
    Said::new(format!("'%{name}' is no value")).hint("write '%%' for a percent sign")
}

/// Several spaces count as one and those in front as none: they come from escaped blanks between values.
fn merge_spaces(template: &mut Template) {
    let mut after_space = true;
    for piece in &mut template.0 {
        match piece {
            Piece::Text(text) => {
                let mut merged = Vec::with_capacity(text.len());
                for byte in text.iter() {
                    if *byte != b' ' || !after_space {
                        merged.push(*byte);
                    }
                    after_space = *byte == b' ';
                }
                *text = merged.into_boxed_slice();
            }
            Piece::Value(..) => after_space = false,
        }
    }
    template.0.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
}
