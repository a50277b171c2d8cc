//! Histories as the recorder takes them down from real runs.

use std::sync::Arc;

use eventcore::prelude::*;
use eventcore::store::{EventFilter, PageSize};
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::history::{History, Outcome, Recorded, Recorder, Violation};

#[derive(Clone, Debug, Serialize, Deserialize, Event)]
#[event(prefix = "purse")]
enum PurseEvent {
    PutIn,
    TakenOut,
}

#[derive(Default, Clone)]
struct Purse(i64);

impl Fold for Purse {
    type Event = PurseEvent;
    fn apply(&mut self, event: &StoredEvent<PurseEvent>) {
        match event.data() {
            PurseEvent::PutIn => self.0 += 1,
            PurseEvent::TakenOut => self.0 -= 1,
        }
    }
}

/// One coin from a purse, which may have a debt of two, to another.
#[derive(Command)]
struct Give {
    #[stream(fold = Purse)]
    from: StreamId,
    #[stream(fold = Purse)]
    to: StreamId,
    noted: Recorded,
}

impl CommandLogic for Give {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let (from, to) = (&streams.from, &streams.to);
        let enough = from.state().0 > -2;
        let saw = [
            (from.id().clone(), from.version()),
            (to.id().clone(), to.version()),
        ];
        self.noted.decided(saw, if enough { 2 } else { 0 });
        require!(enough, "no coin is left");
        emit!(events, from => PurseEvent::TakenOut);
        emit!(events, to => PurseEvent::PutIn);
        Ok(())
    }
}

async fn finish(recorder: &Recorder, store: &InMemoryEventStore) -> History {
    let size = PageSize::try_new(10_000).unwrap();
    let page = store
        .read_all(GlobalPosition::START, &EventFilter::all(), size)
        .await
        .unwrap();
    recorder.history(&page.events)
}

async fn give(recorder: &Recorder, store: &InMemoryEventStore, from: u8, to: u8) {
    let noted = recorder.begin(format!("give {from} to {to}"));
    let command = Give {
        from: StreamId::try_new(format!("purse:{from}")).unwrap(),
        to: StreamId::try_new(format!("purse:{to}")).unwrap(),
        noted: noted.clone(),
    };
    let metadata = Metadata::new().correlation_id(noted.correlation_id());
    noted.told(&execute(command, store).metadata(metadata).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commands_on_a_good_store_pass() {
    let (store, recorder) = (Arc::new(InMemoryEventStore::new()), Recorder::new());
    let tasks = (0..8_u8).map(|task| {
        let (store, recorder) = (Arc::clone(&store), recorder.clone());
        tokio::spawn(async move {
            for number in 0..30 {
                let from = (task + number) % 4;
                give(&recorder, &store, from, (from + 1 + number % 3) % 4).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let history = finish(&recorder, &store).await;
    assert_eq!(history.commands.len(), 240);
    let rejected = |c: &&_| matches!(Outcome::clone(c), Outcome::Rejected);
    let outcomes = history.commands.iter().map(|command| &command.outcome);
    assert!(
        outcomes.filter(rejected).count() > 0,
        "no rejection was checked"
    );
    assert_eq!(history.foreign_events(), 0);
    history.check().unwrap();
}

#[tokio::test]
async fn a_command_that_never_came_back_is_of_unknown_outcome() {
    let recorder = Recorder::new();
    let noted = recorder.begin("dropped");
    drop(noted);
    let history = finish(&recorder, &InMemoryEventStore::new()).await;
    assert_eq!(history.commands[0].outcome, Outcome::Unknown);
    assert_eq!(history.commands[0].ended, None);
    history.check().unwrap();
}

#[tokio::test]
async fn an_event_that_the_store_lost_is_missed() {
    let (store, recorder) = (InMemoryEventStore::new(), Recorder::new());
    give(&recorder, &store, 0, 1).await;
    let mut history = finish(&recorder, &store).await;
    history.log.clear();
    let violations = history.check().unwrap_err();
    let lost = |violation: &Violation| matches!(violation, Violation::Lost { .. });
    assert_eq!(violations.all().iter().filter(|v| lost(v)).count(), 2);
}
