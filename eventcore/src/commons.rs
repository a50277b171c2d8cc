//! What the commands of one process share at a store.

use crate::{fold_cache::FoldCache, turnstile::Turnstile};

/// What the commands of one process share at a store: their waiting lines, and the states that they have folded.
///
/// Every store has one, and clones of a store that share their data share it too. It saves work and decides nothing:
/// what a command rests on is read, and guarded, every time. Another process has another.
///
/// * Commands that write to the same stream pass one after the other, first come, first served, instead of spoiling
///   each other's work with conflicts.
/// * A stream is folded from where the last command left off, and not from its beginning. The states of the streams
///   used last are kept, 4,096 of them unless another number is given; streams of less than 8 events are not.
#[derive(Debug)]
pub struct Commons {
    turnstile: Turnstile,
    folds: FoldCache,
}

impl Commons {
    /// Keeps up to 4,096 states.
    pub fn new() -> Self {
        Self::keeping(4096)
    }

    /// Keeps up to this number of states; with 0 every command folds its streams from their beginning.
    pub fn keeping(states: usize) -> Self {
        Self {
            turnstile: Turnstile::new(),
            folds: FoldCache::new(states),
        }
    }

    pub(crate) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    pub(crate) fn folds(&self) -> &FoldCache {
        &self.folds
    }
}

impl Default for Commons {
    fn default() -> Self {
        Self::new()
    }
}
