//! Connections that end: before the request, after the commit, and everywhere else.

use std::time::Duration;

use eventcore::{CommandError, EventStore, RetryPolicy, execute, store::AppendError};
use eventcore_testing::fault_proxy::{Fault, Gate, When};

use crate::{
    bank::APPEND,
    world::{World, carrying, unknown},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_is_found_again_and_the_command_not_run_again() {
    let world = World::new().await;
    world.warm().await;
    let armed = world
        .proxy
        .arm(When::request().containing(APPEND), Fault::SwallowReply);
    let receipt = world.pay().await.unwrap();
    assert_eq!(armed.times(), 1);
    assert_eq!((receipt.attempts, receipt.replayed), (1, false));
    assert_eq!(world.decisions(), 1);
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_lost_again_and_again_are_found_in_the_end() {
    let world = World::new().await;
    world.warm().await;
    let lose = || {
        world
            .proxy
            .arm(When::request().containing(APPEND), Fault::SwallowReply)
    };
    let armed = [lose(), lose(), lose(), lose()];
    let receipt = world.pay().await.unwrap();
    assert!(armed.iter().all(|armed| armed.times() == 1));
    assert_eq!((receipt.attempts, world.decisions()), (1, 1));
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_lost_is_sent_again_and_applied_once() {
    let world = World::new().await;
    world.warm().await;
    let armed = world
        .proxy
        .arm(When::request().containing(APPEND), Fault::Close);
    let receipt = world.pay().await.unwrap();
    assert_eq!(armed.times(), 1);
    assert_eq!((receipt.attempts, world.decisions()), (1, 1));
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_events_are_no_conflict_for_a_retry_even_if_others_have_written_since() {
    let world = World::new().await;
    world.warm().await;
    let gate = Gate::new();
    let append = || When::request().containing(APPEND);
    let (first, retry) = (
        world.proxy.arm(append(), Fault::SwallowReply),
        world.proxy.arm(append(), Fault::Hold(gate.clone())),
    );
    let (result, ()) = tokio::join!(world.pay(), async {
        retry.struck().await;
        world.pay_directly("a", "b").await;
        gate.open();
    });
    let receipt = result.unwrap();
    assert_eq!(first.times(), 1);
    assert_eq!(receipt.position().unwrap().get(), 4);
    assert_eq!(receipt.attempts, 1);
    assert_eq!(world.check().await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_settled_is_told_with_the_batch_that_settles_it_later() {
    let world = World::new().await;
    let impatient = RetryPolicy::fixed(Duration::from_millis(1)).max_attempts(3);
    for (fault, applied) in [(Fault::SwallowReply, true), (Fault::Close, false)] {
        world.warm().await;
        let append = || When::request().containing(APPEND);
        let (first, rest) = (
            world.proxy.arm(append(), fault),
            world.proxy.arm_always(append(), Fault::Close),
        );
        let command = world.transfer("a", "b");
        let result = world.run(command, impatient.clone()).await;
        let Err(CommandError::OutcomeUnknown {
            key: None, batch, ..
        }) = result
        else {
            panic!("{result:?}");
        };
        assert_eq!((first.times(), rest.times()), (1, 2));
        assert_eq!(world.decisions(), 1);
        rest.disarm();
        let ours = batch.events()[0].id;
        let there = world.check().await;
        assert_eq!(there.iter().any(|event| event.id() == ours), applied);
        let mut receipt = world.store.append(batch.clone()).await;
        while receipt.as_ref().is_err_and(AppendError::is_retriable) {
            receipt = world.store.append(batch.clone()).await;
        }
        let receipt = receipt.unwrap();
        assert_eq!(receipt.replayed, applied);
        assert_eq!(receipt.events[0].id, ours);
    }
    assert_eq!(world.check().await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_key_is_the_callers_is_settled_by_running_it_again() {
    let world = World::new().await;
    world.warm().await;
    let key = eventcore::IdempotencyKey::generate();
    let command = world.transfer("a", "b");
    let run = || {
        let execution = execute(command.clone(), &world.store).idempotency_key(key.clone());
        execution.metadata(carrying(&command.noted))
    };
    let armed = world
        .proxy
        .arm(When::request().containing(APPEND), Fault::SwallowReply);
    let (result, ()) = tokio::join!(run().retry(RetryPolicy::none()).into_future(), async {
        armed.struck().await;
        world.proxy.refuse(true);
    });
    assert_eq!(unknown(result), key);
    world.proxy.refuse(false);
    let result = run().await;
    command.noted.told(&result);
    let receipt = result.unwrap();
    assert_eq!((receipt.attempts, receipt.replayed), (0, true));
    assert_eq!(world.decisions(), 1);
    assert_eq!(world.check().await.len(), 4);
}

/// From opening a connection to the last answer, each burst of a command meets each way to break.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_end_at_any_burst_of_a_command() {
    let world = World::new().await;
    let mut broken = 0;
    for when in [When::request(), When::reply()] {
        for fault in [Fault::Close, Fault::SwallowReply, Fault::CloseAfter(7)] {
            for nth in 1.. {
                let store = world.another().await;
                let armed = world.proxy.arm(when.clone().nth(nth), fault.clone());
                let command = world.transfer(&format!("a{broken}"), "b");
                let noted = command.noted.clone();
                let soon = RetryPolicy::fixed(Duration::from_millis(1));
                let result = execute(command, &store)
                    .retry(soon)
                    .metadata(carrying(&noted))
                    .await;
                noted.told(&result);
                let text = format!("{fault:?} at {when:?} number {nth}");
                assert!(result.is_ok(), "{text}: {result:?}");
                store.close().await;
                if armed.times() == 0 {
                    armed.disarm();
                    assert!(nth > 4, "{text}: too few bursts to be a command");
                    break;
                }
                broken += 1;
            }
        }
    }
    // Those that met nothing took effect as well.
    assert_eq!(world.check().await.len(), 2 * (broken + 6));
    println!("{broken} moments");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_the_server_ends_for_idleness_cost_a_retry_and_no_error() {
    let world = World::new().await;
    let impatient = format!(
        "ALTER DATABASE \"{}\" SET idle_session_timeout = '60ms'",
        world.database.name()
    );
    world.sql(&impatient);
    let store = world.another().await;
    for _ in 0..3 {
        let command = world.transfer("a", "b");
        let noted = command.noted.clone();
        let result = execute(command, &store).metadata(carrying(&noted)).await;
        noted.told(&result);
        result.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Whoever reads by himself is told that another try may help.
        let key = eventcore::IdempotencyKey::generate();
        if let Err(error) = store.find_receipt(&key).await {
            assert!(error.is_retriable(), "{error:?}");
        }
    }
    assert_eq!(world.check().await.len(), 6);
}
