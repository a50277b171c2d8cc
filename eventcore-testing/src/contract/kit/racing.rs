//! Tasks at the same time, futures that are dropped, and what a history must look like afterwards.

use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    task::Poll,
    time::Duration,
};

use eventcore::{EncodedEvent, RecordedEvent, StreamId};
use tokio::task::JoinHandle;

use super::event;

/// An event that says what its writer saw: a version per stream.
pub(in crate::contract) fn witness(seen: &[(&StreamId, u64)]) -> EncodedEvent {
    let seen: BTreeMap<&str, u64> = seen.iter().map(|(s, v)| (s.as_str(), *v)).collect();
    let payload = serde_json::to_vec(&seen).expect("a map of numbers is JSON");
    event("contract.witness", payload)
}

/// Checks that every witness in the log was right at its place, as if all commands had run one after the other.
pub(in crate::contract) fn check_witnesses(log: &[RecordedEvent]) {
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in log {
        let seen: BTreeMap<String, u64> =
            serde_json::from_slice(event.encoded().payload().as_bytes())
                .unwrap_or_else(|error| panic!("{event:?} came back changed: {error}"));
        for (stream, seen) in seen {
            let actual = versions.get(&stream).copied().unwrap_or(0);
            assert_eq!(
                seen, actual,
                "{event:?} was decided when `{stream}` was at {seen}, and committed when it was at {actual}"
            );
        }
        *versions.entry(event.stream().to_string()).or_default() += 1;
    }
}

/// The results of tasks; a panic in one is a panic here, at once: others may be waiting for it.
pub(in crate::contract) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    match futures_util::future::try_join_all(tasks).await {
        Ok(results) => results,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a task of the suite was stopped: {error}"),
        },
    }
}

/// Polls work a number of times, waits a while, and drops it; its result if it was done before.
pub(in crate::contract) async fn dropped_after<T>(
    polls: usize,
    linger: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    let done = poll_fn(|cx| {
        left = left.saturating_sub(1);
        match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if done.is_none() && !linger.is_zero() {
        tokio::time::sleep(linger).await;
    }
    done
}

/// Keeps writers and readers abreast: a store that never waits would be done writing before the first read.
#[derive(Debug, Default)]
pub(in crate::contract) struct Pace {
    readers: bool,
    reads: AtomicU64,
    done: AtomicBool,
}

impl Pace {
    /// For writers that are being watched; `default` is for those that are not.
    pub(in crate::contract) fn with_readers() -> Self {
        Self {
            readers: true,
            ..Self::default()
        }
    }

    /// A reader begins another read; false when the writers are done.
    pub(in crate::contract) async fn goes_on(&self) -> bool {
        tokio::task::yield_now().await;
        self.reads.fetch_add(1, SeqCst);
        !self.done.load(SeqCst)
    }

    /// A writer lets a reader begin another read. Bounded, since readers may have given up.
    pub(in crate::contract) async fn let_read(&self) {
        let before = self.reads.load(SeqCst);
        for _ in 0..if self.readers { 10_000 } else { 1 } {
            if self.reads.load(SeqCst) != before {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The writers are done.
    pub(in crate::contract) fn finish(&self) {
        self.done.store(true, SeqCst);
    }
}
