//! Application code that panics.

use eventcore::prelude::*;

use crate::bank::*;

/// Deposits, and panics in one phase when it comes to it for the time of this number.
#[derive(Command)]
#[discover(others, fold = Account)]
struct Fragile {
    #[stream]
    account: StreamId,
    phase: &'static str,
    at: u32,
    calls: Decisions,
}

impl Fragile {
    fn pass(&self, phase: &str) {
        if phase == self.phase {
            let call = self.calls.one_more();
            assert!(call != self.at, "call {call}");
        }
    }
}

impl CommandState for Fragile {
    type Event = AccountEvent;
    type State = u64;
    fn apply(&self, state: &mut u64, _: &StoredEvent<AccountEvent>) {
        self.pass("apply");
        *state += 1;
    }
}

impl CommandLogic for Fragile {
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        self.pass("discover");
        found.read(&streams.others, stream("other"))
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, streams.account => AccountEvent::Deposited { amount: 1 });
        self.pass("handle");
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_anywhere_is_an_error_that_names_the_phase_and_leaves_nothing() {
    // The third event of the stream, the second round of discovery, the second attempt.
    for (phase, at) in [
        ("apply", 1),
        ("apply", 3),
        ("discover", 1),
        ("discover", 2),
        ("handle", 1),
        ("handle", 2),
    ] {
        let inner = InMemoryEventStore::new();
        for _ in 0..3 {
            execute(deposit("a", 1), &inner).await.unwrap();
        }
        let other = elsewhere(&inner);
        let conflict = async move {
            execute(deposit("a", 1), &other).await.unwrap();
        };
        let store = ChaosStore::new(inner).before(Operation::Append, 1, conflict);
        let command = Fragile {
            account: stream("a"),
            phase,
            at,
            calls: Decisions::default(),
        };
        let error = execute(command, &store).retry(at_once()).await.unwrap_err();
        let CommandError::Panicked {
            phase: found,
            message,
        } = &error
        else {
            panic!("{phase} {at}: {error:?}");
        };
        assert_eq!(
            (*found, message.as_str()),
            (phase, format!("call {at}").as_str())
        );
        assert!(!error.is_retriable());

        // Others live, on the same stream, without waiting.
        let before = length(store.inner(), "a").await;
        let next = execute(deposit("a", 1), store.inner());
        let next = tokio::time::timeout(std::time::Duration::from_millis(50), next);
        next.await.expect("nobody holds the stream").unwrap();
        assert_eq!(length(store.inner(), "a").await, before + 1, "{phase} {at}");
    }
}
