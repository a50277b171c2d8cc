//! States that are kept between commands: faster, and never seen.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use std::sync::Arc;

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;
use seed::{one_more, stored, stream};
use spy::Spy;

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(prefix = "counter")]
enum Counted {
    By { number: u64 },
}

/// The sum, and the whole history, so that a state that was shared or lost shows.
#[derive(Default, Clone)]
struct Counter {
    sum: u64,
    history: Vec<u64>,
}

impl Fold for Counter {
    type Event = Counted;
    fn apply(&mut self, event: &StoredEvent<Counted>) {
        let Counted::By { number } = event.data();
        self.sum += number;
        self.history.push(event.version().get());
    }
}

/// The same events, folded otherwise.
#[derive(Default, Clone)]
struct Largest(u64);

impl Fold for Largest {
    type Event = Counted;
    fn apply(&mut self, event: &StoredEvent<Counted>) {
        let Counted::By { number } = event.data();
        self.0 = self.0.max(*number);
    }
}

/// Adds one more than there are events, and demands that the state is what the stream says.
#[derive(Command)]
struct Count {
    #[stream(fold = Counter)]
    counter: StreamId,
}

impl CommandLogic for Count {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let version = streams.counter.version().get();
        let Counter { sum, history } = streams.counter.state();
        require!(
            *history == (1..=version).collect::<Vec<_>>(),
            "history {history:?} at {version}"
        );
        require!(
            *sum == version * (version + 1) / 2,
            "sum {sum} at {version}"
        );
        emit!(events, streams.counter => Counted::By { number: version + 1 });
        Ok(())
    }
}

#[derive(Command)]
struct LargestIs {
    #[stream(fold = Largest, read_only)]
    counter: StreamId,
    number: u64,
}

impl CommandLogic for LargestIs {
    fn handle(&self, streams: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        let largest = streams.counter.state().0;
        require!(largest == self.number, "it is {largest}");
        Ok(())
    }
}

async fn count(store: &impl EventStore, times: u64) {
    for _ in 0..times {
        let counter = stream("counter");
        execute(Count { counter }, store).await.unwrap();
    }
}

fn largest_is(number: u64) -> LargestIs {
    LargestIs {
        counter: stream("counter"),
        number,
    }
}

#[tokio::test]
async fn a_long_stream_is_not_read_again_by_every_command() {
    let spy = Spy::default();
    count(&spy, 100).await;
    let read: usize = spy.delivered().iter().map(Vec::len).sum();
    // Short streams are read whole, later only what the last command added.
    assert!(read < 200, "{read} events were read for 100 commands");
    assert_eq!(spy.reads().len(), 100, "versions are read every time");
}

#[tokio::test]
async fn what_others_append_is_folded_on_top() {
    let spy = Spy::default();
    count(&spy, 20).await;
    let others = stored("counter.by", r#"{"number":21}"#);
    let sneaked = one_more(&spy.inner, "counter", others).await;
    spy.inner.append(sneaked).await.unwrap();
    count(&spy, 20).await;
}

#[tokio::test]
async fn two_folds_of_one_stream_are_two_states() {
    let store = InMemoryEventStore::new();
    count(&store, 30).await;
    execute(largest_is(30), &store).await.unwrap();
    count(&store, 1).await;
    execute(largest_is(31), &store).await.unwrap();
}

#[tokio::test]
async fn a_command_that_fails_leaves_no_trace_in_what_is_kept() {
    let store = InMemoryEventStore::new();
    count(&store, 30).await;
    execute(largest_is(7), &store).await.unwrap_err();
    let broken = stored("counter.by", r#"{"number":"not a number"}"#);
    let batch = one_more(&store, "counter", broken).await;
    store.append(batch).await.unwrap();
    for _ in 0..2 {
        let counter = stream("counter");
        let error = execute(Count { counter }, &store).await.unwrap_err();
        assert!(matches!(error, CommandError::Decode(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_that_run_at_the_same_time_do_not_see_each_others_states() {
    let store = Arc::new(InMemoryEventStore::new());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { count(&store, 50).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    execute(largest_is(400), &*store).await.unwrap();
}
