//! What all limits of a place say about a request or connection, and the lines about it.

use super::connections::{Held, Refused};
use super::rate::{self, Account, Verdict};
use super::{LONGEST_CONNECTION_KEY, LONGEST_RATE_KEY, RateZone, Zones};
use plan::Severity;
use plan::limit::{ConnectionLimit, LimitStatus, Refusal, RequestLimit};
use plan::rule::Facts;
use std::time::Duration;

/// What limits say.
#[derive(Debug, Default)]
pub struct Ruling {
    /// What became of it; `None` when nothing was counted.
    pub status: Option<LimitStatus>,
    /// How long it must wait before it goes on.
    pub wait: Option<Duration>,
    /// Status of the answer when it is refused.
    pub refused: Option<u16>,
    /// What to say about it.
    pub lines: Vec<Line>,
}

/// A line for the error log, without its context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How bad.
    pub level: Severity,
    /// The text.
    pub text: String,
}

impl Zones {
    /// What the rates of a place say about a request, which is counted unless it is refused. `now` in
    /// milliseconds on one scale for all workers, never 0.
    pub fn request(&self, limits: &[RequestLimit], refusal: &Refusal, facts: &dyn Facts, now: u64) -> Ruling {
        let mut ruling = Ruling::default();
        let keyed = self.rate_keys(limits, facts, &mut ruling);
        if keyed.is_empty() {
            return ruling;
        }
        let accounts: Vec<Account<'_>> = keyed.iter().map(Keyed::account).collect();
        match rate::judge(&accounts, now) {
            Verdict::Passed => ruling.status = Some(LimitStatus::Passed),
            Verdict::Delayed { wait, excess, by } => {
                ruling.delayed(refusal, wait, &excess_text(excess), &keyed[by].zone.plan.name);
            }
            Verdict::Refused { excess, by } => {
                let name = &keyed[by].zone.plan.name;
                let excess = excess_text(excess);
                let text = format!("limiting requests{}, excess: {excess} by zone \"{name}\"", dry(refusal));
                ruling.refused(refusal, Some(Line { level: refusal.level, text }));
            }
            Verdict::Full { by } => {
                let text =
                    format!("could not allocate node in limit_req zone \"{}\"", keyed[by].zone.plan.name);
                ruling.refused(refusal, Some(Line { level: Severity::Alert, text }));
            }
        }
        ruling
    }

    /// The zones that count this request, and its keys there.
    fn rate_keys<'z>(
        &'z self,
        limits: &'z [RequestLimit],
        facts: &dyn Facts,
        ruling: &mut Ruling,
    ) -> Vec<Keyed<'z>> {
        let mut keyed = Vec::with_capacity(limits.len());
        for limit in limits {
            let Some(zone) = self.rates.get(&limit.zone) else { continue };
            let key = zone.plan.key.template.text(facts);
            match key.len() {
                0 => {}
                1..=LONGEST_RATE_KEY => keyed.push(Keyed { zone, limit, key }),
                _ => ruling.lines.push(too_long(&zone.plan.key.said, LONGEST_RATE_KEY, &key)),
            }
        }
        keyed
    }

    /// What the numbers at once of a place say. What is let in is counted in `held` until that is dropped.
    pub fn connection(
        &self,
        limits: &[ConnectionLimit],
        refusal: &Refusal,
        facts: &dyn Facts,
        held: &mut Vec<Held>,
    ) -> Ruling {
        let mut ruling = Ruling::default();
        let before = held.len();
        for limit in limits {
            let Some(zone) = self.connections.get(&limit.zone) else { continue };
            let key = zone.plan.key.template.text(facts);
            match key.len() {
                0 => continue,
                1..=LONGEST_CONNECTION_KEY => ruling.status = Some(LimitStatus::Passed),
                _ => {
                    ruling.lines.push(too_long(&zone.plan.key.said, LONGEST_CONNECTION_KEY, &key));
                    continue;
                }
            }
            match zone.counts.hold(&key, limit.most) {
                Ok(one) => held.push(one),
                Err(why) => {
                    held.truncate(before);
                    ruling.refused(refusal, refused_line(why, refusal, &limit.zone));
                    return ruling;
                }
            }
        }
        ruling
    }
}

/// A limit, its zone and the key in it.
struct Keyed<'z> {
    zone: &'z RateZone,
    limit: &'z RequestLimit,
    key: Vec<u8>,
}

