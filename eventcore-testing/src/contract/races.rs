//! P2: the same, with writers that really run at the same time.

use std::sync::Arc;

use eventcore::store::AppendError;
use tokio::sync::Barrier;

use super::{
    Harness,
    kit::{Store, check_witnesses, draft, join, log, stream, try_append, view, witness},
};

/// Whether a batch was appended, or met a conflict; nothing else may happen.
async fn wins(store: &Store, batch: eventcore::store::AppendBatch) -> bool {
    match try_append(store, batch).await {
        Ok(_) => true,
        Err(AppendError::Conflict(_)) => false,
        Err(error) => panic!("a race is promised to end in success or conflict, not {error:?}"),
    }
}

/// Pairs of tasks read two streams, wait for each other, and each writes the stream that the other only read.
pub async fn no_write_skew_through_read_only_streams(harness: Harness) {
    const PAIRS: u64 = 4;
    const ROUNDS: u64 = 12;
    let store = harness.store();
    let mut tasks = Vec::new();
    for pair in 0..PAIRS {
        let barrier = Arc::new(Barrier::new(2));
        for own in 0..2 {
            let (store, barrier) = (store.clone(), Arc::clone(&barrier));
            let streams = [0, 1].map(|n| stream(format!("skew:{pair}:{n}")));
            tasks.push(tokio::spawn(async move {
                let [a, b] = &streams;
                let mut won = Vec::new();
                for _ in 0..ROUNDS {
                    barrier.wait().await;
                    let seen = view(&store, &[a, b]).await.versions;
                    barrier.wait().await;
                    let batch = draft().expect(a, seen[0]).expect(b, seen[1]);
                    let event = witness(&[(a, seen[0]), (b, seen[1])]);
                    won.push(wins(&store, batch.event(&streams[own], event).build()).await);
                }
                won
            }));
        }
    }
    let won = join(tasks).await;
    for (pair, both) in won.chunks(2).enumerate() {
        for (round, (first, second)) in both[0].iter().zip(&both[1]).enumerate() {
            assert!(
                !(*first && *second),
                "write skew: in round {round} of pair {pair} two commands read streams 0 and 1 at the same versions, \
                 each wrote the other one, and both were committed"
            );
            assert!(
                *first || *second,
                "in round {round} of pair {pair} nobody else wrote, and both commands met a conflict"
            );
        }
    }
    check_witnesses(&log(&store).await);
}

/// Four tasks see four streams empty; each writes the first event of its own.
pub async fn no_phantom_first_event(harness: Harness) {
    const ROUNDS: u64 = 25;
    let store = harness.store();
    let barrier = Arc::new(Barrier::new(4));
    let mut tasks = Vec::new();
    for own in 0..4 {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                let streams = [0, 1, 2, 3].map(|n| stream(format!("phantom:{round}:{n}")));
                let seen = view(&store, &streams.each_ref()).await.versions;
                barrier.wait().await;
                let batch = streams
                    .iter()
                    .zip(&seen)
                    .fold(draft(), |d, (s, v)| d.expect(s, *v));
                let all: Vec<_> = streams.iter().zip(seen.iter().copied()).collect();
                let batch = batch.event(&streams[own], witness(&all)).build();
                won.push(wins(&store, batch).await);
                barrier.wait().await;
            }
            won
        }));
    }
    let won = join(tasks).await;
    for round in 0..25 {
        let winners = won.iter().filter(|of_task| of_task[round]).count();
        assert_eq!(
            winners, 1,
            "in round {round} four commands saw four streams empty and each wrote the first event of one: exactly \
             one is promised to be committed"
        );
    }
    check_witnesses(&log(&store).await);
}

/// Writers read one counter and increment it, again after each conflict.
pub async fn no_lost_updates(harness: Harness) {
    const WRITERS: u64 = 6;
    const INCREMENTS: u64 = 8;
    let store = harness.store();
    let counter = stream("lost:counter");
    let barrier = Arc::new(Barrier::new(6));
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let (store, counter, barrier) = (store.clone(), counter.clone(), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            for _ in 0..INCREMENTS {
                loop {
                    let at = view(&store, &[&counter]).await.versions[0];
                    let event = witness(&[(&counter, at)]);
                    let batch = draft().expect(&counter, at).event(&counter, event);
                    if wins(&store, batch.build()).await {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    join(tasks).await;
    let log = log(&store).await;
    check_witnesses(&log);
    assert_eq!(
        log.len() as u64,
        WRITERS * INCREMENTS,
        "{WRITERS} writers were told {INCREMENTS} times each that their increment was appended"
    );
}
