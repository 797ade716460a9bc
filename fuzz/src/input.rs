//! Reads a fuzz input: where to cut, and what to feed. Shared by all targets.

/// An input taken apart.
pub struct Input<'a> {
    /// Bits for the target to choose variants with.
    pub flags: u8,
    /// Ends of the pieces, rising, below the payload's length.
    pub cuts: Vec<usize>,
    /// What is parsed.
    pub payload: &'a [u8],
}

/// The first byte holds the number of cuts in its low three bits, flags in the others; then come the cuts as
/// fractions of the payload, then the payload. So a seed that starts with `0` is not cut.
pub fn read(data: &[u8]) -> Option<Input<'_>> {
    let (first, rest) = data.split_first()?;
    let (cuts, payload) = rest.split_at_checked(usize::from(first & 7))?;
    let mut cuts: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) * payload.len() / 256).collect();
    cuts.sort_unstable();
    Some(Input { flags: first >> 3, cuts, payload })
}

impl Input<'_> {
    /// The ends of what has arrived: the cuts, then all.
    pub fn arrivals(&self) -> impl Iterator<Item = usize> {
        self.cuts.iter().copied().chain([self.payload.len()])
    }

    /// Every end there is.
    pub fn every_end(&self) -> impl Iterator<Item = usize> {
        0..=self.payload.len()
    }
}