impl Keyed<'_> {
    fn account(&self) -> Account<'_> {
        Account {
            rates: &self.zone.counts,
            key: &self.key,
            rate: self.zone.plan.rate,
            burst: self.limit.burst,
            delay: self.limit.delay,
        }
    }
}

impl Ruling {
    fn delayed(&mut self, refusal: &Refusal, wait: u64, excess: &str, zone: &str) {
        let text = format!("delaying request{}, excess: {excess}, by zone \"{zone}\"", dry(refusal));
        self.lines.push(Line { level: refusal.delay_level(), text });
        if refusal.dry_run {
            self.status = Some(LimitStatus::DelayedDryRun);
        } else {
            self.status = Some(LimitStatus::Delayed);
            self.wait = Some(Duration::from_millis(wait));
        }
    }

    fn refused(&mut self, refusal: &Refusal, line: Option<Line>) {
        self.lines.extend(line);
        if refusal.dry_run {
            self.status = Some(LimitStatus::RejectedDryRun);
        } else {
            self.status = Some(LimitStatus::Rejected);
            self.refused = Some(refusal.status);
        }
    }
}

fn refused_line(why: Refused, refusal: &Refusal, zone: &str) -> Option<Line> {
    let dry = if refusal.dry_run { ", dry run," } else { "" };
    match why {
        Refused::TooMany => {
            Some(Line { level: refusal.level, text: format!("limiting connections{dry} by zone \"{zone}\"") })
        }
        Refused::Full => Some(Line {
            level: Severity::Alert,
            text: format!("could not allocate node in limit_conn zone \"{zone}\""),
        }),
    }
}

fn dry(refusal: &Refusal) -> &'static str {
    if refusal.dry_run { ", dry run" } else { "" }
}

fn excess_text(excess: u64) -> String {
    format!("{}.{:03}", excess / 1000, excess % 1000)
}

