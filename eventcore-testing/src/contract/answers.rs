//! P10: the same history gives the same answers on every store.

use std::sync::Arc;

use eventcore::{
    EventStore, RetryPolicy, execute, fold_stream,
    store::{AppendError, AppendReceipt, ReadFrom},
};

use super::{
    Harness,
    kit::{Store, draft, fill, number_of, numbered, read, stream, try_append, version, view},
    purse::{Add, Purse},
};

fn told(result: Result<AppendReceipt, AppendError>) -> String {
    match result {
        Ok(receipt) => {
            let places: Vec<_> = receipt
                .events
                .iter()
                .map(|e| format!("{}@{}#{}", e.stream, e.version, e.position))
                .collect();
            let how = if receipt.replayed {
                "replayed"
            } else {
                "appended"
            };
            format!("{how} [{}]", places.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

/// Appends, conflicts, keys and refusals, written down as text.
pub async fn the_same_history_gives_the_same_answers(harness: Harness) {
    let store = harness.store();
    let (a, b, c) = (stream("same:a"), stream("same:b"), stream("same:c"));
    let script = [
        draft().expect(&a, 0).event(&a, numbered(1)),
        draft().expect(&a, 0).event(&a, numbered(2)),
        draft()
            .expect(&b, 0)
            .expect(&a, 1)
            .event(&b, numbered(3))
            .event(&a, numbered(4))
            .event(&b, numbered(5)),
        draft()
            .expect(&b, 1)
            .expect(&a, 3)
            .expect(&c, 0)
            .event(&c, numbered(6)),
        draft()
            .expect(&c, 0)
            .expect(&a, 2)
            .event(&c, numbered(7))
            .key("k1", 1),
        draft().expect(&c, 9).event(&c, numbered(8)).key("k1", 1),
        draft().expect(&c, 1).event(&c, numbered(9)).key("k1", 2),
        draft().expect(&c, 1).key("k2", 1),
        draft().expect(&c, 1).event(&c, numbered(10)),
        draft().expect(&c, 0).event(&c, numbered(11)).key("k2", 1),
        draft().expect(&b, 0).event(&b, numbered(12)).key("k3", 1),
        draft().expect(&b, 2).event(&b, numbered(13)).key("k3", 2),
    ];
    let mut answers = Vec::new();
    for batch in script {
        answers.push(told(try_append(&store, batch.build()).await));
    }
    let promised = [
        "appended [same:a@1#1]",
        "version conflict: stream `same:a` expected at 0, is at 1",
        "appended [same:b@1#2 same:a@2#3 same:b@2#4]",
        "version conflict: stream `same:b` expected at 1, is at 2; stream `same:a` expected at 3, is at 2",
        "appended [same:c@1#5]",
        "replayed [same:c@1#5]",
        "idempotency key `k1` was used by a different command",
        "appended []",
        "appended [same:c@2#6]",
        "replayed []",
        "version conflict: stream `same:b` expected at 0, is at 2",
        "appended [same:b@3#7]",
    ];
    for (step, (answer, promised)) in answers.iter().zip(promised).enumerate() {
        assert_eq!(answer, promised, "step {step} of a fixed history");
    }
    let seen = view(&store, &[&c, &a, &b]).await;
    assert_eq!(seen.versions, [2, 2, 3]);
    let numbers: Vec<u64> = seen.events.iter().map(number_of).collect();
    assert_eq!(
        numbers,
        [1, 3, 4, 5, 7, 10, 13],
        "what a fixed history leaves"
    );
}

/// The same stream twice and three times, from different versions, between others.
pub async fn a_stream_asked_for_twice_comes_once(harness: Harness) {
    let store = harness.store();
    let (a, b) = (stream("twice:a"), stream("twice:b"));
    fill(&store, &a, 5).await;
    fill(&store, &b, 2).await;
    let after = |at| ReadFrom::after(a.clone(), version(at));
    let seen = read(
        &store,
        &[after(3), ReadFrom::start(b.clone()), after(1), after(4)],
    )
    .await;
    assert_eq!(
        seen.versions,
        [5, 2, 5, 5],
        "a version per stream asked for, in that order"
    );
    let numbers: Vec<u64> = seen.events.iter().map(number_of).collect();
    assert_eq!(
        numbers,
        [2, 3, 4, 5, 1, 2],
        "a stream asked for from versions 3, 1 and 4 comes once, from 1 on"
    );
}

/// No streams at all, and streams that nobody has written to.
pub async fn reading_nothing_gives_nothing(harness: Harness) {
    let store = harness.store();
    for filled in [false, true] {
        let seen = read(&store, &[]).await;
        assert!(
            seen.versions.is_empty() && seen.events.is_empty(),
            "got {seen:?}"
        );
        let missing = stream("nothing:here");
        let after = ReadFrom::after(stream("nothing:there"), version(10));
        let seen = read(&store, &[ReadFrom::start(missing), after]).await;
        assert_eq!(seen.versions, [0, 0], "streams that do not exist are empty");
        assert!(seen.events.is_empty(), "got {seen:?}");
        if !filled {
            fill(&store, &stream("nothing:else"), 3).await;
        }
    }
}

/// One command through each kind of pointer.
pub async fn a_store_behind_a_pointer_is_a_store(harness: Harness) {
    let shared: Store = harness.store();
    let purse = stream("pointer:purse");
    let by_reference: &dyn EventStore = &*shared;
    let boxed: Box<dyn EventStore> = Box::new(Arc::clone(&shared));
    execute(Add::to(&purse), &shared)
        .await
        .expect("through `&Arc`");
    execute(Add::to(&purse), Arc::clone(&shared))
        .await
        .expect("through `Arc`");
    execute(Add::to(&purse), by_reference)
        .await
        .expect("through `&dyn`");
    execute(Add::to(&purse), &boxed)
        .await
        .expect("through `&Box`");
    let owned = boxed;
    let running = execute(Add::to(&purse), owned).retry(RetryPolicy::none());
    tokio::spawn(std::future::IntoFuture::into_future(running))
        .await
        .expect("the task ends")
        .expect("through `Box`, in a task of its own");
    let folded = fold_stream::<Purse>(&shared, &purse).await.expect("a fold");
    assert_eq!((folded.state.sum, folded.state.moves), (5, 5));
}
