//! Retries that come while the original is still under way.

use std::{future::IntoFuture, pin::Pin, time::Duration};

use eventcore::{RetryPolicy, execute};
use eventcore_testing::fault_proxy::{Fault, Gate, When};
use sqlx::{Connection, PgConnection};

use crate::{
    bank::APPEND,
    support::{LOCK_ORDER, WAIT_FOR_ORDER},
    world::{World, carrying},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_the_original_and_returns_its_result() {
    let world = World::new().await;
    world.warm().await;
    let mut other = PgConnection::connect(&world.database.url()).await.unwrap();
    let mut holder = other.begin().await.unwrap();
    sqlx::query(LOCK_ORDER).execute(&mut *holder).await.unwrap();
    let (result, ()) = tokio::join!(world.pay(), async {
        world.until(WAIT_FOR_ORDER, "1").await;
        // The server does not notice while it waits for the lock.
        assert!(world.proxy.close_all() > 0);
        world.until(WAIT_FOR_ORDER, "2").await;
        holder.rollback().await.unwrap();
    });
    let receipt = result.unwrap();
    assert_eq!((receipt.attempts, receipt.replayed), (1, false));
    assert_eq!(world.decisions(), 1);
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_arrives_after_its_retry_changes_nothing() {
    let world = World::new().await;
    world.warm().await;
    let gate = Gate::new();
    let late = Fault::ArriveLate(gate.clone());
    let armed = world.proxy.arm(When::request().containing(APPEND), late);
    let receipt = world.pay().await.unwrap();
    let struck = armed.struck().await;
    assert_eq!((receipt.attempts, world.decisions()), (1, 1));
    let before = world.check().await;
    assert_eq!(before.len(), 4);
    assert!(world.proxy.connections().contains(&struck));
    gate.open();
    // It ends when the server has answered.
    while world.proxy.connections().contains(&struck) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.check().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_original_that_arrives_after_the_command_decided_anew_changes_nothing() {
    let world = World::new().await;
    world.warm().await;
    let (late, held) = (Gate::new(), Gate::new());
    let append = || When::request().containing(APPEND);
    let (original, retry) = (
        world.proxy.arm(append(), Fault::ArriveLate(late.clone())),
        world.proxy.arm(append(), Fault::Hold(held.clone())),
    );
    let (result, ()) = tokio::join!(world.pay(), async {
        retry.struck().await;
        // Another takes its place, so that the command has to decide again.
        world.pay_directly("b", "a").await;
        held.open();
    });
    assert_eq!(result.unwrap().attempts, 2);
    let original = original.struck().await;
    late.open();
    while world.proxy.connections().contains(&original) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.check().await.len(), 6);
}

/// Ends after so many polls, whatever there is.
struct Polled<F> {
    work: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        self.left -= 1;
        let polled = self.work.as_mut().poll(cx).map(Some);
        if self.left == 0 && polled.is_pending() {
            return std::task::Poll::Ready(None);
        }
        polled
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_dropped_at_any_await_is_whole_or_nothing_and_leaves_the_store_well() {
    let world = World::new().await;
    world.warm().await;
    // A third also loses its acknowledgement, so that it is dropped while it asks again.
    let (mut dropped, mut finished) = (0, 0);
    for round in 0..60_usize {
        let fault = match round % 3 {
            0 => Fault::Pass,
            1 => Fault::SwallowReply,
            _ => Fault::Delay(Duration::from_millis(2)),
        };
        let armed = world.proxy.arm(When::request().containing(APPEND), fault);
        let command = world.transfer(&format!("a{round}"), "b");
        let noted = command.noted.clone();
        let execution = execute(command, &world.store).metadata(carrying(&noted));
        let polled = Polled {
            work: Box::pin(execution.into_future()),
            left: 1 + round / 3 % 6,
        };
        match polled.await {
            Some(result) => {
                noted.told(&result);
                result.unwrap();
                finished += 1;
            }
            None => dropped += 1,
        }
        armed.disarm();
        // The next one finds a store that works.
        let next = world.transfer(&format!("next{round}"), "c");
        world.run(next, RetryPolicy::default()).await.unwrap();
    }
    assert!(
        dropped > 8 && finished > 8,
        "{dropped} dropped, {finished} finished"
    );
    let log = world.check().await;
    assert!(log.len() >= 2 * (1 + 60 + finished));
}
