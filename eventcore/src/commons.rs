//! What the commands and readers of one process share at a store.

use crate::{
    fold_cache::FoldCache,
    turnstile::Turnstile,
    wake::{Waiter, Wake},
};

/// What the commands and readers of one process share at a store: waiting lines, states that were folded, and the bell
/// that rings when events were appended.
///
/// Every store has one, and clones of a store that share their data share it too. It saves work and decides nothing:
/// what a command rests on is read, and guarded, every time. Another process has another.
///
/// * Commands that write to the same stream pass one after the other, first come, first served, instead of spoiling
///   each other's work with conflicts.
/// * A stream is folded from where the last command left off, and not from its beginning. The states of the streams
///   used last are kept, 4,096 of them unless another number is given; streams of less than 8 events are not.
/// * Whoever waits for new events is woken ([`Commons::wake`]) and need not wait for the next poll.
#[derive(Debug)]
pub struct Commons {
    turnstile: Turnstile,
    folds: FoldCache,
    wake: Wake,
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
            wake: Wake::new(),
        }
    }

    /// Wakes everybody who waits for events: stores call it after each commit, and when they learn of one by another
    /// process. It costs next to nothing when nobody waits, and losing a call only costs time.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// Somebody who waits for events; [`subscribe`](crate::subscribe()) has one.
    pub fn waiter(&self) -> Waiter {
        self.wake.waiter()
    }

    /// Resolves when somebody waits for events: a store may then begin to listen to other processes.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn watched(&self) {
        self.wake.watched().await;
    }

    /// Resolves when nobody waits for events.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn unwatched(&self) {
        self.wake.unwatched().await;
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
