//! The budget of retries: a share of the requests above a floor per second. Pure; `now` comes in.

/// Retries per second that are always allowed.
const FLOOR_PER_SECOND: u64 = 10;
/// Credit of the floor kept at most, in thousandths of a retry: one second of it.
const FLOOR_CAP: u64 = FLOOR_PER_SECOND * 1000;
/// Credit of the share kept at most, in thousandths of a retry.
const SHARE_CAP: u64 = 100 * 1000;

/// Credit for retries, in thousandths of a retry.
#[derive(Debug, Default)]
pub struct Budget {
    floor: u64,
    share: u64,
    seen_ms: Option<u64>,
    seen_requests: u64,
}

impl Budget {
    /// Takes one retry out of the budget; false when there is none left. `requests` = requests so far.
    pub fn take(&mut self, percent: u32, requests: u64, now_ms: u64) -> bool {
        self.earn(percent, requests, now_ms);
        for credit in [&mut self.share, &mut self.floor] {
            if *credit >= 1000 {
                *credit -= 1000;
                return true;
            }
        }
        false
    }

    fn earn(&mut self, percent: u32, requests: u64, now_ms: u64) {
        let passed = self.seen_ms.map_or(1000, |seen| now_ms.saturating_sub(seen));
        self.floor = (self.floor + passed.min(1000) * FLOOR_PER_SECOND).min(FLOOR_CAP);
        let fresh = requests.saturating_sub(self.seen_requests);
        self.share = (self.share + fresh.saturating_mul(u64::from(percent) * 10)).min(SHARE_CAP);
        self.seen_ms = Some(now_ms);
        self.seen_requests = requests;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_is_ten_per_second() {
        let mut budget = Budget::default();
        let granted = (0..2000).filter(|ms| budget.take(20, 0, *ms)).count();
        assert_eq!(granted, 29, "10 at once, then one each 100 ms");
    }

    #[test]
    fn share_follows_the_requests() {
        let mut budget = Budget::default();
        let granted = (1..=10_000).filter(|&requests| budget.take(20, requests, 0)).count();
        assert_eq!(granted, 2000 + 10);
    }
}
