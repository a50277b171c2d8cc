//! Events that cannot be applied.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use eventcore::{
    GlobalPosition, RetryPolicy,
    projection::{
        DeadLetter, FailurePolicy, Fate, ProjectionError, ProjectionId, ProjectionState,
        ProjectionStore, run_projection,
    },
};
use eventcore_memory::InMemoryProjections;

use crate::{
    counters::{count, store},
    models::{Diary, Fails, SOON, views},
    seed,
};

fn quickly(policy: FailurePolicy) -> FailurePolicy {
    policy.retry(RetryPolicy::fixed(Duration::from_millis(1)).max_attempts(3))
}

fn diary_id() -> ProjectionId {
    ProjectionId {
        name: "diary".parse().unwrap(),
        version: 1,
    }
}

async fn letters(views: &InMemoryProjections) -> Vec<DeadLetter> {
    views
        .dead_letters(&diary_id(), GlobalPosition::START, 100)
        .await
        .unwrap()
}

/// What became of a diary over two counters whose event at position 3, the second of counter:1, is the unlucky one.
async fn after_a_failure(
    diary: &Diary,
    policy: FailurePolicy,
) -> (InMemoryProjections, Result<(), ProjectionError>) {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1]).await;
    count(&store, "counter:2", &[1]).await;
    count(&store, "counter:1", &[13]).await;
    count(&store, "counter:2", &[1]).await;
    let last = count(&store, "counter:1", &[1]).await;
    let running = run_projection(diary.clone(), &store, &views)
        .on_failure(policy)
        .apply_timeout(Duration::from_millis(200))
        .start()
        .unwrap();
    let waited = running.wait_until(last, SOON).await;
    let stopped = running.stop().await;
    (views, waited.and(stopped))
}

#[tokio::test]
async fn what_fails_some_times_is_tried_again_and_applied_once() {
    let diary = Diary::failing(Fails::Times(2));
    let (views, result) = after_a_failure(&diary, FailurePolicy::stop()).await;
    result.unwrap();
    let all = [
        "counter:1@1",
        "counter:2@1",
        "counter:1@2",
        "counter:2@2",
        "counter:1@3",
    ];
    // In memory the diary is not rolled back with its page; the order of first sight is what counts.
    let mut seen = diary.pages();
    seen.dedup();
    assert_eq!(seen.last().unwrap(), all[4]);
    for event in all {
        assert!(
            seen.iter().any(|applied| applied == event),
            "{event} in {seen:?}"
        );
    }
    assert_eq!(letters(&views).await, []);
}

#[tokio::test]
async fn by_default_it_stops_with_an_error_that_names_the_event() {
    for fails in [Fails::Always, Fails::Panics, Fails::Hangs] {
        let diary = Diary::failing(fails);
        let (views, result) = after_a_failure(&diary, quickly(FailurePolicy::stop())).await;
        let error = result.unwrap_err().to_string();
        for part in ["position 3", "counter:1", "diary v1"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let standing = &views.standings(&diary_id().name).await.unwrap()[0];
        assert_eq!(standing.checkpoint.position.get(), 2, "{fails:?}");
        assert!(standing.leader.is_none());
    }
}

#[tokio::test]
async fn a_skipped_event_is_written_down_and_the_rest_is_applied() {
    let diary = Diary::failing(Fails::Always);
    let (views, result) = after_a_failure(&diary, quickly(FailurePolicy::skip())).await;
    result.unwrap();
    let found = letters(&views).await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].position.get(), found[0].fate, found[0].attempts),
        (3, Fate::Skipped, 3)
    );
    assert!(found[0].error.contains("unlucky"));
    assert!(diary.pages().contains(&"counter:1@3".into()));
}

#[tokio::test]
async fn a_parked_event_holds_back_its_stream_and_no_other() {
    let diary = Diary::failing(Fails::Panics);
    let (views, result) = after_a_failure(&diary, quickly(FailurePolicy::park())).await;
    result.unwrap();
    let found = letters(&views).await;
    let fates: Vec<_> = found
        .iter()
        .map(|letter| (letter.position.get(), letter.fate))
        .collect();
    assert_eq!(fates, [(3, Fate::Parked), (5, Fate::Behind)]);
    assert!(
        found[0].error.contains("panicked: unlucky"),
        "{}",
        found[0].error
    );
    let seen = diary.pages();
    assert!(seen.contains(&"counter:2@2".into()) && !seen.contains(&"counter:1@3".into()));
}

#[tokio::test]
async fn parked_alone_it_holds_back_nothing() {
    let diary = Diary::failing(Fails::Always);
    let (views, result) = after_a_failure(&diary, quickly(FailurePolicy::park_alone())).await;
    result.unwrap();
    assert_eq!(letters(&views).await.len(), 1);
    assert!(diary.pages().contains(&"counter:1@3".into()));
}

