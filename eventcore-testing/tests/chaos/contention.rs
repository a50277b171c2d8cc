//! Many commands that want the same stream.

use std::{sync::Arc, time::Duration};

use eventcore::prelude::*;
use tokio::task::JoinSet;

use crate::bank::*;

type Store = ChaosStore<InMemoryEventStore>;

/// The attempts of each of `writers` tasks times `deposits` commands on one account. A writer's store tells who it is.
async fn deposits(
    writers: u64,
    deposits: u64,
    policy: RetryPolicy,
    store: impl Fn(u64) -> Arc<Store>,
) -> Vec<u32> {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (store, policy) = (store(writer), policy.clone());
        tasks.spawn(async move {
            let mut attempts = Vec::new();
            for _ in 0..deposits {
                let command = execute(deposit("hot", 1), &store).retry(policy.clone());
                attempts.push(command.await.expect("every deposit succeeds").attempts);
            }
            attempts
        });
    }
    tokio::time::timeout(Duration::from_mins(1), tasks.join_all())
        .await
        .expect("no livelock")
        .concat()
}

async fn assert_all_there(store: &InMemoryEventStore, expected: u64) {
    assert_eq!(length(store, "hot").await, expected);
    assert_eq!(balance(store, "hot").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_whoever_writes() {
    let inner = InMemoryEventStore::new();
    let apart = |_| Arc::new(ChaosStore::new(inner.clone()).yielding().apart());
    let attempts = deposits(8, 25, RetryPolicy::exponential().max_attempts(200), apart).await;
    assert_all_there(&inner, 8 * 25).await;
    let conflicts = attempts.iter().sum::<u32>() - 8 * 25;
    assert!(conflicts > 0, "they were to be in each other's way");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_or_doubled_while_connections_break() {
    let inner = InMemoryEventStore::new();
    let shaky = |writer| {
        let store = ChaosStore::new(inner.clone()).yielding().apart();
        Arc::new(store.random(writer, 30))
    };
    let policy = RetryPolicy::exponential()
        .max_attempts(200)
        .cap(Duration::from_millis(20));
    deposits(8, 25, policy, shaky).await;
    assert_all_there(&inner, 8 * 25).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_tasks_of_one_process_pass_one_by_one_by_default() {
    let inner = InMemoryEventStore::new();
    let store = Arc::new(ChaosStore::new(inner.clone()).yielding());
    let attempts = deposits(64, 4, RetryPolicy::default(), |_| Arc::clone(&store)).await;
    assert_all_there(&inner, 64 * 4).await;
    // Room for a few who lost patience on a machine under load.
    let total: u32 = attempts.iter().sum();
    assert!(
        total < 2 * 64 * 4,
        "{total} attempts for {} commands",
        64 * 4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_processes_on_one_stream_neither_starve_nor_block() {
    let inner = InMemoryEventStore::new();
    let apart = |_| Arc::new(ChaosStore::new(inner.clone()).yielding().apart());
    let policy = RetryPolicy::exponential().max_attempts(64);
    let attempts = deposits(64, 1, policy, apart).await;
    assert_all_there(&inner, 64).await;
    assert!(
        attempts.iter().sum::<u32>() > 64,
        "they were to be in each other's way"
    );
    eprintln!(
        "TOTAL {} max {:?}",
        attempts.iter().sum::<u32>(),
        attempts.iter().max()
    );
    // Who fails was overtaken by somebody else, and there are 63 others: more attempts would be a false conflict.
    assert!(
        attempts.iter().all(|&attempts| attempts <= 64),
        "{attempts:?}"
    );
}
