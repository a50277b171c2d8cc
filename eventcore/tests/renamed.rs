//! Where the crate has another name, nothing that the derives and macros write says `eventcore`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]
#![expect(
    unused_extern_crates,
    reason = "whatever asks for `::eventcore` finds the wrong crate here and does not compile"
)]

extern crate core as eventcore;
extern crate eventcore as renamed;

mod facade {
    pub(crate) use renamed as events;
}

use self::facade::events::{
    Command, CommandError, CommandLogic, CommandState, Discovery, Event, Fold, NewEvents,
    StoredEvent, StreamId, StreamName, Streams, UnknownEvent, emit, execute, fold_stream, require,
};

#[derive(serde::Serialize, serde::Deserialize, Event)]
#[event(prefix = "door", crate = "renamed")]
enum DoorEvent {
    Opened,
    #[event(version = 2, upcast_from(1 => ClosedV1))]
    Closed {
        gently: bool,
    },
    #[event(nested)]
    Knock(Knocked),
    #[event(catch_all)]
    Other(UnknownEvent),
}

#[derive(serde::Deserialize)]
struct ClosedV1 {}

impl From<ClosedV1> for DoorEvent {
    fn from(_: ClosedV1) -> Self {
        Self::Closed { gently: true }
    }
}

#[derive(serde::Serialize, serde::Deserialize, Event)]
#[event(name = "knock", crate = "self::facade::events")]
struct Knocked {
    times: u8,
}

#[derive(Default, Clone)]
struct Door(u8);

impl Fold for Door {
    type Event = DoorEvent;
    fn apply(&mut self, event: &StoredEvent<DoorEvent>) {
        self.0 += match event.data() {
            DoorEvent::Opened => 1,
            DoorEvent::Closed { gently } => 2 + u8::from(*gently),
            DoorEvent::Knock(Knocked { times }) => *times,
            DoorEvent::Other(_) => 100,
        };
    }
}

#[derive(Clone, StreamName)]
#[stream_name("door:{0}", crate = "renamed")]
struct DoorNumber(u8);

#[derive(Command)]
#[command(crate = "self::facade::events")]
#[discover(next, fold = Door)]
struct OpenDoor {
    #[stream(fold = Door)]
    door: DoorNumber,
    #[stream]
    knocks: StreamId,
}

impl CommandState for OpenDoor {
    type Event = Knocked;
    type State = u8;
    fn apply(&self, state: &mut u8, event: &StoredEvent<Knocked>) {
        *state += event.data().times;
    }
}

impl CommandLogic for OpenDoor {
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        found.read(&streams.next, DoorNumber(self.door.0 + 1))
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        require!(streams.state == 0, "knocked before");
        emit!(events, streams.knocks => Knocked { times: 1 });
        emit!(events, streams.door => DoorEvent::Opened);
        let next = streams.next.get(DoorNumber(self.door.0 + 1))?;
        emit!(events, next => DoorEvent::Closed { gently: false });
        Ok(())
    }
}

#[tokio::test]
async fn the_derives_take_the_path_of_the_crate() {
    let store = eventcore_memory::InMemoryEventStore::new();
    let knocks = StreamId::try_new("knocks").unwrap();
    let command = OpenDoor {
        door: DoorNumber(7),
        knocks: knocks.clone(),
    };
    let receipt = execute(command, &store).await.unwrap();
    assert_eq!(receipt.events.len(), 3);
    let door = DoorNumber(8).to_stream_id().unwrap();
    let door = fold_stream::<Door>(&store, &door).await.unwrap();
    assert_eq!(door.state.0, 2);
}
