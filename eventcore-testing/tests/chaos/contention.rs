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

/// However long a turn takes, those behind wait for it while it is alive.
#[tokio::test(start_paused = true)]
async fn a_slow_store_is_no_reason_to_be_in_each_others_way() {
    for pause in [60, 200, 2_000].map(Duration::from_millis) {
        let inner = InMemoryEventStore::new();
        let slow = || std::iter::repeat_n(Fault::Delay(pause), 1_000);
        let store = ChaosStore::new(inner.clone())
            .script(Operation::Read, slow())
            .script(Operation::Append, slow());
        let store = Arc::new(store);
        let mut tasks = JoinSet::new();
        for _ in 0..32 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { execute(deposit("hot", 1), &store).await.unwrap().attempts });
        }
        let attempts = tasks.join_all().await;
        assert_all_there(&inner, 32).await;
        assert!(
            attempts.iter().all(|attempts| *attempts <= 2),
            "{pause:?}: {attempts:?}"
        );
    }
}

/// Takes its time in `handle`, and the thread with it.
#[derive(Command)]
struct Ponder {
    #[stream(fold = Account)]
    account: StreamId,
}

impl CommandLogic for Ponder {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        std::thread::sleep(Duration::from_millis(250));
        emit!(events, streams.account => AccountEvent::Deposited { amount: 1 });
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_decision_is_no_reason_to_be_in_each_others_way() {
    let store = InMemoryEventStore::new();
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        let account = StreamId::try_new("hot").unwrap();
        tasks.spawn(async move { execute(Ponder { account }, &store).await.unwrap().attempts });
    }
    let attempts = tasks.join_all().await;
    assert_all_there(&store, 16).await;
    assert!(
        attempts.iter().all(|attempts| *attempts <= 2),
        "{attempts:?}"
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
    // Who fails was overtaken by somebody else, and there are 63 others: more attempts would be a false conflict.
    assert!(
        attempts.iter().all(|&attempts| attempts <= 64),
        "{attempts:?}"
    );
}
