//! One writer at a time per stream, within this process, so that commands do not spoil each other's work.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::StreamId;

/// A waiting line per stream, first come, first served.
///
/// Two commands that write to one stream at the same time cost a conflict and a second try. `execute` therefore lets
/// those of one process pass one after the other, from read to append. This only saves work: correctness rests on the
/// version check alone, so commands of other processes need not know of it. And it cannot lock up: whoever sees a
/// line stand still for a tenth of a second goes on without, which covers the future that was given its turn and is
/// never polled again.
#[derive(Debug)]
pub(crate) struct Turnstile {
    shards: [Mutex<HashMap<StreamId, Arc<Lane>>>; SHARDS],
    hasher: RandomState,
}

const SHARDS: usize = 32;
const PATIENCE: Duration = Duration::from_millis(100);

/// The line of one stream.
#[derive(Debug)]
struct Lane {
    gate: Semaphore,
    /// How often somebody went through: the sign of life for those who wait.
    passed: AtomicU64,
}

/// The right of way on some streams; ends when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turnstile: &'t Turnstile,
    lanes: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    stream: StreamId,
    lane: Arc<Lane>,
    through: bool,
}

impl Turnstile {
    /// A turnstile with nobody in it.
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Waits for the turn on all of these streams. They must be sorted and distinct, so that no two wait for each
    /// other in a circle.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves all lines that it stands in.
    pub(crate) async fn enter(&self, streams: &[StreamId]) -> Turn<'_> {
        let mut turn = Turn {
            turnstile: self,
            lanes: Vec::with_capacity(streams.len()),
        };
        for stream in streams {
            let lane = self.lane(stream);
            // Listed before waiting, so that giving up cleans up.
            turn.lanes.push(Held {
                stream: stream.clone(),
                lane: Arc::clone(&lane),
                through: false,
            });
            let through = lane.pass().await;
            if let Some(held) = turn.lanes.last_mut() {
                held.through = through;
            }
        }
        turn
    }

    fn shard(&self, stream: &StreamId) -> MutexGuard<'_, HashMap<StreamId, Arc<Lane>>> {
        let bits = usize::try_from(self.hasher.hash_one(stream) % SHARDS as u64).unwrap_or(0);
        // A map of waiting lines is whole after any panic.
        self.shards[bits]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, stream: &StreamId) -> Arc<Lane> {
        let mut shard = self.shard(stream);
        if let Some(lane) = shard.get(stream) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane {
            gate: Semaphore::new(1),
            passed: AtomicU64::new(0),
        });
        shard.insert(stream.clone(), Arc::clone(&lane));
        lane
    }
}

impl Lane {
    /// Whether the turn came; otherwise nobody moved for too long.
    async fn pass(&self) -> bool {
        if let Ok(permit) = self.gate.try_acquire() {
            permit.forget();
            return true;
        }
        // One future for the whole wait, which keeps the place in the line.
        let mut acquire = pin!(self.gate.acquire());
        let mut seen = self.passed.load(Relaxed);
        loop {
            match tokio::time::timeout(PATIENCE, acquire.as_mut()).await {
                Ok(Ok(permit)) => {
                    permit.forget();
                    return true;
                }
                Ok(Err(_)) => return false,
                Err(_) => {
                    let now = self.passed.load(Relaxed);
                    if now == seen {
                        return false;
                    }
                    seen = now;
                }
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for held in self.lanes.drain(..) {
            if held.through {
                held.lane.passed.fetch_add(1, Relaxed);
                held.lane.gate.add_permits(1);
            }
            let Held { stream, lane, .. } = held;
            let mut shard = self.turnstile.shard(&stream);
            // Given back under the lock, or two that leave at once would each see the other still there.
            drop(lane);
            // The map's reference alone: nobody waits, and nobody can join while the shard is locked.
            if shard
                .get(&stream)
                .is_some_and(|lane| Arc::strong_count(lane) == 1)
            {
                shard.remove(&stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str) -> StreamId {
        StreamId::try_new(name).unwrap()
    }

    fn lines(turnstile: &Turnstile) -> usize {
        turnstile
            .shards
            .iter()
            .map(|s| s.lock().unwrap().len())
            .sum()
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival_and_leave_nothing_behind() {
        let turnstile = Arc::new(Turnstile::new());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = turnstile.enter(&[stream("a")]).await;
        let waiting: Vec<_> = (0..5)
            .map(|n| {
                let (turnstile, order) = (Arc::clone(&turnstile), Arc::clone(&order));
                tokio::spawn(async move {
                    let _turn = turnstile.enter(&[stream("a"), stream("b")]).await;
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(order.lock().unwrap().is_empty());
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(lines(&turnstile), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_stands_still_is_left() {
        let turnstile = Turnstile::new();
        let stuck = turnstile.enter(&[stream("a")]).await;
        drop(turnstile.enter(&[stream("a")]).await);
        assert_eq!(lines(&turnstile), 1, "the stuck one still has its line");
        drop(stuck);
        assert_eq!(lines(&turnstile), 0);
    }

    #[tokio::test]
    async fn giving_up_leaves_the_line() {
        let turnstile = Turnstile::new();
        let holder = turnstile.enter(&[stream("b")]).await;
        let wait = [stream("a"), stream("b")];
        let gave_up = tokio::time::timeout(Duration::from_millis(5), turnstile.enter(&wait)).await;
        assert!(gave_up.is_err());
        assert_eq!(lines(&turnstile), 1);
        drop(holder);
        assert_eq!(lines(&turnstile), 0);
    }
}
