//! Commands that are dropped half way.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use eventcore::prelude::*;
use futures_util::task::noop_waker;

use crate::bank::*;

/// Polls a transfer of 30 at most `polls` times and drops it; whether it ended before.
async fn dropped_after(
    store: &ChaosStore<InMemoryEventStore>,
    polls: u32,
    name: Option<&str>,
) -> bool {
    let command = transfer(30, &Decisions::default());
    let mut execution = execute(command, store).retry(at_once());
    if let Some(name) = name {
        execution = execution.idempotency_key(key(name));
    }
    let mut running = pin!(execution.into_future());
    for _ in 0..polls {
        if let Poll::Ready(result) = running
            .as_mut()
            .poll(&mut Context::from_waker(&noop_waker()))
        {
            result.unwrap();
            return true;
        }
        // Waits between tries are over, and what was deferred to the runtime gets its turn.
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    false
}

/// Drops a transfer at every await, on stores with these faults. Returns how many awaits there were, and at how many
/// the transfer had taken effect.
async fn dropped_everywhere(faults: &[Fault], name: Option<&str>) -> (u32, u32) {
    let mut applied = 0;
    for polls in 1.. {
        let faults = faults.iter().copied();
        let store = ChaosStore::new(with_a_hundred().await)
            .script(Operation::Append, faults)
            .yielding();
        let ended = dropped_after(&store, polls, name).await;
        let (from, to) = (
            balance(store.inner(), "a").await,
            balance(store.inner(), "b").await,
        );
        assert!(
            (from, to) == (100, 0) || (from, to) == (70, 30),
            "dropped at {polls}: a part of it is there: {from} and {to}"
        );
        if let Some(name) = name {
            // Whatever had happened: the same command under its key completes it.
            let command = transfer(30, &Decisions::default());
            let receipt = execute(command, store.inner())
                .idempotency_key(key(name))
                .await;
            assert_eq!(receipt.unwrap().replayed, from == 70, "dropped at {polls}");
            assert_eq!(balance(store.inner(), "a").await, 70, "dropped at {polls}");
        }
        // The store, and the streams' waiting lines, are free.
        let next = execute(deposit("a", 1), &store);
        let next = tokio::time::timeout(Duration::from_millis(50), next);
        next.await.expect("nobody holds the stream").unwrap();
        if ended {
            return (polls, applied);
        }
        applied += u32::from(from == 70);
    }
    unreachable!("the loop has no end")
}

#[tokio::test(start_paused = true)]
async fn a_command_dropped_at_any_await_is_there_whole_or_not_at_all() {
    let (awaits, applied) = dropped_everywhere(&[], None).await;
    assert!(
        awaits >= 5,
        "read and append, each with an await before and after: {awaits}"
    );
    assert!(
        applied >= 1 && applied < awaits - 1,
        "{applied} of {awaits}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_dropped_at_any_await_is_completed_by_its_key() {
    let (awaits, applied) = dropped_everywhere(&[], Some("k")).await;
    assert!(awaits >= 7 && applied >= 1, "{applied} of {awaits}");
}

#[tokio::test(start_paused = true)]
async fn a_command_dropped_while_it_settles_a_lost_acknowledgement_is_whole_too() {
    let faults = [Fault::UNAVAILABLE, Fault::AnswerLost, Fault::UNAVAILABLE];
    let (awaits, applied) = dropped_everywhere(&faults, Some("k")).await;
    assert!(awaits >= 13 && applied >= 4, "{applied} of {awaits}");
}
