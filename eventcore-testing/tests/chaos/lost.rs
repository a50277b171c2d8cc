//! Connections that break around the append.

use std::time::Duration;

use eventcore::{
    prelude::*,
    store::{AppendError, Capabilities, StoreErrorKind},
};

use crate::bank::*;

/// What a transfer of 30 on this store came to, with the number of decisions.
async fn transfer_30(
    store: &ChaosStore<InMemoryEventStore>,
) -> (Result<CommandReceipt, CommandError>, u32) {
    let decisions = Decisions::default();
    let result = execute(transfer(30, &decisions), store)
        .retry(at_once())
        .await;
    (result, decisions.count())
}

async fn assert_applied_once(store: &ChaosStore<InMemoryEventStore>) {
    assert_eq!(balance(store.inner(), "a").await, 70);
    assert_eq!(balance(store.inner(), "b").await, 30);
    assert_eq!(length(store.inner(), "a").await, 2);
}

async fn appends(faults: impl IntoIterator<Item = Fault>) -> ChaosStore<InMemoryEventStore> {
    ChaosStore::new(with_a_hundred().await).script(Operation::Append, faults)
}

#[tokio::test]
async fn a_lost_acknowledgement_neither_doubles_nor_decides_again() {
    let store = appends([Fault::AnswerLost]).await;
    let (result, decisions) = transfer_30(&store).await;
    let receipt = result.unwrap();
    assert_eq!((decisions, receipt.attempts), (1, 1));
    assert_eq!(receipt.version_of(&stream("a")).unwrap().get(), 2);
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn a_command_that_was_appended_by_this_run_is_no_replay() {
    let store = appends([Fault::AnswerLost]).await;
    let (result, _) = transfer_30(&store).await;
    assert!(!result.unwrap().replayed);

    let store = appends([Fault::AnswerLost]).await;
    let run = || execute(transfer(30, &Decisions::default()), &store).idempotency_key(key("k"));
    let first = run().await.unwrap();
    let second = run().await.unwrap();
    assert_eq!((first.replayed, second.replayed), (false, true));
    assert_eq!(first.events, second.events);
}

#[tokio::test]
async fn acknowledgements_lost_again_and_again_apply_once() {
    let store = appends([
        Fault::AnswerLost,
        Fault::UNAVAILABLE,
        Fault::AnswerLost,
        Fault::RequestLost,
    ])
    .await;
    let (result, decisions) = transfer_30(&store).await;
    assert_eq!((decisions, result.unwrap().attempts), (1, 1));
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_again() {
    let store = appends([Fault::RequestLost, Fault::RequestLost]).await;
    let (result, decisions) = transfer_30(&store).await;
    assert_eq!((decisions, result.unwrap().attempts), (1, 1));
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn an_append_that_surely_failed_is_decided_anew() {
    let store = appends([Fault::UNAVAILABLE]).await;
    let (result, decisions) = transfer_30(&store).await;
    assert_eq!((decisions, result.unwrap().attempts), (2, 2));
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn what_is_sent_again_is_the_same_to_the_byte() {
    let faults = [Fault::AnswerLost, Fault::RequestLost, Fault::UNAVAILABLE];
    let store = appends(faults).await;
    transfer_30(&store).await.0.unwrap();
    let sent = store.sent();
    assert_eq!(sent.len(), 4);
    // Identities, times, payloads and the key included.
    assert!(sent.iter().all(|batch| *batch == sent[0]), "{sent:#?}");
}

#[tokio::test]
async fn a_conflict_after_a_lost_request_is_decided_anew() {
    let inner = with_a_hundred().await;
    let other = elsewhere(&inner);
    let store = ChaosStore::new(inner)
        .script(Operation::Append, [Fault::RequestLost])
        .before(Operation::Append, 2, async move {
            execute(deposit("b", 5), &other).await.unwrap();
        });
    let (result, decisions) = transfer_30(&store).await;
    assert_eq!((decisions, result.unwrap().attempts), (2, 2));
    assert_eq!(balance(store.inner(), "b").await, 35);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_names_the_key_to_ask_with() {
    for (fault, applied) in [(Fault::AnswerLost, true), (Fault::RequestLost, false)] {
        let store = appends([fault]).await;
        let command = transfer(30, &Decisions::default());
        let command = execute(command, &store).idempotency_key(key("k"));
        let error = command.retry(RetryPolicy::none()).await;
        let Err(CommandError::OutcomeUnknown { key, source, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.unwrap().kind(), StoreErrorKind::Unavailable);
        let kept = store.inner().find_receipt(&key.unwrap()).await.unwrap();
        assert_eq!(kept.is_some(), applied);
    }
}

#[tokio::test]
async fn an_error_that_will_not_pass_leaves_a_lost_outcome_unknown() {
    let store = appends([Fault::AnswerLost, Fault::Fails(StoreErrorKind::Closed)]).await;
    let (result, decisions) = transfer_30(&store).await;
    let Err(CommandError::OutcomeUnknown { source, .. }) = result else {
        panic!("the events are there, and this says that they are not: {result:?}");
    };
    assert_eq!(source.unwrap().kind(), StoreErrorKind::Closed);
    assert_eq!(decisions, 1);
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn an_error_that_will_not_pass_ends_the_command_at_once() {
    let store = appends([Fault::Fails(StoreErrorKind::Full)]).await;
    let (result, decisions) = transfer_30(&store).await;
    let Err(CommandError::Append(AppendError::Store(error))) = result else {
        panic!("{result:?}");
    };
    assert_eq!((error.kind(), decisions), (StoreErrorKind::Full, 1));
    assert_eq!(store.calls(Operation::Append), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_append_says_that_nothing_was_done() {
    for operation in [Operation::Read, Operation::FindReceipt] {
        let store = ChaosStore::new(with_a_hundred().await).script(operation, [Fault::Hang]);
        let command = execute(transfer(30, &Decisions::default()), &store)
            .idempotency_key(key("k"))
            .deadline(Duration::from_secs(1));
        let error = in_time(command).await.unwrap_err();
        assert!(
            matches!(error, CommandError::DeadlineExceeded { .. }),
            "{error:?}"
        );
        assert_eq!(store.calls(Operation::Append), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_during_the_append_names_the_key_to_ask_with() {
    for (fault, applied) in [(Fault::Stall, true), (Fault::Hang, false)] {
        let store = appends([fault]).await;
        let command = execute(transfer(30, &Decisions::default()), &store);
        let command = command.deadline(Duration::from_secs(1));
        let error = in_time(command).await.unwrap_err();
        let CommandError::OutcomeUnknown {
            key, source: None, ..
        } = error
        else {
            panic!("{error:?}");
        };
        let kept = store.inner().find_receipt(&key.unwrap()).await.unwrap();
        assert_eq!(kept.is_some(), applied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_brings_a_key_to_a_store_that_always_knows_its_outcomes() {
    let store = appends([Fault::Stall]).await.claiming(Capabilities::none());
    let command = execute(transfer(30, &Decisions::default()), &store);
    let error = in_time(command.deadline(Duration::from_secs(1))).await;
    let Err(CommandError::OutcomeUnknown { key, .. }) = error else {
        panic!("{error:?}");
    };
    assert!(
        store
            .inner()
            .find_receipt(&key.unwrap())
            .await
            .unwrap()
            .is_some()
    );
}

/// Without a key of its own, a batch is known by its events.
#[tokio::test]
async fn a_command_without_a_key_is_applied_once_when_its_acknowledgement_is_lost() {
    let store = appends([Fault::AnswerLost])
        .await
        .claiming(Capabilities::none());
    let (result, decisions) = transfer_30(&store).await;
    let receipt = result.unwrap();
    assert!(!receipt.replayed, "it is this command's own: {receipt:?}");
    assert_eq!((decisions, store.calls(Operation::Append)), (1, 2));
    assert!(store.sent()[0].idempotency().is_none());
    assert_applied_once(&store).await;
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_can_be_made_sure_of_without_a_key() {
    for lost in [Fault::AnswerLost, Fault::RequestLost] {
        let store = appends([lost; 20]).await.claiming(Capabilities::none());
        let (result, _) = transfer_30(&store).await;
        let told = result.as_ref().unwrap_err().to_string();
        let Err(CommandError::OutcomeUnknown {
            key: None, batch, ..
        }) = result
        else {
            panic!("{result:?}");
        };
        assert!(told.contains("append its batch again"), "{told}");
        store.inner().append(batch).await.unwrap();
        assert_applied_once(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_while_waiting_to_ask_again_leaves_the_outcome_unknown() {
    let store = appends([Fault::AnswerLost]).await;
    let error = execute(transfer(30, &Decisions::default()), &store)
        .retry(RetryPolicy::fixed(Duration::from_mins(1)))
        .deadline(Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CommandError::OutcomeUnknown {
                source: Some(_),
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_empty_decision_under_a_key_is_remembered_through_a_lost_acknowledgement() {
    let store = appends([Fault::AnswerLost]).await;
    let decisions = Decisions::default();
    for _ in 0..2 {
        let command = transfer(0, &decisions);
        let receipt = execute(command, &store).idempotency_key(key("k")).await;
        assert!(receipt.unwrap().events.is_empty());
    }
    assert_eq!(decisions.count(), 1);
}
