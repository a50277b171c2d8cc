//! A server that is silent.

use std::time::{Duration, Instant};

use eventcore::{
    CommandError, EventFilter, EventStore, GlobalPosition, IdempotencyKey, execute, store::PageSize,
};
use eventcore_testing::fault_proxy::{Fault, Gate, When};

use crate::{
    bank::APPEND,
    world::{World, carrying, options, unknown},
};

const DEADLINE: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(8);
const SOON: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_stalls_ends_at_the_deadline_without_effect() {
    let world = World::new().await;
    world.warm().await;
    let gate = Gate::new();
    let armed = world.proxy.arm(When::request(), Fault::Hold(gate.clone()));
    let command = world.transfer("a", "b");
    let (noted, begin) = (command.noted.clone(), Instant::now());
    let result = execute(command, &world.store)
        .metadata(carrying(&noted))
        .deadline(DEADLINE)
        .await;
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert_eq!(armed.times(), 1);
    let error = result.as_ref().unwrap_err();
    assert!(
        matches!(error, CommandError::DeadlineExceeded { .. }),
        "{error:?}"
    );
    noted.told(&result);
    gate.open();
    world.pay().await.unwrap();
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_stalls_ends_at_the_deadline_and_the_key_tells_later() {
    // Held before the server or behind it: who waits cannot tell.
    for when in [When::request().containing(APPEND), When::reply().nth(2)] {
        let world = World::new().await;
        world.warm().await;
        let gate = Gate::new();
        let armed = world.proxy.arm(when, Fault::Hold(gate.clone()));
        let command = world.transfer("a", "b");
        let (noted, begin) = (command.noted.clone(), Instant::now());
        let result = execute(command, &world.store)
            .metadata(carrying(&noted))
            .deadline(DEADLINE)
            .await;
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        assert_eq!(armed.times(), 1);
        noted.told(&result);
        let key = unknown(result);
        gate.open();
        world
            .until("SELECT max(position) FROM eventcore.events", "4")
            .await;
        assert_eq!(world.truth(&key).await.map(|ids| ids.len()), Some(2));
        world.pay().await.unwrap();
        assert_eq!(world.check().await.len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_stall_costs_time_and_nothing_else() {
    let world = World::new().await;
    world.warm().await;
    let time = Duration::from_millis(80);
    for when in [When::request(), When::reply()] {
        let _ = world.proxy.arm(when, Fault::Delay(time));
        let begin = Instant::now();
        assert_eq!(world.pay().await.unwrap().attempts, 1);
        assert!(begin.elapsed() >= time);
    }
    assert_eq!(world.check().await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_given_up_and_the_work_done_over_another() {
    let short = Duration::from_millis(300);
    let world = World::with(options().statement_timeout(short)).await;
    world.warm().await;
    // For ever, so that nothing goes on unless the store gives it up.
    let silent = || Fault::Hold(Gate::new());
    for when in [
        When::request().containing(APPEND),
        When::request(),
        When::reply().nth(2),
    ] {
        let armed = world.proxy.arm(when, silent());
        let begin = Instant::now();
        let paid = tokio::time::timeout(PATIENCE, world.pay()).await;
        assert!(paid.is_ok(), "it waits for ever");
        paid.unwrap().unwrap();
        assert_eq!(armed.times(), 1);
        assert!(begin.elapsed() > short, "it was given up too early");
    }
    assert_eq!(world.check().await.len(), 8);
    let closed = tokio::time::timeout(PATIENCE, world.store.close()).await;
    assert!(closed.is_ok(), "closing waits for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_fall_silent_take_no_place_in_the_pool() {
    let options = options().statement_timeout(Duration::from_millis(100));
    let world = World::with(options.max_connections(3)).await;
    world.warm().await;
    let (start, filter) = (GlobalPosition::START, EventFilter::all());
    let size = PageSize::try_new(10).unwrap();
    let key = IdempotencyKey::generate();
    for round in 0..3 {
        // Now the only connection that is not kept for commands is open and free.
        world.store.read_all(start, &filter, size).await.unwrap();
        // What the pool asks a connection that comes back is another matter.
        let read = When::request().matching(|burst| burst != b"S\0\0\0\x04");
        let armed = world.proxy.arm(read, Fault::Hold(Gate::new()));
        let error = if round % 2 == 0 {
            world
                .store
                .read_all(start, &filter, size)
                .await
                .unwrap_err()
        } else {
            world.store.find_receipt(&key).await.unwrap_err()
        };
        assert_eq!(armed.times(), 1);
        assert!(error.is_retriable(), "{error:?}");
    }
    world.store.read_all(start, &filter, size).await.unwrap();
    world.pay().await.unwrap();
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_ends_lets_go_of_the_order_lock() {
    // Without prepared statements an append is a transaction of several messages.
    let options = options().prepared_statements(false);
    let world = World::with(options.statement_timeout(Duration::from_millis(300))).await;
    world.warm().await;
    let commit = When::request().containing("COMMIT\0").nth(2);
    let armed = world.proxy.arm(commit, Fault::Hold(Gate::new()));
    let paid = tokio::time::timeout(PATIENCE, world.pay()).await;
    paid.expect("it waits for ever").unwrap();
    assert_eq!(armed.times(), 1);
    world.pay_directly("a", "b").await;
    assert_eq!(world.check().await.len(), 6);
}
