//! The wrapper itself: it forwards what it does not spoil, and spoils what it was told to.

use std::sync::Arc;

use eventcore::{EventFilter, GlobalPosition, prelude::*, store::ReadFrom};
use eventcore_testing::model;

use crate::bank::*;

#[test]
fn without_faults_it_answers_as_the_model() {
    model::check(32, || async {
        ChaosStore::new(InMemoryEventStore::new()).yielding()
    });
}

#[tokio::test]
async fn it_declares_that_outcomes_can_be_unknown_and_keeps_the_other_claims() {
    let inner = InMemoryEventStore::new();
    let declared = ChaosStore::new(inner.clone()).capabilities();
    assert_eq!(declared, inner.capabilities().outcome_can_be_unknown());
}

#[tokio::test]
async fn it_shares_the_waiting_lines_unless_it_is_apart() {
    let inner = Arc::new(InMemoryEventStore::new());
    let near = ChaosStore::new(Arc::clone(&inner));
    assert!(std::ptr::eq(near.commons(), inner.commons()));
    assert!(!std::ptr::eq(near.apart().commons(), inner.commons()));
}

/// Whether each of 200 reads, and each of 200 pages, went through.
async fn luck(seed: u64, percent: u8) -> Vec<bool> {
    let store = ChaosStore::new(with_a_hundred().await).random(seed, percent);
    let a = [ReadFrom::start(stream("a"))];
    let limit = 10.try_into().unwrap();
    let mut luck = Vec::new();
    for _ in 0..200 {
        let read = match store.read(&a).await {
            Ok(read) => read.events.collect().await.is_ok(),
            Err(_) => false,
        };
        let page = store
            .read_all(GlobalPosition::START, &EventFilter::all(), limit)
            .await;
        luck.extend([read, page.is_ok()]);
    }
    luck
}

#[tokio::test(start_paused = true)]
async fn random_faults_come_again_with_their_seed() {
    let first = luck(1, 50).await;
    assert_eq!(first, luck(1, 50).await);
    assert_ne!(first, luck(2, 50).await);
}

#[tokio::test(start_paused = true)]
async fn random_faults_come_as_often_as_asked_for() {
    let bad = |luck: Vec<bool>| luck.iter().filter(|went_through| !**went_through).count();
    assert_eq!(bad(luck(1, 0).await), 0);
    // Half of all, of which those that are only late go through.
    let half = bad(luck(1, 50).await);
    assert!((100..200).contains(&half), "{half} of 400");
}

#[tokio::test]
async fn a_script_comes_before_dice_and_a_read_that_breaks_off_has_given_half() {
    let inner = with_a_hundred().await;
    execute(deposit("a", 1), &inner).await.unwrap();
    let script = [Fault::Pass, Fault::BreakOff];
    let store = ChaosStore::new(inner)
        .random(1, 100)
        .script(Operation::Read, script);
    let a = [ReadFrom::start(stream("a"))];
    let whole = store
        .read(&a)
        .await
        .unwrap()
        .events
        .collect()
        .await
        .unwrap();
    let mut half = store.read(&a).await.unwrap().events;
    assert_eq!(half.next_chunk().await.unwrap().unwrap(), whole[..1]);
    assert!(half.next_chunk().await.unwrap_err().is_retriable());
}
