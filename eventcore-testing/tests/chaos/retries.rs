//! Conflicts, errors that pass, and keys.

use std::time::Duration;

use eventcore::{prelude::*, store::StoreErrorKind};

use crate::bank::*;

/// Somebody else deposits into `account` before each of the first `times` appends.
async fn disturbed(account: &'static str, times: u64) -> ChaosStore<InMemoryEventStore> {
    let inner = with_a_hundred().await;
    (1..=times).fold(ChaosStore::new(inner.clone()), |store, call| {
        let other = elsewhere(&inner);
        store.before(Operation::Append, call, async move {
            execute(deposit(account, 1), &other).await.unwrap();
        })
    })
}

#[tokio::test]
async fn a_conflict_is_decided_anew_on_what_is_there_now() {
    let store = disturbed("a", 3).await;
    let decisions = Decisions::default();
    let receipt = execute(transfer(100, &decisions), &store)
        .retry(at_once())
        .await;
    assert_eq!((receipt.unwrap().attempts, decisions.count()), (4, 4));
    assert_eq!(balance(store.inner(), "a").await, 3);
}

#[tokio::test]
async fn a_conflict_can_turn_consent_into_rejection() {
    let inner = with_a_hundred().await;
    let other = elsewhere(&inner);
    let store = ChaosStore::new(inner).before(Operation::Append, 1, async move {
        execute(transfer(50, &Decisions::default()), &other)
            .await
            .unwrap();
    });
    let decisions = Decisions::default();
    let error = execute(transfer(60, &decisions), &store)
        .retry(at_once())
        .await;
    assert_eq!(error.unwrap_err().to_string(), "rejected: have 50");
    assert_eq!(decisions.count(), 2);
}

#[tokio::test]
async fn the_correlation_stays_the_same_over_retries() {
    let store = disturbed("b", 2).await;
    let receipt = execute(transfer(1, &Decisions::default()), &store)
        .retry(at_once())
        .await;
    let receipt = receipt.unwrap();
    let sent = store.sent();
    assert_eq!(sent.len(), 3);
    assert!(
        sent.iter()
            .all(|batch| batch.correlation_id() == receipt.correlation_id)
    );

    let chain = CorrelationId::generate();
    let store = disturbed("b", 2).await;
    execute(transfer(1, &Decisions::default()), &store)
        .metadata(
            Metadata::new()
                .correlation_id(chain)
                .causation_id(EventId::generate()),
        )
        .await
        .unwrap();
    let sent = store.sent();
    assert!(sent.iter().all(|batch| batch.correlation_id() == chain));
    assert!(sent[0].causation_id().is_some());
    assert!(
        sent.iter()
            .all(|batch| batch.causation_id() == sent[0].causation_id())
    );
}

#[tokio::test]
async fn without_retries_a_conflict_names_streams_and_versions() {
    let store = disturbed("b", 1).await;
    let error = execute(transfer(1, &Decisions::default()), &store)
        .retry(RetryPolicy::none())
        .await
        .unwrap_err();
    assert!(error.is_conflict() && error.is_retriable());
    let CommandError::Conflict { conflict, attempts } = error else {
        panic!("{error:?}");
    };
    assert_eq!(attempts, 1);
    let [moved] = conflict.streams() else {
        panic!("{conflict}");
    };
    assert_eq!(moved.stream, stream("b"));
    assert_eq!((moved.expected.get(), moved.actual.get()), (0, 1));
}

