//! Where each kind of data lies in an entry.

use plan::table::{Counter, Datum, Form, Stored};

/// Words of an entry, by kind of data.
#[derive(Debug)]
pub struct Layout {
    stored: Vec<Stored>,
    first: Vec<usize>,
    /// Index in `stored` by datum; `u8::MAX` = not stored.
    index: [u8; Datum::ALL.len()],
    words: usize,
}

/// A place in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The first word.
    pub(crate) word: usize,
    /// How it is kept.
    pub form: Form,
    /// Period of a rate, milliseconds.
    pub period_ms: u32,
}

impl Layout {
    /// The layout of what a table stores.
    pub fn new(stored: &[Stored]) -> Layout {
        let mut layout = Layout {
            stored: stored.to_vec(),
            first: Vec::with_capacity(stored.len()),
            index: [u8::MAX; Datum::ALL.len()],
            words: 0,
        };
        for (at, one) in stored.iter().enumerate() {
            layout.first.push(layout.words);
            layout.index[one.datum as usize] = at as u8;
            layout.words += width(one.datum.form()) * usize::from(one.count);
        }
        layout
    }

    /// Words of an entry.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// What is stored, in order.
    pub fn stored(&self) -> &[Stored] {
        &self.stored
    }

    /// The place of an element; `None` when it is not stored.
    pub fn cell(&self, datum: Datum, element: u8) -> Option<Cell> {
        let at = usize::from(self.index[datum as usize]);
        let stored = self.stored.get(at)?;
        let form = datum.form();
        let inside = u16::from(element) < stored.count;
        inside.then(|| Cell {
            word: self.first[at] + width(form) * usize::from(element),
            form,
            period_ms: stored.period_ms,
        })
    }

    /// The place of a general purpose counter.
    pub(crate) fn counter(&self, counter: Counter) -> Option<Cell> {
        match counter {
            Counter::Single(n) => {
                let own = if n == 0 { Datum::Gpc0 } else { Datum::Gpc1 };
                self.cell(own, 0).or_else(|| self.cell(Datum::Gpc, n))
            }
            Counter::Element(n) => self.cell(Datum::Gpc, n),
        }
    }

    /// The place of its rate.
    pub(crate) fn counter_rate(&self, counter: Counter) -> Option<Cell> {
        match counter {
            Counter::Single(n) => {
                let own = if n == 0 { Datum::Gpc0Rate } else { Datum::Gpc1Rate };
                self.cell(own, 0).or_else(|| self.cell(Datum::GpcRate, n))
            }
            Counter::Element(n) => self.cell(Datum::GpcRate, n),
        }
    }

    /// The place of `gpt0`.
    pub(crate) fn tag(&self) -> Option<Cell> {
        self.cell(Datum::Gpt0, 0).or_else(|| self.cell(Datum::Gpt, 0))
    }
}

fn width(form: Form) -> usize {
    if form == Form::Rate { 2 } else { 1 }
}
