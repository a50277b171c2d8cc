//! P8: dropped futures and panics harm nobody.

use std::time::Duration;

use eventcore::{
    CommandError, EventFilter, GlobalPosition, RetryPolicy, execute, prelude::*, store::ReadFrom,
};

use super::{
    Harness,
    kit::{
        Draft, Store, append, draft, dropped_after, fill, key, log, numbered, page_size, stream,
        view,
    },
    purse::{Add, Move, PurseEvent},
};

/// More awaits than any operation has; waking up for nothing counts as one too.
const MANY: usize = 100;

/// How long a future that was polled lies about before it is dropped: its work may be done and unclaimed by then.
const LINGER: [Duration; 2] = [Duration::ZERO, Duration::from_millis(3)];

/// More than the connections of a pool: if each dropped future took one with it, none would be left.
const POOLFUL: usize = 40;

/// `append` polled k times and dropped, for every k until it is done; then looked at, and sent again under its key.
pub async fn a_dropped_append_is_whole_or_nothing(harness: Harness) {
    let store = harness.store();
    let mut keyed = 0;
    let mut keyless = Vec::new();
    for linger in LINGER {
        for polls in 1..MANY {
            let name = format!("{polls}:{}", linger.as_millis());
            let done = dropped_and_sent_again(&store, &name, polls, linger).await;
            keyed += 3;
            let (pair, batch) = three_events(&format!("keyless:{name}"));
            let also = dropped_after(polls, linger, store.append(batch.build())).await;
            keyless.push(pair);
            if done && also.is_some() {
                break;
            }
        }
    }
    for number in 0..POOLFUL {
        let (pair, batch) = three_events(&format!("poolful:{number}"));
        dropped_after(1, Duration::ZERO, store.append(batch.build())).await;
        keyless.push(pair);
    }
    // Whatever was still on its way is before this one, or comes whole.
    append(&store, three_events("after").1.build()).await;
    for [a, b] in &keyless {
        let versions = view(&store, &[a, b]).await.versions;
        assert!(
            versions == [2, 1] || versions == [0, 0],
            "`append` was dropped and left part of its batch: versions {versions:?} of [2, 1]"
        );
    }
    let log = log(&store).await;
    let found = log
        .iter()
        .filter(|event| event.stream().category() == "keyed");
    assert_eq!(
        found.count(),
        keyed,
        "every batch that was dropped and sent again under its key is in the log once"
    );
}

/// A batch over two streams, of which one gets two events.
fn three_events(name: &str) -> ([StreamId; 2], Draft) {
    let pair = ["a", "b"].map(|which| stream(format!("{name}:{which}")));
    let [a, b] = &pair;
    let batch = draft().expect(a, 0).expect(b, 0).event(a, numbered(1));
    let batch = batch.event(b, numbered(1)).event(a, numbered(2));
    (pair, batch)
}

/// Whether the append was done before it was dropped.
async fn dropped_and_sent_again(store: &Store, name: &str, polls: usize, linger: Duration) -> bool {
    let ([a, b], batch) = three_events(&format!("keyed:{name}"));
    let batch = batch.key(name, 1).build();
    let done = dropped_after(polls, linger, store.append(batch.clone())).await;
    let versions = view(store, &[&a, &b]).await.versions;
    assert!(
        versions == [2, 1] || versions == [0, 0],
        "`append` dropped after {polls} polls left part of its batch: versions {versions:?} of [2, 1]"
    );
    append(store, batch).await;
    let versions = view(store, &[&a, &b]).await.versions;
    assert_eq!(
        versions,
        [2, 1],
        "a batch dropped after {polls} polls and sent again under its key takes effect once"
    );
    match done {
        Some(Err(error)) => panic!("an append that nothing stands against met {error:?}"),
        done => done.is_some(),
    }
}

