//! Writers that never rest: fast ones, slow ones, some that are refused, some that are given up on.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use eventcore::{
    EventStore, StreamId, StreamVersion,
    store::{AppendBatch, AppendError, ReadFrom},
};
use tokio::task::JoinHandle;

use super::{
    join,
    log::{Store, patiently, steps},
    stream, until,
};

/// Polls work a number of times and drops it; its result if it was done before.
pub(in crate::following) async fn dropped_after<T>(
    polls: usize,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| {
        left = left.saturating_sub(1);
        match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Writers at work until they are told to stop.
#[derive(Debug)]
pub(in crate::following) struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

/// How a writer goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// One event after the other, to a stream of its own.
    Quick,
    /// Many events at a time, after some thought: a commit that takes long.
    Slow,
    /// To the stream that all contend for, from a version that is old by then: refused as often as not.
    Contending,
    /// Drops its append at some await, and does not ask what became of it.
    GivingUp,
}

impl Writers {
    /// Some writers of each kind, each with one of the handles, and a pause after each append.
    pub(in crate::following) fn start(stores: &[Store], number: usize, pause: Duration) -> Self {
        let habits = [
            Habit::Quick,
            Habit::Contending,
            Habit::GivingUp,
            Habit::Slow,
        ];
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let tasks = (0..number).map(|number| {
            let writer = Writer {
                store: Arc::clone(&stores[number % stores.len()]),
                habit: habits[number % habits.len()],
                own: stream(format!("walk:{number}")),
                versions: HashMap::new(),
                pause,
                stop: Arc::clone(&stop),
                done: Arc::clone(&done),
            };
            tokio::spawn(writer.run())
        });
        let tasks = tasks.collect();
        Self { stop, done, tasks }
    }

    /// Resolves when so many appends are done.
    pub(in crate::following) async fn have_done(&self, appends: usize) {
        until("writers get on", async || {
            self.done.load(Relaxed) >= appends
        })
        .await;
    }

    /// Waits for the appends that are under way.
    pub(in crate::following) async fn stop(self) {
        self.stop.store(true, Relaxed);
        join(self.tasks).await;
    }
}

struct Writer {
    store: Store,
    habit: Habit,
    own: StreamId,
    versions: HashMap<StreamId, StreamVersion>,
    pause: Duration,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Writer {
    async fn run(mut self) {
        let mut number = 0;
        while !self.stop.load(Relaxed) {
            number += 1;
            let to = match self.habit {
                Habit::Contending => vec![stream(format!("walk:shared-{}", number % 2))],
                Habit::GivingUp => vec![self.own.clone(), stream("walk:shared-1")],
                Habit::Quick | Habit::Slow => vec![self.own.clone()],
            };
            let events = if self.habit == Habit::Slow { 60 } else { 1 };
            let batch = self.batch(&to, events, number).await;
            let appended = if self.habit == Habit::GivingUp && number % 4 != 0 {
                dropped_after(fastrand::usize(1..12), self.store.append(batch)).await
            } else {
                Some(self.store.append(batch).await)
            };
            match appended {
                Some(Ok(_)) => {
                    self.done.fetch_add(1, Relaxed);
                }
                Some(Err(AppendError::Conflict(_) | AppendError::OutcomeUnknown { .. })) | None => {
                    self.versions.clear();
                }
                Some(Err(error)) if error.is_retriable() => self.versions.clear(),
                Some(Err(error)) => panic!("an append failed: {error} ({error:?})"),
            }
            // Without a pause a store that never waits would give nobody else a turn.
            tokio::task::yield_now().await;
            let pause = if self.habit == Habit::Slow {
                self.pause * 4
            } else {
                self.pause
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            }
        }
    }

    /// As many events for each of the streams.
    async fn batch(&mut self, to: &[StreamId], events: i64, number: i64) -> AppendBatch {
        let mut batch = AppendBatch::builder();
        for to in to {
            let version = self.version(to).await;
            self.versions
                .insert(to.clone(), version.advanced(events.unsigned_abs()));
            batch.expect(to.clone(), version).unwrap();
            let widths: Vec<i64> = (0..events).map(|width| number + width).collect();
            for event in steps(&widths) {
                batch.event(to, event).unwrap();
            }
        }
        batch
            .build()
            .expect("a clause's batches are within the limits")
    }

    async fn version(&self, of: &StreamId) -> StreamVersion {
        if let Some(version) = self.versions.get(of)
            && self.habit != Habit::Contending
        {
            return *version;
        }
        // The version alone is wanted, and no event lies behind it as a rule.
        let known = self
            .versions
            .get(of)
            .copied()
            .unwrap_or(StreamVersion::EMPTY);
        let from = [ReadFrom::after(of.clone(), known)];
        let read = patiently!(self.store.read(&from))
            .unwrap_or_else(|error| panic!("`{of}` cannot be read: {error} ({error:?})"));
        tokio::task::yield_now().await;
        read.versions[0]
    }
}
