//! Choosing as arithmetic: sequences by weight, the hash ring, load bounds. Pure: no clock, no servers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Above this many steps a static round is made the quick way.
const MAX_STEPS: usize = 8_000_000;

/// Numbers of points set aside for each server on the ring: the largest weight, in sixteenths.
const POINTS_PER_SERVER: u32 = 256 * 16;

/// Divides all weights by what they have in common. Weights of zero stay zero.
pub fn reduce(weights: &mut [u32]) {
    let common = weights.iter().copied().fold(0, common_divisor);
    if common > 1 {
        weights.iter_mut().for_each(|w| *w /= common);
    }
}

/// One round in which each index appears as often as its weight says, in HAProxy's order for its static
/// tables: a hash modulo the length of the round leads to the same server. Takes n steps per place.
pub fn static_round(weights: &[u32]) -> Vec<u32> {
    let total: usize = weights.iter().map(|&w| w as usize).sum();
    if weights.iter().all(|&w| w == 1) {
        (0..index(weights.len())).collect()
    } else if total.saturating_mul(weights.len()) > MAX_STEPS {
        due_round(weights)
    } else {
        interleave(weights, total)
    }
}

/// One round in which each index appears as often as its weight says, the heaviest first, in HAProxy's
/// order for round robin: each is due again after total / weight places, newcomers fill the holes.
pub fn due_round(weights: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let mut newcomers: Vec<u32> = (0..index(weights.len())).filter(|&at| weights[at as usize] > 0).collect();
    // Taken from the end: the heaviest, among equals the first of the file.
    newcomers.sort_by_key(|&at| (weights[at as usize], Reverse(at)));
    let mut left = weights.to_vec();
    let mut line: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut round = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for place in 0..total {
        let waits = line.peek().is_some_and(|Reverse(due)| due.place <= place);
        let chosen = if waits { None } else { newcomers.pop().map(|at| Due::new(at, place)) };
        let Some(due) = chosen.or_else(|| line.pop().map(|Reverse(due)| due)) else { break };
        round.push(due.at);
        left[due.at as usize] -= 1;
        if left[due.at as usize] > 0 {
            line.push(Reverse(due.again(weights[due.at as usize], total, place)));
        }
    }
    round
}

/// When an index is due, in places and parts of a place. Sorts by the place, then by what is left of the
/// interval, then by who stands in line for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    place: u64,
    slack: i64,
    since: u64,
    rest: u64,
    at: u32,
}

impl Due {
    fn new(at: u32, place: u64) -> Due {
        Due { place, slack: 0, since: 0, rest: 0, at }
    }

    fn again(self, weight: u32, total: u64, now: u64) -> Due {
        let weight = u64::from(weight.max(1));
        let rest = self.rest + total % weight;
        let (carry, rest) = (rest / weight, rest % weight);
        let slack = i64::try_from(rest).unwrap_or(0) - i64::try_from(weight).unwrap_or(0);
        Due { place: self.place + total / weight + carry, slack, since: now, rest, at: self.at }
    }
}

/// Each step every index gains its weight; the first one in the highest whole class pays the total.
fn interleave(weights: &[u32], total: usize) -> Vec<u32> {
    let total_score = i64::try_from(total).unwrap_or(i64::MAX);
    let mut scores = vec![0_i64; weights.len()];
    let step = |_| {
        let mut best: Option<(i64, usize)> = None;
        for (at, score) in scores.iter_mut().enumerate() {
            *score += i64::from(weights[at]);
            let class = (*score + total_score) / total_score;
            if weights[at] > 0 && best.is_none_or(|(highest, _)| class > highest) {
                best = Some((class, at));
            }
        }
        let chosen = best.map_or(0, |(_, at)| at);
        scores[chosen] -= total_score;
        index(chosen)
    };
    (0..total).map(step).collect()
}

/// Points of servers on a circle of hashes: when a server leaves, only its keys move.
#[derive(Debug, Default)]
pub struct Ring(Vec<(u32, u32)>);

impl Ring {
    /// Places each index with so many points (its weight); `seed` is a lasting number of the server.
    pub fn new(servers: impl IntoIterator<Item = (u32, u32)>) -> Ring {
        let mut points = Vec::new();
        for (at, (seed, weight)) in servers.into_iter().enumerate() {
            points.extend(
                (0..weight).map(|n| (crate::hash::avalanche(seed * POINTS_PER_SERVER + n), index(at))),
            );
        }
        points.sort_unstable();
        Ring(points)
    }

