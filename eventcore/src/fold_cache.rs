//! Cache of folded states, so that each event is folded once and not once per command.
//!
//! Events never change and a fold sees nothing but its stream, so a state at a version stays right as long as the log
//! is the same one. The witness for that is the identity of the last event that was folded: a reader compares it with
//! the event that the store has in that place, and folds anew where they differ (a restored backup, a schema that was
//! dropped and made again). What is kept decides nothing: a command still reads every stream's version, and what came
//! after the kept state, in one snapshot.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, VecDeque},
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{EventId, StreamId, StreamVersion};

/// A folded state of any type.
pub(crate) type SharedState = Arc<dyn Any + Send + Sync>;

/// Which fold, of which stream.
pub(crate) type FoldKey = (TypeId, StreamId);

/// A state, and what it is a copy of.
#[derive(Clone)]
pub(crate) struct KeptState {
    pub(crate) version: StreamVersion,
    /// The event at that version.
    pub(crate) witness: EventId,
    pub(crate) state: SharedState,
    /// Bytes of payload that were folded into it.
    pub(crate) folded: usize,
    /// Bytes of memory that it takes, about.
    pub(crate) weight: usize,
}

/// States by fold and stream, bounded in number and in bytes. The least used go first, by the clock (second chance)
/// rule.
pub(crate) struct FoldCache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// States per shard.
    room: usize,
    /// Bytes of all shards: what is kept, and what may be.
    bytes: AtomicUsize,
    max_bytes: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<FoldKey, Entry>,
    clock: VecDeque<FoldKey>,
}

struct Entry {
    kept: KeptState,
    used: bool,
}

const SHARDS: usize = 16;

/// Shorter streams are read again as fast as their state is found.
const WORTH_KEEPING: u64 = 8;

/// An entry's key, twice, and its place in the maps.
const OVERHEAD: usize = 256;

impl FoldCache {
    /// A cache for this many states of this many bytes; none at all for 0.
    pub(crate) fn new(capacity: usize, max_bytes: usize) -> Self {
        // Few states are not worth dividing, and the parts do not make more than the whole.
        let shards = if capacity < 4 * SHARDS { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            room: capacity / shards,
            bytes: AtomicUsize::new(0),
            max_bytes,
        }
    }

    /// The state of a stream and its version, as far as it is known.
    pub(crate) fn get(&self, key: &FoldKey) -> Option<KeptState> {
        let mut shard = self.shard(key);
        let entry = shard.entries.get_mut(key)?;
        entry.used = true;
        Some(entry.kept.clone())
    }

    /// Keeps a state, unless a later one is there.
    pub(crate) fn put(&self, key: FoldKey, mut kept: KeptState) {
        kept.weight = kept.weight.saturating_add(OVERHEAD);
        // One state alone does not push out all others.
        let too_large = kept.weight > self.max_bytes / 4;
        if self.room == 0 || too_large || kept.version.get() < WORTH_KEEPING {
            return;
        }
        let mut shard = self.shard(&key);
        if let Some(entry) = shard.entries.get(&key) {
            if entry.kept.version >= kept.version {
                return;
            }
            self.remove(&mut shard, &key);
        }
        while shard.entries.len() >= self.room
            || (self.bytes.load(Relaxed) + kept.weight > self.max_bytes
                && !shard.entries.is_empty())
        {
            let Some(evicted) = shard.evict() else {
                return;
            };
            self.bytes.fetch_sub(evicted.kept.weight, Relaxed);
        }
        // Other shards may hold all of the memory. They give it up with their own next entries.
        if self.bytes.load(Relaxed) + kept.weight > self.max_bytes {
            return;
        }
        self.bytes.fetch_add(kept.weight, Relaxed);
        shard.clock.push_back(key.clone());
        shard.entries.insert(key, Entry { kept, used: false });
    }

    /// Gives a state up: it is about to be changed, and is put back afterwards, or it has proved wrong.
    pub(crate) fn forget(&self, key: &FoldKey) {
        let mut shard = self.shard(key);
        self.remove(&mut shard, key);
    }

    fn remove(&self, shard: &mut Shard, key: &FoldKey) {
        if let Some(entry) = shard.entries.remove(key) {
            self.bytes.fetch_sub(entry.kept.weight, Relaxed);
            if let Some(at) = shard.clock.iter().rposition(|known| known == key) {
                shard.clock.remove(at);
            }
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
    fn evict(&mut self) -> Option<Entry> {
        while let Some(key) = self.clock.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.clock.push_back(key);
                }
                Some(_) => return self.entries.remove(&key),
                None => {}
            }
        }
        None
    }
}

impl fmt::Debug for FoldCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldCache")
            .field("room", &(self.room * self.shards.len()))
            .field("bytes", &self.bytes)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> FoldKey {
        (TypeId::of::<u64>(), StreamId::try_new(name).unwrap())
    }

    fn kept(version: u64, state: u64, weight: usize) -> KeptState {
        KeptState {
            version: StreamVersion::try_new(version).unwrap(),
            witness: EventId::generate(),
            state: Arc::new(state),
            folded: 0,
            weight,
        }
    }

    fn found(cache: &FoldCache, name: &str) -> Option<(u64, u64)> {
        let kept = cache.get(&key(name))?;
        Some((kept.version.get(), *kept.state.downcast::<u64>().unwrap()))
    }

    #[test]
    fn a_later_state_replaces_an_earlier_one_and_not_the_other_way_round() {
        let cache = FoldCache::new(100, 1 << 20);
        cache.put(key("a"), kept(10, 1, 8));
        cache.put(key("a"), kept(12, 2, 8));
        cache.put(key("a"), kept(11, 3, 8));
        assert_eq!(found(&cache, "a"), Some((12, 2)));
        cache.forget(&key("a"));
        assert_eq!(found(&cache, "a"), None);
        assert_eq!(cache.bytes.load(Relaxed), 0);
    }

    #[test]
    fn it_keeps_no_more_than_it_has_room_for_and_what_is_used_stays() {
        let cache = FoldCache::new(160, 1 << 20);
        cache.put(key("hot"), kept(10, 7, 8));
        for number in 0..10_000_u64 {
            cache.put(key(&format!("s{number}")), kept(10, number, 8));
            assert_eq!(found(&cache, "hot"), Some((10, 7)));
        }
        let kept = (0..10_000)
            .filter(|n| found(&cache, &format!("s{n}")).is_some())
            .count();
        assert!((100..=160).contains(&kept), "{kept}");
    }

    #[test]
    fn bytes_are_bounded_whatever_the_number_of_states() {
        let cache = FoldCache::new(10_000, 1 << 20);
        for number in 0..1_000_u64 {
            cache.put(key(&format!("s{number}")), kept(10, number, 50_000));
            assert!(cache.bytes.load(Relaxed) <= 1 << 20);
        }
        assert!(cache.bytes.load(Relaxed) > 1 << 19, "{cache:?}");
        let before = cache.bytes.load(Relaxed);
        cache.put(key("larger than a quarter"), kept(10, 1, 300_000));
        assert_eq!(found(&cache, "larger than a quarter"), None);
        assert_eq!(cache.bytes.load(Relaxed), before);
    }

    #[test]
    fn no_room_and_short_streams_keep_nothing() {
        let none = FoldCache::new(0, 1 << 20);
        none.put(key("a"), kept(100, 1, 8));
        assert_eq!(found(&none, "a"), None);
        let some = FoldCache::new(10, 1 << 20);
        some.put(key("a"), kept(7, 1, 8));
        assert_eq!(found(&some, "a"), None);
    }
}
