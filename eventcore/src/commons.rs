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
///   used last are kept, at most 4,096 of them and 64 MiB unless told otherwise; streams of less than 8 events are not.
///   Each is kept with the identity of the last event in it, and folded anew when the store has another event there.
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
        Self::keeping_bytes(states, Self::STATE_BYTES)
    }

    /// Keeps up to this number of states, which take up to this many bytes. What a state takes is told by
    /// [`Fold::heap_size`](crate::Fold::heap_size).
    pub fn keeping_bytes(states: usize, bytes: usize) -> Self {
        Self {
            turnstile: Turnstile::new(),
            folds: FoldCache::new(states, bytes),
            wake: Wake::new(),
        }
    }

    /// The bytes that kept states take at most, unless told otherwise: 64 MiB.
    pub const STATE_BYTES: usize = 64 << 20;

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