#[tokio::test]
async fn parked_events_are_replayed_in_order_when_asked_for() {
    let (store, views) = (store(), views());
    let diary = Diary::failing(Fails::Always);
    count(&store, "counter:1", &[1, 13, 3]).await;
    let last = count(&store, "counter:2", &[1]).await;
    let running = run_projection(diary.clone(), &store, &views)
        .on_failure(quickly(FailurePolicy::park()))
        .start()
        .unwrap();
    running.wait_until(last, SOON).await.unwrap();
    assert_eq!(running.status().partitions[0].waiting_letters, 2);

    // Still unlucky: it goes back to where it was.
    assert_eq!(views.replay(&diary_id()).await.unwrap(), 2);
    let tried = |letters: &[DeadLetter]| letters[0].fate == Fate::Parked && letters[0].attempts > 3;
    while !tried(&letters(&views).await) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(letters(&views).await[1].fate, Fate::Behind);

    *diary.fails.lock().unwrap() = None;
    assert_eq!(views.replay(&diary_id()).await.unwrap(), 2);
    while !letters(&views).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // And the stream is free again.
    let last = count(&store, "counter:1", &[4]).await;
    running.wait_until(last, SOON).await.unwrap();
    let seen = diary.pages();
    assert_eq!(
        seen[seen.len() - 3..],
        ["counter:1@2", "counter:1@3", "counter:1@4"]
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_comes_between_the_asking_and_the_replay_is_not_left_behind() {
    let (store, views) = (store(), views());
    let diary = Diary::failing(Fails::Always);
    let last = count(&store, "counter:1", &[13, 2]).await;
    let running = run_projection(diary.clone(), &store, &views)
        .on_failure(quickly(FailurePolicy::park()))
        .start()
        .unwrap();
    running.wait_until(last, SOON).await.unwrap();
    *diary.fails.lock().unwrap() = None;
    views.replay(&diary_id()).await.unwrap();
    // The leader has not looked yet, so this one is put behind the others.
    let last = count(&store, "counter:1", &[3]).await;
    running.wait_until(last, SOON).await.unwrap();
    while !letters(&views).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(diary.pages(), ["counter:1@1", "counter:1@2", "counter:1@3"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_is_not_tried_again_but_treated_like_the_others() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1]).await;
    seed::given_stored(
        &store,
        "counter:2",
        seed::stored("counter.up", r#"{"by":"many"}"#),
    )
    .await;
    let last = count(&store, "counter:1", &[1]).await;
    let diary = Diary::default();
    let running = run_projection(diary.clone(), &store, &views)
        .on_failure(FailurePolicy::park())
        .start()
        .unwrap();
    running.wait_until(last, SOON).await.unwrap();
    let found = letters(&views).await;
    assert_eq!(
        (found.len(), found[0].attempts, found[0].position.get()),
        (1, 1, 2)
    );
    assert!(found[0].error.contains("counter.up"), "{}", found[0].error);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn while_one_event_is_tried_again_the_status_says_so() {
    let (store, views) = (store(), views());
    count(&store, "counter:1", &[1, 13]).await;
    let diary = Diary::failing(Fails::Always);
    let policy = FailurePolicy::stop().retry(RetryPolicy::fixed(Duration::from_mins(1)));
    let running = run_projection(diary.clone(), &store, &views)
        .on_failure(policy)
        .start()
        .unwrap();
    loop {
        let partition = running.status().partitions.remove(0);
        if partition.state == ProjectionState::Failing {
            assert_eq!(partition.last_error.as_deref(), Some("unlucky"));
            assert_eq!(partition.position.get(), 1);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Stopping does not wait for the sixty seconds.
    tokio::time::timeout(Duration::from_secs(10), running.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(diary.tries.load(Relaxed) >= 1);
}

/// Panics where nobody expects it.
struct Broken;

impl eventcore::projection::ReadModel for Broken {
    type Event = crate::counters::Counted;
    type Document = ();
    const NAME: &'static str = "broken";
    fn filter(&self) -> eventcore::EventFilter {
        panic!("no filter")
    }
    fn keys(
        &self,
        _: &eventcore::StoredEvent<Self::Event>,
    ) -> impl IntoIterator<Item = eventcore::projection::DocumentKey> {
        None
    }
    fn apply(
        &self,
        _: &eventcore::projection::DocumentKey,
        _: &mut Option<()>,
        _: &eventcore::StoredEvent<Self::Event>,
    ) {
    }
}

#[tokio::test]
async fn a_panic_anywhere_is_an_error_and_not_the_end_of_others() {
    let (store, views) = (store(), views());
    let broken = eventcore::projection::project(Broken, &store, &views)
        .start()
        .unwrap();
    let diary = run_projection(Diary::default(), &store, &views)
        .start()
        .unwrap();
    let error = broken.wait_until_live(SOON).await.unwrap_err();
    assert!(error.to_string().contains("panicked: no filter"), "{error}");
    diary.wait_until_live(SOON).await.unwrap();
}