    /// Indices from the point nearest to `hash` onwards; an index comes once for each of its points.
    pub fn walk(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        let from = self.nearest(hash);
        (0..self.0.len()).map(move |n| self.0[(from + n) % self.0.len()].1 as usize)
    }

    fn nearest(&self, hash: u32) -> usize {
        let points = &self.0;
        if points.is_empty() {
            return 0;
        }
        let next = points.partition_point(|&(point, _)| point < hash) % points.len();
        let before = (next + points.len() - 1) % points.len();
        let behind = hash.wrapping_sub(points[before].0);
        let ahead = points[next].0.wrapping_sub(hash);
        if behind <= ahead { before } else { next }
    }
}

/// Load of a server for comparing: requests per weight, as if one more came. An idle server has none.
pub fn load(in_flight: u32, weight: u32) -> u64 {
    match in_flight {
        0 => 0,
        n => (u64::from(n) + 1) * 65_536 / u64::from(weight.max(1)),
    }
}

/// How many requests a server may hold when no one may be above `percent` of the average load.
pub fn bounded_load(in_flight: u64, weight: u32, total_weight: u64, percent: u32) -> u64 {
    let share = u128::from(in_flight + 1) * u128::from(weight) * u128::from(percent);
    let cap = share.div_ceil(u128::from(total_weight.max(1)) * 100);
    u64::try_from(cap).unwrap_or(u64::MAX)
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Servers of a pool are counted with 32 bits.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(weights: &[u32], fixed: &[u32], due: &[u32]) {
        assert_eq!(static_round(weights), fixed, "{weights:?}");
        assert_eq!(due_round(weights), due, "{weights:?}");
    }

    #[test]
    fn rounds() {
        check(&[1, 1, 1], &[0, 1, 2], &[0, 1, 2]);
        check(&[], &[], &[]);
        check(&[2, 1], &[0, 0, 1], &[0, 0, 1]);
        check(&[3, 1, 2, 5], &[0, 1, 3, 0, 3, 2, 3, 0, 3, 2, 3], &[3, 0, 3, 2, 3, 0, 3, 1, 0, 2, 3]);
        check(&[0, 1], &[1], &[1]);
    }

    #[test]
    fn each_appears_as_often_as_its_weight_says() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let weights: Vec<u32> = (0..random.usize(1..12)).map(|_| random.u32(0..40)).collect();
            let total = weights.iter().sum::<u32>() as usize;
            for round in [interleave(&weights, total), due_round(&weights)] {
                for (at, &weight) in weights.iter().enumerate() {
                    let seen = round.iter().filter(|&&i| i as usize == at).count();
                    assert_eq!(seen, weight as usize, "{weights:?}");
                }
            }
        }
    }

    #[test]
    fn weights_are_reduced() {
        let mut weights = [32, 16, 48, 0];
        reduce(&mut weights);
        assert_eq!(weights, [2, 1, 3, 0]);
    }

    #[test]
    fn few_keys_move_on_the_ring_when_a_server_leaves() {
        let all = Ring::new((1..=5).map(|id| (id, 160)));
        let less = Ring::new((1..=4).map(|id| (id, 160)));
        let first = |ring: &Ring, key: u32| ring.walk(crate::hash::avalanche(key)).next();
        let moved = (0..10_000).filter(|&key| first(&all, key) != first(&less, key)).count();
        let of_the_fifth = (0..10_000).filter(|&key| first(&all, key) == Some(4)).count();
        assert_eq!(moved, of_the_fifth);
        assert!((1000..3000).contains(&of_the_fifth), "{of_the_fifth}");
    }

    #[test]
    fn the_ring_is_walked_all_round() {
        let ring = Ring::new([(1, 3), (2, 3)]);
        assert_eq!(ring.walk(0).count(), 6);
        assert_eq!(Ring::default().walk(0).count(), 0);
    }

    #[test]
    fn bounded_loads() {
        assert_eq!(bounded_load(0, 1, 4, 150), 1);
        assert_eq!(bounded_load(99, 1, 4, 150), 38);
    }
}
