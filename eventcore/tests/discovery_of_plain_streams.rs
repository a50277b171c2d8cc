//! Discovered streams without a fold: their events go into the command's one state, in global order.

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

use self::{
    seed::{given, one_more, stream, texts},
    spy::Spy,
};

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "chat")]
enum ChatEvent {
    Joined { member: String },
    Said { text: String },
    Summed { said: Vec<String> },
}

#[derive(Default)]
struct Talk {
    members: Vec<String>,
    said: Vec<String>,
}

#[derive(Command)]
#[discover(members)]
struct Summarise {
    #[stream]
    room: StreamId,
}

impl CommandState for Summarise {
    type Event = ChatEvent;
    type State = Talk;

    fn apply(&self, state: &mut Talk, event: &StoredEvent<ChatEvent>) {
        match event.data() {
            ChatEvent::Joined { member } => state.members.push(member.clone()),
            ChatEvent::Said { text } => state.said.push(format!("{}: {text}", event.stream())),
            ChatEvent::Summed { .. } => {}
        }
    }
}

impl CommandLogic for Summarise {
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        for member in &streams.state.members {
            found.read(&streams.members, member.as_str())?;
        }
        Ok(())
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let said = streams.state.said.clone();
        for member in &streams.members {
            emit!(events, member => ChatEvent::Summed { said: vec![] });
        }
        emit!(events, streams.room => ChatEvent::Summed { said });
        Ok(())
    }
}

async fn said(store: &Spy, who: &str, text: &str) {
    let text = text.to_owned();
    given(&store.inner, who, ChatEvent::Said { text }).await;
}

async fn joined(store: &Spy, whose: &str, member: &str) {
    let member = member.to_owned();
    given(&store.inner, whose, ChatEvent::Joined { member }).await;
}

fn summarise() -> Summarise {
    Summarise {
        room: stream("room"),
    }
}

#[tokio::test]
async fn events_of_declared_and_discovered_streams_come_in_global_order() {
    let store = Spy::default();
    said(&store, "eve", "first").await;
    joined(&store, "room", "ann").await;
    said(&store, "ann", "second").await;
    // Ann brings in Eve, whose first words are older than all of the others.
    joined(&store, "ann", "eve").await;
    said(&store, "room", "third").await;
    said(&store, "eve", "fourth").await;
    said(&store, "nobody", "not discovered").await;

    let receipt = execute(summarise(), &store).await.unwrap();
    let streams: Vec<_> = receipt.events.iter().map(|e| e.stream.as_str()).collect();
    assert_eq!(streams, ["ann", "eve", "room"]);
    assert_eq!(
        texts(&store.inner, "room").await.pop().unwrap(),
        r#"chat.summed {"said":["eve: first","ann: second","room: third","eve: fourth"]}"#
    );
}

#[tokio::test]
async fn each_event_is_in_the_state_once_however_many_rounds_there_are() {
    let store = Spy::default();
    said(&store, "room", "a").await;
    joined(&store, "room", "m:1").await;
    for number in 1..5 {
        joined(&store, &format!("m:{number}"), &format!("m:{}", number + 1)).await;
    }
    said(&store, "m:5", "b").await;
    execute(summarise(), &store).await.unwrap();
    assert_eq!(
        texts(&store.inner, "room").await.pop().unwrap(),
        r#"chat.summed {"said":["room: a","m:5: b"]}"#
    );
}

#[tokio::test]
async fn the_next_attempt_starts_from_an_empty_state() {
    let store = Spy::default();
    joined(&store, "room", "ann").await;
    said(&store, "ann", "a").await;
    let text = "b".to_owned();
    let event = ChatEvent::Said { text }.encode().unwrap();
    store.sneak_in_before_append(1, one_more(&store.inner, "ann", event).await);
    let receipt = execute(summarise(), &store).await.unwrap();
    assert_eq!(receipt.attempts, 2);
    assert_eq!(
        texts(&store.inner, "room").await.pop().unwrap(),
        r#"chat.summed {"said":["ann: a","ann: b"]}"#
    );
}
