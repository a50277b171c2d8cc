//! Code of the application that panics: the command fails, and nothing else suffers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

#[path = "support/seed.rs"]
mod seed;
#[path = "support/spy.rs"]
mod spy;

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;

use self::{
    seed::{given, stream, texts},
    spy::Spy,
};

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "fuse")]
enum FuseEvent {
    Lit,
    Burst,
}

#[derive(Default, Clone)]
struct Fuse(u32);

impl Fold for Fuse {
    type Event = FuseEvent;
    fn apply(&mut self, event: &StoredEvent<FuseEvent>) {
        match event.data() {
            FuseEvent::Lit => self.0 += 1,
            FuseEvent::Burst => panic!("event {} burst", event.version()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Panics {
    Never,
    InDiscover,
    InHandle,
}

#[derive(Command)]
#[discover(others, fold = Fuse)]
struct Light {
    #[stream(fold = Fuse)]
    fuse: StreamId,
    panics: Panics,
}

impl CommandLogic for Light {
    fn discover(&self, _: &Streams<Self>, _: &mut Discovery<Self>) -> Result<(), CommandError> {
        assert!(self.panics != Panics::InDiscover, "cannot discover");
        Ok(())
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.fuse => FuseEvent::Lit);
        assert!(self.panics != Panics::InHandle, "cannot handle");
        Ok(())
    }
}

fn light(panics: Panics) -> Light {
    let fuse = stream("fuse");
    Light { fuse, panics }
}

#[tokio::test]
async fn a_panic_of_the_command_is_an_error_and_nothing_is_appended() {
    let store = Spy::default();
    for (panics, phase, said) in [
        (Panics::InDiscover, "discover", "cannot discover"),
        (Panics::InHandle, "handle", "cannot handle"),
    ] {
        let error = execute(light(panics), &store).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{phase}` of the command panicked: {said}")
        );
        assert!(!error.is_retriable() && !error.is_rejection());
    }
    assert_eq!(store.appends(), 0);
    execute(light(Panics::Never), &store).await.unwrap();
}

#[tokio::test]
async fn a_panic_of_a_fold_is_an_error() {
    let store = InMemoryEventStore::new();
    given(&store, "fuse", FuseEvent::Burst).await;
    let error = execute(light(Panics::Never), &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`apply` of the command panicked: event 1 burst"
    );
    assert_eq!(texts(&store, "fuse").await, ["fuse.burst {}"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_panics_does_not_hold_up_others() {
    let store = InMemoryEventStore::new();
    execute(light(Panics::InHandle), &store).await.unwrap_err();
    let before = tokio::time::Instant::now();
    execute(light(Panics::Never), &store).await.unwrap();
    assert_eq!(before.elapsed().as_millis(), 0, "its turn was given back");
}