/// All three reads polled k times and dropped, and long reads left after their first chunk.
pub async fn a_dropped_read_changes_nothing(harness: Harness) {
    let store = harness.store();
    let a = stream("dropped:read");
    fill(&store, &a, 2500).await;
    let request = [ReadFrom::start(a.clone())];
    let all = EventFilter::all();
    let unknown = key("nobody's");
    for linger in LINGER {
        for polls in 1..MANY {
            let whole = async {
                let read = store
                    .read(&request)
                    .await
                    .expect("a read after dropped ones");
                read.events.collect().await.expect("its events")
            };
            let read = dropped_after(polls, linger, whole).await;
            let paging = store.read_all(GlobalPosition::START, &all, page_size(1000));
            let paged = dropped_after(polls, linger, paging).await;
            let found = dropped_after(polls, linger, store.find_receipt(&unknown)).await;
            if read.is_some() && paged.is_some() && found.is_some() {
                break;
            }
        }
    }
    for _ in 0..POOLFUL {
        dropped_after(1, Duration::ZERO, store.read(&request)).await;
        let paging = store.read_all(GlobalPosition::START, &all, page_size(1000));
        dropped_after(1, Duration::ZERO, paging).await;
        dropped_after(1, Duration::ZERO, store.find_receipt(&unknown)).await;
        let mut read = store
            .read(&request)
            .await
            .expect("a read after dropped ones");
        let first = read.events.next_chunk().await.expect("a first chunk");
        assert!(first.is_some(), "the stream has 2500 events, none came");
    }
    assert_eq!(
        view(&store, &[&a]).await.versions,
        [2500],
        "reads change nothing, dropped or not"
    );
    append(
        &store,
        draft().expect(&a, 2500).event(&a, numbered(0)).build(),
    )
    .await;
}

/// `execute` polled k times and dropped; the next command on the same streams goes through at once.
pub async fn a_dropped_command_is_whole_or_nothing(harness: Harness) {
    let store = harness.store();
    let (from, to) = (stream("dropped:from"), stream("dropped:to"));
    let moving = || Move {
        from: from.clone(),
        to: to.clone(),
        by: 1,
    };
    let mut dropped = 0;
    for linger in LINGER {
        for polls in 1..MANY {
            let running = std::future::IntoFuture::into_future(execute(moving(), &store));
            let done = dropped_after(polls, linger, running).await;
            let versions = view(&store, &[&from, &to]).await.versions;
            assert_eq!(
                versions[0], versions[1],
                "`execute` dropped after {polls} polls left part of its events"
            );
            match done {
                Some(result) => {
                    result.expect("a move that nothing stands against");
                    break;
                }
                None => dropped += 1,
            }
        }
    }
    let policy = RetryPolicy::exponential().max_attempts(20);
    let receipt = execute(moving(), &store).retry(policy).await;
    let receipt = receipt.unwrap_or_else(|error| {
        panic!("after {dropped} dropped commands the next one on their streams fails: {error:?}")
    });
    let total = view(&store, &[&from, &to]).await.versions[0];
    assert_eq!(receipt.version_of(&to).map(StreamVersion::get), Some(total));
}

/// Panics where it is told to.
#[derive(Command)]
struct Panics {
    #[stream(fold = Fragile)]
    purse: StreamId,
}

#[derive(Clone, Default)]
struct Fragile {
    events: u64,
}

impl Fold for Fragile {
    type Event = PurseEvent;
    fn apply(&mut self, _: &StoredEvent<PurseEvent>) {
        self.events += 1;
        assert!(self.events < 3, "the fold gives up at event 3");
    }
}

impl CommandLogic for Panics {
    fn handle(&self, _: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
        panic!("handle gives up with {} events", events.len());
    }
}

/// A panic in `handle`, then one in `apply`, then an ordinary command on the same stream.
pub async fn a_panicking_command_fails_alone(harness: Harness) {
    let store = harness.store();
    let purse = stream("panic:purse");
    for (count, expected) in [(1, "handle"), (2, "handle"), (3, "apply")] {
        let receipt = execute(Add::to(&purse), &store).await;
        let receipt = receipt.unwrap_or_else(|error| {
            panic!("a command after another one's panic is promised to go through, got {error:?}")
        });
        assert_eq!(
            receipt.version_of(&purse).map(StreamVersion::get),
            Some(count)
        );
        let fragile = Panics {
            purse: purse.clone(),
        };
        match execute(fragile, &store).await {
            Err(CommandError::Panicked { phase, message }) => {
                assert_eq!(phase, expected, "the panic said: {message}");
                assert!(message.contains("gives up"), "{message}");
            }
            other => panic!("a panic in `{expected}` is promised to be an error, got {other:?}"),
        }
    }
    assert_eq!(view(&store, &[&purse]).await.versions, [3]);
}
