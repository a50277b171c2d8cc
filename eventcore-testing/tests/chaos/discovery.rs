//! Streams that move between two rounds of reading.

use eventcore::prelude::*;

use crate::bank::*;

/// Takes all from the accounts whose number the first one's balance gives, if the sum fits.
#[derive(Command)]
#[discover(others, fold = Account)]
struct Collect {
    #[stream(fold = Account)]
    first: StreamId,
    total: u64,
    decisions: Decisions,
}

impl CommandLogic for Collect {
    fn discover(
        &self,
        streams: &Streams<Self>,
        found: &mut Discovery<Self>,
    ) -> Result<(), CommandError> {
        for number in 0..streams.first.state().balance {
            found.read(&streams.others, stream(&format!("other:{number}")))?;
        }
        Ok(())
    }

    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        self.decisions.one_more();
        let others: u64 = streams
            .others
            .iter()
            .map(|other| other.state().balance)
            .sum();
        let found = streams.first.state().balance + others;
        require!(found == self.total, "found {found}");
        for other in &streams.others {
            emit!(events, other => AccountEvent::Withdrawn { amount: other.state().balance });
        }
        Ok(())
    }
}

fn collect(total: u64, decisions: &Decisions) -> Collect {
    Collect {
        first: stream("first"),
        total,
        decisions: decisions.clone(),
    }
}

/// The first account has 1, `other:0` has 9, and before the second read 1 goes from `other:0` to the first account,
/// whereby `other:1` with 5 comes in.
async fn moving() -> ChaosStore<InMemoryEventStore> {
    let inner = InMemoryEventStore::new();
    for (account, amount) in [("first", 1), ("other:0", 9), ("other:1", 5)] {
        execute(deposit(account, amount), &inner).await.unwrap();
    }
    let other = elsewhere(&inner);
    ChaosStore::new(inner).before(Operation::Read, 2, async move {
        let command = Transfer {
            from: stream("other:0"),
            to: stream("first"),
            amount: 1,
            decisions: Decisions::default(),
        };
        execute(command, &other).await.unwrap();
    })
}

#[tokio::test]
async fn a_view_torn_between_rounds_starts_the_attempt_again() {
    let store = moving().await;
    let decisions = Decisions::default();
    let receipt = execute(collect(15, &decisions), &store)
        .retry(at_once())
        .await
        .unwrap();
    assert_eq!((receipt.attempts, decisions.count()), (2, 1));
    assert_eq!(store.calls(Operation::Append), 1);
    assert_eq!(balance(store.inner(), "other:1").await, 0);
}

#[tokio::test]
async fn a_torn_view_never_rejects() {
    // What nobody ever owned, 1 in the first account and 8 in the other, would be rejected by its sum.
    let store = moving().await;
    let decisions = Decisions::default();
    let error = execute(collect(9, &decisions), &store)
        .retry(at_once())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "rejected: found 15");
    assert_eq!(decisions.count(), 1, "the torn view was decided on");
}

#[tokio::test]
async fn a_torn_view_without_retries_is_a_conflict_that_names_the_stream() {
    let store = moving().await;
    let policy = RetryPolicy::none();
    let error = execute(collect(15, &Decisions::default()), &store)
        .retry(policy)
        .await
        .unwrap_err();
    let CommandError::Conflict {
        conflict,
        attempts: 1,
    } = error
    else {
        panic!("{error:?}");
    };
    let [moved] = conflict.streams() else {
        panic!("{conflict}");
    };
    assert_eq!(
        (
            moved.stream.as_str(),
            moved.expected.get(),
            moved.actual.get()
        ),
        ("first", 1, 2)
    );
}

#[tokio::test]
async fn a_discovered_stream_that_moves_before_the_append_is_a_conflict() {
    let inner = InMemoryEventStore::new();
    for (account, amount) in [("first", 1), ("other:0", 9)] {
        execute(deposit(account, amount), &inner).await.unwrap();
    }
    let other = elsewhere(&inner);
    let store = ChaosStore::new(inner).before(Operation::Append, 1, async move {
        execute(deposit("other:0", 1), &other).await.unwrap();
    });
    let error = execute(collect(10, &Decisions::default()), &store)
        .retry(at_once())
        .await;
    assert_eq!(error.unwrap_err().to_string(), "rejected: found 11");
}
