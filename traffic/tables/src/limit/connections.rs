//! A zone that counts what is in progress by key.

use super::{cost, room, shard_of, shards};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// What an entry takes besides its key, bytes, as nginx counts.
const OVERHEAD: usize = 36;

/// Numbers by key.
pub(crate) struct Connections {
    shards: Vec<Mutex<Shard>>,
    room: u64,
}

#[derive(Default)]
struct Shard {
    counts: HashMap<Arc<[u8]>, u32>,
    used: u64,
}

/// One that is in progress, until it is dropped.
pub struct Held {
    zone: Arc<Connections>,
    key: Arc<[u8]>,
}

/// Why one more was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many as may be are in progress.
    TooMany,
    /// There is no memory to count it.
    Full,
}

impl Connections {
    /// An empty zone of so many bytes.
    pub fn new(size: u64) -> Connections {
        let count = shards(size);
        let shards = (0..count).map(|_| Mutex::new(Shard::default())).collect();
        Connections { shards, room: room(size) / count as u64 }
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        match self.shards.as_slice() {
            [one] => one,
            many => &many[shard_of(key, many.len())],
        }
    }

    /// Lets one more in when fewer than `most` are there.
    pub fn hold(self: &Arc<Self>, key: &[u8], most: u32) -> Result<Held, Refused> {
        let mut shard = self.shard(key).lock();
        if let Some((known, count)) = shard.known(key) {
            if *count >= most {
                return Err(Refused::TooMany);
            }
            *count += 1;
            return Ok(Held { zone: Arc::clone(self), key: known });
        }
        let bytes = cost(OVERHEAD + key.len());
        if shard.used + bytes > self.room {
            return Err(Refused::Full);
        }
        let key: Arc<[u8]> = key.into();
        shard.counts.insert(Arc::clone(&key), 1);
        shard.used += bytes;
        Ok(Held { zone: Arc::clone(self), key })
    }

    fn release(&self, key: &[u8]) {
        let mut shard = self.shard(key).lock();
        let Some(count) = shard.counts.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            shard.counts.remove(key);
            shard.used -= cost(OVERHEAD + key.len());
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counts.len()).sum()
    }
}

impl Shard {
    /// The key that is there already, and its number.
    fn known(&mut self, key: &[u8]) -> Option<(Arc<[u8]>, &mut u32)> {
        let known = Arc::clone(self.counts.get_key_value(key)?.0);
        Some((known, self.counts.get_mut(key)?))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.zone.release(&self.key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn as_many_as_allowed_are_held() {
        let zone = Arc::new(Connections::new(1 << 20));
        let first = zone.hold(b"a", 2).unwrap();
        let second = zone.hold(b"a", 2).unwrap();
        assert_eq!(zone.hold(b"a", 2).err(), Some(Refused::TooMany));
        let other = zone.hold(b"b", 1).unwrap();
        drop(first);
        let third = zone.hold(b"a", 2).unwrap();
        assert_eq!(zone.len(), 2);
        drop((second, third, other));
        assert_eq!(zone.len(), 0);
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let zone = Arc::new(Connections::new(32 * 1024));
        let mut held = Vec::new();
        let full = (0..10_000u32).find_map(|n| match zone.hold(&n.to_be_bytes(), 1) {
            Ok(one) => {
                held.push(one);
                None
            }
            Err(why) => Some(why),
        });
        assert_eq!(full, Some(Refused::Full));
        assert!((300..=512).contains(&held.len()), "{}", held.len());
        held.clear();
        assert!(zone.hold(b"again", 1).is_ok());
    }

    #[test]
    fn workers_together_never_hold_more() {
        let zone = Arc::new(Connections::new(1 << 20));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let held: Vec<_> = (0..3).map_while(|_| zone.hold(b"k", 3).ok()).collect();
                        assert!(held.len() <= 3);
                    }
                });
            }
        });
        assert_eq!(zone.len(), 0);
    }
}