/// Says that a key is too long, with its beginning.
fn too_long(said: &str, most: usize, key: &[u8]) -> Line {
    let beginning = String::from_utf8_lossy(&key[..key.len().min(256)]).into_owned();
    let text = format!("the value of the \"{said}\" key is more than {most} bytes: \"{beginning}\"");
    Line { level: Severity::Error, text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plan::limit::ZoneKey;
    use plan::rule::{Expr, Fetch, HeaderFetch, Occurrence, Piece, Style, Template, Value};
    use plan::{ConnectionZone, Place};
    use std::ops::ControlFlow;

    /// The key is the client's word.
    struct Said(Vec<u8>);

    impl Facts for Said {
        fn each(&self, _: &Fetch, each: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>) {
            let _ = each(Value::text(&self.0));
        }
    }

    fn key(size: u64) -> ZoneKey {
        let header = HeaderFetch { name: "k".into(), occurrence: Occurrence::Any, whole_line: true };
        let piece = Piece::Value(Expr::of(Fetch::Header(header)), Style::default());
        ZoneKey { template: Template(vec![piece]), said: "$http_k".into(), size }
    }

    fn zones(previous: Option<&Zones>, rate: u32, size: u64) -> Zones {
        let (name, place, key) = ("one".into(), Place::none(), key(size));
        let rates = [plan::RateZone { name, place: place.clone(), key: key.clone(), rate }];
        Zones::build(&rates, &[ConnectionZone { name: "many".into(), place, key }], previous)
    }

    fn rate(burst: u64, delay: u64) -> [RequestLimit; 1] {
        [RequestLimit { zone: "one".into(), place: Place::none(), burst, delay }]
    }

    fn most(most: u32) -> [ConnectionLimit; 1] {
        [ConnectionLimit { zone: "many".into(), place: Place::none(), most }]
    }

    fn texts(ruling: &Ruling) -> Vec<(Severity, &str)> {
        ruling.lines.iter().map(|line| (line.level, line.text.as_str())).collect()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn requests_pass_wait_and_are_refused_with_a_line() {
        let (zones, refusal, who) = (zones(None, 2000, MIB), Refusal::default(), Said(b"a".into()));
        let ask = |now| zones.request(&rate(1000, 0), &refusal, &who, now);
        assert_eq!(ask(1000).status, Some(LimitStatus::Passed));
        let second = ask(1100);
        assert_eq!(
            (second.status, second.wait),
            (Some(LimitStatus::Delayed), Some(Duration::from_millis(400)))
        );
        let line = "delaying request, excess: 0.800, by zone \"one\"";
        assert_eq!(texts(&second), [(Severity::Warning, line)]);
        let third = ask(1100);
        assert_eq!((third.status, third.refused), (Some(LimitStatus::Rejected), Some(503)));
        assert_eq!(texts(&third), [(Severity::Error, "limiting requests, excess: 1.800 by zone \"one\"")]);
    }

    #[test]
    fn a_dry_run_only_says_so() {
        let refusal = Refusal { dry_run: true, level: Severity::Notice, ..Refusal::default() };
        let (zones, who) = (zones(None, 2000, MIB), Said(b"a".into()));
        let ask = |burst| zones.request(&rate(burst, 0), &refusal, &who, 1000);
        assert_eq!(ask(2000).status, Some(LimitStatus::Passed));
        let second = ask(2000);
        assert_eq!((second.status, second.wait), (Some(LimitStatus::DelayedDryRun), None));
        let line = "delaying request, dry run, excess: 1.000, by zone \"one\"";
        assert_eq!(texts(&second), [(Severity::Info, line)]);
        let third = ask(0);
        assert_eq!((third.status, third.refused), (Some(LimitStatus::RejectedDryRun), None));
        let line = "limiting requests, dry run, excess: 2.000 by zone \"one\"";
        assert_eq!(texts(&third), [(Severity::Notice, line)]);
    }

    #[test]
    fn empty_and_endless_keys_are_not_counted() {
        let (zones, refusal) = (zones(None, 1, MIB), Refusal::default());
        for _ in 0..3 {
            let ruling = zones.request(&rate(0, 0), &refusal, &Said(Vec::new()), 5);
            assert_eq!((ruling.status, ruling.lines.len()), (None, 0));
            let ruling = zones.request(&rate(0, 0), &refusal, &Said(vec![b'x'; 65_536]), 5);
            assert_eq!((ruling.status, ruling.lines.len()), (None, 1));
            let mut held = Vec::new();
            let ruling = zones.connection(&most(1), &refusal, &Said(vec![b'x'; 256]), &mut held);
            assert_eq!((ruling.status, ruling.lines.len(), held.len()), (None, 1, 0));
        }
    }

    #[test]
    fn connections_are_counted_while_they_are_held() {
        let (zones, refusal, who) = (zones(None, 1, MIB), Refusal::default(), Said(b"a".into()));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let ruling = zones.connection(&most(1), &refusal, &who, &mut first);
        assert_eq!((ruling.status, first.len()), (Some(LimitStatus::Passed), 1));
        let ruling = zones.connection(&most(1), &refusal, &who, &mut second);
        assert_eq!(
            (ruling.status, ruling.refused, second.len()),
            (Some(LimitStatus::Rejected), Some(503), 0)
        );
        assert_eq!(texts(&ruling), [(Severity::Error, "limiting connections by zone \"many\"")]);
        let dry = Refusal { dry_run: true, ..refusal };
        let ruling = zones.connection(&most(1), &dry, &who, &mut second);
        assert_eq!((ruling.status, ruling.refused), (Some(LimitStatus::RejectedDryRun), None));
        assert_eq!(texts(&ruling), [(Severity::Error, "limiting connections, dry run, by zone \"many\"")]);
        first.clear();
        assert_eq!(zones.connection(&most(1), &refusal, &who, &mut second).status, Some(LimitStatus::Passed));
    }

    #[test]
    fn a_reload_goes_on_counting_when_key_and_size_stay() {
        let (refusal, who) = (Refusal::default(), Said(b"a".into()));
        let before = zones(None, 1, MIB);
        let mut held = Vec::new();
        before.request(&rate(0, 0), &refusal, &who, 5);
        before.connection(&most(1), &refusal, &who, &mut held);
        let after = zones(Some(&before), 2, MIB);
        assert_eq!(after.request(&rate(0, 0), &refusal, &who, 5).refused, Some(503));
        assert_eq!(after.connection(&most(1), &refusal, &who, &mut Vec::new()).refused, Some(503));
        held.clear();
        assert_eq!(after.connection(&most(1), &refusal, &who, &mut Vec::new()).refused, None);
        let other = zones(Some(&before), 2, 2 * MIB);
        assert_eq!(other.request(&rate(0, 0), &refusal, &who, 5).refused, None);
    }
}
