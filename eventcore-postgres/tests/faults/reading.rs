//! Reads whose connection ends, and traffic in pieces.

use eventcore::{
    EventFilter, EventStore, GlobalPosition,
    store::{AppendBatch, PageSize, ReadFrom},
};
use eventcore_testing::fault_proxy::{Fault, When};

use crate::{
    support::{event, log, stream},
    world::World,
};

/// A stream of more events than one chunk has.
async fn long(world: &World<'_>, events: usize) {
    let mut batch = AppendBatch::builder();
    batch
        .expect(stream("long"), eventcore::StreamVersion::EMPTY)
        .unwrap();
    for _ in 0..events {
        batch.event(&stream("long"), event("x")).unwrap();
    }
    world.direct.append(batch.build().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_breaks_off_midway_fails_as_retriable_and_the_next_one_succeeds() {
    let world = World::new().await;
    long(&world, 3000).await;
    let all = [ReadFrom::start(stream("long"))];
    let mut read = world.store.read(&all).await.unwrap();
    let first = read.events.next_chunk().await.unwrap().unwrap().len();
    let _ = world.proxy.arm(When::reply(), Fault::CloseAfter(5000));
    let error = read.events.next_chunk().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert!(
        read.events.next_chunk().await.unwrap().is_none(),
        "nothing comes after an error"
    );
    let again = world.store.read(&all).await.unwrap();
    let events = again.events.collect().await.unwrap();
    assert_eq!(events.len(), 3000);
    assert!(first > 0 && first < 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_read_fails_as_retriable_and_heals() {
    let world = World::new().await;
    long(&world, 600).await;
    let key = eventcore::IdempotencyKey::generate();
    let size = PageSize::try_new(500).unwrap();
    // A pool that takes a connection back looks whether it is still there: that is no read.
    let request = || When::request().matching(|burst| burst != b"S\0\0\0\x04");
    for fault in [Fault::Close, Fault::SwallowReply, Fault::CloseAfter(60)] {
        let armed = world.proxy.arm(request(), fault.clone());
        let read = world.store.read(&[ReadFrom::start(stream("long"))]).await;
        let error = read.unwrap_err();
        assert!(
            error.is_retriable() && armed.times() == 1,
            "{fault:?}: {error:?}"
        );
        world
            .store
            .read(&[ReadFrom::start(stream("long"))])
            .await
            .unwrap();

        let armed = world.proxy.arm(request(), fault.clone());
        let (start, filter) = (GlobalPosition::START, EventFilter::all());
        let error = world
            .store
            .read_all(start, &filter, size)
            .await
            .unwrap_err();
        assert!(
            error.is_retriable() && armed.times() == 1,
            "{fault:?}: {error:?}"
        );
        world.store.read_all(start, &filter, size).await.unwrap();

        let armed = world.proxy.arm(request(), fault.clone());
        let error = world.store.find_receipt(&key).await.unwrap_err();
        assert!(
            error.is_retriable() && armed.times() == 1,
            "{fault:?}: {error:?}"
        );
        assert_eq!(world.store.find_receipt(&key).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_read_breaks_off_reads_again() {
    let world = World::new().await;
    world.warm().await;
    let armed = world.proxy.arm(When::reply(), Fault::CloseAfter(20));
    let receipt = world.pay().await.unwrap();
    assert_eq!((receipt.attempts, armed.times()), (2, 1));
    assert_eq!(world.decisions(), 1);
    assert_eq!(world.check().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_in_pieces_of_one_byte_works() {
    let world = World::new().await;
    let split = world.proxy.arm_always(When::any(), Fault::Split(1));
    // From the handshake on.
    let store = world.another().await;
    for _ in 0..3 {
        let command = world.transfer("a", "b");
        let noted = command.noted.clone();
        let metadata = crate::world::carrying(&noted);
        let result = eventcore::execute(command, &store).metadata(metadata).await;
        noted.told(&result);
        assert_eq!(result.unwrap().attempts, 1);
    }
    assert_eq!(log(&store).await, world.check().await);
    assert!(split.times() > 10, "{}", split.times());
}
