//! What streams amounted to when they were last read, so that each event is folded once and not once per command.
//!
//! Events never change and a fold sees nothing but its stream, so a state at a version stays right for ever; a later
//! read goes on from there. What is kept decides nothing: a command still reads every stream's version, and what came
//! after the kept state, in one snapshot.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, VecDeque},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{StreamId, StreamVersion};

/// A folded state of any type.
pub(crate) type SharedState = Arc<dyn Any + Send + Sync>;

/// Which fold, of which stream.
pub(crate) type FoldKey = (TypeId, StreamId);

/// States by fold and stream, at most a number of them. The least used go first, by the clock (second chance) rule.
pub(crate) struct FoldCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    room: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<FoldKey, Entry>,
    clock: VecDeque<FoldKey>,
}

struct Entry {
    version: StreamVersion,
    state: SharedState,
    used: bool,
}

const SHARDS: usize = 16;

/// Shorter streams are read again as fast as their state is found.
const WORTH_KEEPING: u64 = 8;

impl FoldCache {
    /// A cache for this many states; none at all for 0.
    pub(crate) fn new(capacity: usize) -> Self {
        // Few states are not worth dividing, and the parts do not make more than the whole.
        let shards = if capacity < 4 * SHARDS { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            room: capacity / shards,
        }
    }

    /// The state of a stream and its version, as far as it is known.
    pub(crate) fn get(&self, key: &FoldKey) -> Option<(StreamVersion, SharedState)> {
        let mut shard = self.shard(key);
        let entry = shard.entries.get_mut(key)?;
        entry.used = true;
        Some((entry.version, Arc::clone(&entry.state)))
    }

    /// Keeps a state, unless a later one is there.
    pub(crate) fn put(&self, key: FoldKey, version: StreamVersion, state: SharedState) {
        if self.room == 0 || version.get() < WORTH_KEEPING {
            return;
        }
        let mut shard = self.shard(&key);
        if let Some(entry) = shard.entries.get_mut(&key) {
            if entry.version < version {
                (entry.version, entry.state) = (version, state);
            }
            return;
        }
        while shard.entries.len() >= self.room {
            shard.evict();
        }
        shard.clock.push_back(key.clone());
        let used = false;
        shard.entries.insert(
            key,
            Entry {
                version,
                state,
                used,
            },
        );
    }

    /// Gives a state up: it is about to be changed, and whoever changes it puts it back, or it has proved wrong.
    pub(crate) fn forget(&self, key: &FoldKey) {
        let mut shard = self.shard(key);
        if shard.entries.remove(key).is_some()
            && let Some(at) = shard.clock.iter().rposition(|known| known == key)
        {
            shard.clock.remove(at);
        }
    }

    fn shard(&self, key: &FoldKey) -> MutexGuard<'_, Shard> {
        let index =
            usize::try_from(self.hasher.hash_one(key) % self.shards.len() as u64).unwrap_or(0);
        // Entries are put and removed whole.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn evict(&mut self) {
        while let Some(key) = self.clock.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.clock.push_back(key);
                }
                _ => {
                    self.entries.remove(&key);
                    return;
                }
            }
        }
        self.entries.clear();
    }
}

impl fmt::Debug for FoldCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldCache")
            .field("room", &(self.room * self.shards.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> FoldKey {
        (TypeId::of::<u64>(), StreamId::try_new(name).unwrap())
    }

    fn version(number: u64) -> StreamVersion {
        StreamVersion::try_new(number).unwrap()
    }

    fn found(cache: &FoldCache, name: &str) -> Option<(u64, u64)> {
        let (version, state) = cache.get(&key(name))?;
        Some((version.get(), *state.downcast::<u64>().unwrap()))
    }

    #[test]
    fn a_later_state_replaces_an_earlier_one_and_not_the_other_way_round() {
        let cache = FoldCache::new(100);
        cache.put(key("a"), version(10), Arc::new(1_u64));
        cache.put(key("a"), version(12), Arc::new(2_u64));
        cache.put(key("a"), version(11), Arc::new(3_u64));
        assert_eq!(found(&cache, "a"), Some((12, 2)));
        cache.forget(&key("a"));
        assert_eq!(found(&cache, "a"), None);
    }

    #[test]
    fn it_keeps_no_more_than_it_has_room_for_and_what_is_used_stays() {
        let cache = FoldCache::new(160);
        cache.put(key("hot"), version(10), Arc::new(7_u64));
        for number in 0..10_000_u64 {
            cache.put(key(&format!("s{number}")), version(10), Arc::new(number));
            assert_eq!(found(&cache, "hot"), Some((10, 7)));
        }
        let kept = (0..10_000)
            .filter(|n| found(&cache, &format!("s{n}")).is_some())
            .count();
        assert!((100..=160).contains(&kept), "{kept}");
    }

    #[test]
    fn no_room_and_short_streams_keep_nothing() {
        let none = FoldCache::new(0);
        none.put(key("a"), version(100), Arc::new(1_u64));
        assert_eq!(found(&none, "a"), None);
        let some = FoldCache::new(10);
        some.put(key("a"), version(7), Arc::new(1_u64));
        assert_eq!(found(&some, "a"), None);
    }
}
