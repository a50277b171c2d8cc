//! One writer at a time per stream, within this process, so that commands do not spoil each other's work.

use std::{
    collections::HashMap,
    future::poll_fn,
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::StreamId;

/// A waiting line per stream, first come, first served.
///
/// Two commands that write to one stream at the same time cost a conflict and a second try. `execute` therefore lets
/// those of one process pass one after the other, from read to append. This only saves work: correctness rests on the
/// version check alone, so commands of other processes need not know of it.
///
/// And it cannot lock up. A turn may take as long as the store and the application's code need, but a future that was
/// given its turn and is never polled again must not hold up the line. So a command that waits for longer than a tenth
/// of a second asks the one before it for a sign of life, by waking its task; a turn that is not answered for goes on
/// being waited for no longer.
#[derive(Debug)]
pub(crate) struct Turnstile {
    shards: [Mutex<HashMap<StreamId, Arc<Lane>>>; SHARDS],
    hasher: RandomState,
}

const SHARDS: usize = 32;

/// How long to wait before the turn is asked for a sign of life, and for its answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// The longest that one turn is waited for, whatever it answers: code of the application that never returns.
const LONGEST: Duration = Duration::from_secs(30);

/// The line of one stream.
#[derive(Debug)]
struct Lane {
    gate: Semaphore,
    /// How many turns have ended.
    passed: AtomicU64,
    /// The task whose turn it is.
    holder: Mutex<Option<Waker>>,
    /// It is running just now.
    running: AtomicBool,
    /// Signs of life: how many were asked for, and up to which one they were given.
    asked: AtomicU64,
    answered: AtomicU64,
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
            // What is passed already is held meanwhile, and asked about.
            let through = turn.hold(lane.pass()).await;
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
            holder: Mutex::default(),
            running: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        });
        shard.insert(stream.clone(), Arc::clone(&lane));
        lane
    }
}

impl Lane {
    /// Whether the turn came; otherwise the one before gave no sign of life.
    async fn pass(&self) -> bool {
        if let Ok(permit) = self.gate.try_acquire() {
            permit.forget();
            return true;
        }
        // One future for the whole wait, which keeps the place in the line.
        let mut acquire = pin!(self.gate.acquire());
        let mut seen = self.passed.load(Relaxed);
        let mut since = Instant::now();
        let mut asked: Option<u64> = None;
        loop {
            match tokio::time::timeout(PATIENCE, acquire.as_mut()).await {
                Ok(Ok(permit)) => {
                    permit.forget();
                    return true;
                }
                Ok(Err(_)) => return false,
                Err(_) => {}
            }
            let passed = self.passed.load(Relaxed);
            if passed != seen {
                (seen, since, asked) = (passed, Instant::now(), None);
                continue;
            }
            let running = self.running.load(Acquire);
            let unanswered = asked.is_some_and(|asked| self.answered.load(Acquire) < asked);
            if (unanswered && !running) || since.elapsed() >= LONGEST {
                return false;
            }
            if !unanswered {
                asked = Some(self.asked.fetch_add(1, Release) + 1);
            }
            if let Some(holder) = self.holder().as_ref() {
                holder.wake_by_ref();
            }
        }
    }

    fn holder(&self) -> MutexGuard<'_, Option<Waker>> {
        // It is replaced whole.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task whose turn it is runs: it answers what was asked, and is woken for what is asked later.
    fn answer(&self, cx: &Context<'_>) {
        let mut holder = self.holder();
        if !holder
            .as_ref()
            .is_some_and(|holder| holder.will_wake(cx.waker()))
        {
            *holder = Some(cx.waker().clone());
        }
        drop(holder);
        self.answered.store(self.asked.load(Acquire), Release);
    }
}

impl Turn<'_> {
    /// Does the work of this turn, and gives signs of life meanwhile.
    pub(crate) async fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let held = || self.lanes.iter().filter(|held| held.through);
            for held in held() {
                held.lane.answer(cx);
                held.lane.running.store(true, Release);
            }
            // A panic in here ends the turn, too.
            let polled = work.as_mut().poll(cx);
            for held in held() {
                held.lane.running.store(false, Release);
            }
            polled
        })
        .await
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for held in self.lanes.drain(..) {
            if held.through {
                held.lane.running.store(false, Release);
                held.lane.holder().take();
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
    async fn a_turn_that_takes_long_is_waited_for_while_it_lives() {
        let turnstile = Arc::new(Turnstile::new());
        let turns: Vec<_> = (0..4)
            .map(|_| {
                let turnstile = Arc::clone(&turnstile);
                tokio::spawn(async move {
                    let turn = turnstile.enter(&[stream("a")]).await;
                    turn.hold(tokio::time::sleep(50 * PATIENCE)).await;
                    turn.lanes.iter().all(|held| held.through)
                })
            })
            .collect();
        for turn in turns {
            assert!(turn.await.unwrap(), "a living turn was passed by");
        }
        assert_eq!(lines(&turnstile), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_waits_in_another_line_is_waited_for() {
        let turnstile = Arc::new(Turnstile::new());
        let first = {
            let turnstile = Arc::clone(&turnstile);
            tokio::spawn(async move {
                let turn = turnstile.enter(&[stream("b")]).await;
                turn.hold(tokio::time::sleep(20 * PATIENCE)).await;
            })
        };
        tokio::task::yield_now().await;
        let enter = |names: &'static [&'static str]| {
            let turnstile = Arc::clone(&turnstile);
            tokio::spawn(async move {
                let names: Vec<_> = names.iter().map(|name| stream(name)).collect();
                let turn = turnstile.enter(&names).await;
                turn.lanes.iter().all(|held| held.through)
            })
        };
        let both = enter(&["a", "b"]);
        tokio::task::yield_now().await;
        let behind = enter(&["a"]);
        assert!(both.await.unwrap() && behind.await.unwrap());
        first.await.unwrap();
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