#[tokio::test]
async fn a_policy_is_obeyed_to_the_attempt() {
    for attempts in [1, 2, 7] {
        let store = disturbed("a", 100).await;
        let error = execute(transfer(1, &Decisions::default()), &store)
            .retry(at_once().max_attempts(attempts))
            .await
            .unwrap_err();
        assert!(matches!(error, CommandError::Conflict { attempts: a, .. } if a == attempts));
        assert_eq!(store.calls(Operation::Append), u64::from(attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_between_attempts_says_how_many_there_were() {
    let store = disturbed("a", 100).await;
    let error = execute(transfer(1, &Decisions::default()), &store)
        .retry(RetryPolicy::fixed(Duration::from_millis(400)))
        .deadline(Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommandError::DeadlineExceeded { attempts: 3 }),
        "{error:?}"
    );
    assert_eq!(length(store.inner(), "b").await, 0);
}

#[tokio::test]
async fn a_read_that_fails_or_breaks_off_is_done_again() {
    let inner = with_a_hundred().await;
    execute(deposit("b", 1), &inner).await.unwrap();
    let faults = [Fault::UNAVAILABLE, Fault::BreakOff, Fault::RequestLost];
    let store = ChaosStore::new(inner).script(Operation::Read, faults);
    let decisions = Decisions::default();
    let receipt = execute(transfer(100, &decisions), &store)
        .retry(at_once())
        .await;
    assert_eq!((receipt.unwrap().attempts, decisions.count()), (4, 1));
    assert_eq!(balance(store.inner(), "b").await, 101);
}

#[tokio::test]
async fn a_read_that_cannot_succeed_ends_the_command() {
    let broken = [Fault::Fails(StoreErrorKind::Corrupt)];
    let store = ChaosStore::new(with_a_hundred().await).script(Operation::Read, broken);
    let error = execute(transfer(1, &Decisions::default()), &store)
        .await
        .unwrap_err();
    assert!(matches!(error, CommandError::Read(_)), "{error:?}");
    assert_eq!(store.calls(Operation::Read), 1);
}

#[tokio::test]
async fn a_read_that_keeps_failing_ends_with_its_own_error() {
    let faults = [Fault::UNAVAILABLE; 3];
    let store = ChaosStore::new(with_a_hundred().await).script(Operation::Read, faults);
    let policy = at_once().max_attempts(3);
    let error = execute(transfer(1, &Decisions::default()), &store)
        .retry(policy)
        .await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, CommandError::Read(_)) && error.is_retriable(),
        "{error:?}"
    );
}

#[tokio::test]
async fn asking_for_an_earlier_receipt_is_tried_again_too() {
    let faults = [Fault::UNAVAILABLE, Fault::AnswerLost];
    let store = ChaosStore::new(with_a_hundred().await).script(Operation::FindReceipt, faults);
    let command = transfer(1, &Decisions::default());
    let receipt = execute(command, &store)
        .retry(at_once())
        .idempotency_key(key("k"))
        .await;
    assert_eq!(receipt.unwrap().attempts, 1);
    assert_eq!(store.calls(Operation::FindReceipt), 3);
}

#[tokio::test]
async fn a_key_of_another_command_is_refused_before_anything_is_done() {
    let store = ChaosStore::new(with_a_hundred().await);
    let decisions = Decisions::default();
    let run = |amount| execute(transfer(amount, &decisions), &store).idempotency_key(key("k"));
    run(1).await.unwrap();
    let error = run(2).await.unwrap_err();
    assert!(matches!(error, CommandError::IdempotencyConflict { key: k } if k == key("k")));
    let error = execute(deposit("a", 1), &store)
        .idempotency_key(key("k"))
        .await;
    assert!(
        matches!(error, Err(CommandError::IdempotencyConflict { .. })),
        "{error:?}"
    );
    assert_eq!((decisions.count(), store.calls(Operation::Append)), (1, 1));
}

#[tokio::test]
async fn a_key_taken_by_another_command_in_between_is_refused_by_the_append() {
    let inner = with_a_hundred().await;
    let other = elsewhere(&inner);
    let store = ChaosStore::new(inner).before(Operation::Append, 1, async move {
        let command = deposit("c", 1);
        execute(command, &other)
            .idempotency_key(key("k"))
            .await
            .unwrap();
    });
    let command = transfer(1, &Decisions::default());
    let error = execute(command, &store)
        .idempotency_key(key("k"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommandError::IdempotencyConflict { .. }),
        "{error:?}"
    );
    assert_eq!(balance(store.inner(), "a").await, 100);
}

#[tokio::test]
async fn the_same_command_under_the_same_key_in_between_is_returned() {
    let inner = with_a_hundred().await;
    let other = elsewhere(&inner);
    let store = ChaosStore::new(inner).before(Operation::Append, 1, async move {
        let command = transfer(30, &Decisions::default());
        execute(command, &other)
            .idempotency_key(key("k"))
            .await
            .unwrap();
    });
    let command = transfer(30, &Decisions::default());
    let receipt = execute(command, &store)
        .idempotency_key(key("k"))
        .await
        .unwrap();
    assert!(receipt.replayed, "the other run appended it");
    assert_eq!(balance(store.inner(), "a").await, 70);
}

#[tokio::test]
async fn a_command_is_not_refused_for_what_it_has_done_itself_elsewhere() {
    let inner = with_a_hundred().await;
    let other = elsewhere(&inner);
    // After this run has asked for its key, and before it reads the accounts.
    let store = ChaosStore::new(inner).before(Operation::Read, 1, async move {
        let command = transfer(80, &Decisions::default());
        execute(command, &other)
            .idempotency_key(key("k"))
            .await
            .unwrap();
    });
    let command = transfer(80, &Decisions::default());
    let receipt = execute(command, &store)
        .idempotency_key(key("k"))
        .await
        .unwrap();
    assert!(receipt.replayed);
    assert_eq!(balance(store.inner(), "a").await, 20);
}
