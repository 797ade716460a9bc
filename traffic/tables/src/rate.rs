//! Events in the last period, from two counters: this period's and the one's before.

/// A rate: what was counted in this period and in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// When this period began, milliseconds.
    pub began: u64,
    /// Events in it.
    pub current: u32,
    /// Events in the one before.
    pub previous: u32,
}

impl Rate {
    /// From its two words in an entry.
    pub(crate) fn from_words(words: [u64; 2]) -> Rate {
        Rate { began: words[0], current: (words[1] >> 32) as u32, previous: words[1] as u32 }
    }

    /// Its two words.
    pub(crate) fn words(self) -> [u64; 2] {
        [self.began, u64::from(self.current) << 32 | u64::from(self.previous)]
    }

    /// Counts `by` events.
    pub fn add(&mut self, by: u32, period_ms: u32, now: u64) {
        let period = u64::from(period_ms.max(1));
        let age = now.saturating_sub(self.began);
        if age < period {
            self.current = self.current.saturating_add(by);
            return;
        }
        if age < 2 * period {
            self.previous = self.current;
            self.began += period;
        } else {
            self.previous = 0;
            self.began = now;
        }
        self.current = by;
    }

    /// Events in the period that ends now: all of the current ones, and of those before the share that
    /// still lies in it.
    pub fn read(&self, period_ms: u32, now: u64) -> u64 {
        let period = u64::from(period_ms.max(1));
        let age = now.saturating_sub(self.began);
        let (current, past, left) = if age <= period {
            (u64::from(self.current), u64::from(self.previous), period - age)
        } else if age <= 2 * period {
            (0, u64::from(self.current), 2 * period - age)
        } else {
            (0, 0, 0)
        };
        // One event does not flicker while it fades.
        if current == 0 && past <= 1 {
            return past;
        }
        current + past * left / period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_fade_over_the_period_after_theirs() {
        let mut rate = Rate::default();
        for _ in 0..10 {
            rate.add(1, 1000, 100_000);
        }
        for (now, expected) in [
            (100_000, 10),
            (100_900, 10),
            (101_000, 10),
            (101_500, 5),
            (101_900, 1),
            (102_000, 0),
            (200_000, 0),
        ] {
            assert_eq!(rate.read(1000, now), expected, "at {now}");
        }
        rate.add(4, 1000, 101_500);
        assert_eq!(rate.read(1000, 101_500), 4 + 5);
        assert_eq!(rate.read(1000, 101_900), 4 + 1);
        rate.add(1, 1000, 500_000);
        assert_eq!(rate, Rate { began: 500_000, current: 1, previous: 0 });
    }

    #[test]
    fn words_keep_it() {
        let rate = Rate { began: 7, current: u32::MAX, previous: 3 };
        assert_eq!(Rate::from_words(rate.words()), rate);
    }
}
