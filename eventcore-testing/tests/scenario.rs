//! The given/when/then kit: what passes, what fails, and what a failure says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

use eventcore::prelude::*;
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::scenario::{ExpectedEvent, Scenario, event};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
    Noted { text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(prefix = "audit")]
enum AuditEvent {
    Moved {
        amount: u64,
        #[serde(skip)]
        forgotten: u8,
    },
}

use AccountEvent::{Deposited, Noted, Withdrawn};

#[derive(Default, Clone)]
struct Account(u64);

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, event: &StoredEvent<AccountEvent>) {
        match event.data() {
            Deposited { amount } => self.0 += amount,
            Withdrawn { amount } => self.0 -= amount,
            Noted { .. } => {}
        }
    }
}

#[derive(Default, Clone)]
struct Audit;

impl Fold for Audit {
    type Event = AuditEvent;
    fn apply(&mut self, _: &StoredEvent<AuditEvent>) {}
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum Refusal {
    #[error("only {have} there")]
    TooLittle { have: u64 },
}

#[derive(Command)]
struct Transfer {
    #[stream(fold = Account)]
    from: StreamId,
    #[stream(fold = Account)]
    to: StreamId,
    #[stream(fold = Audit)]
    audit: StreamId,
    amount: u64,
    forgotten: u8,
}

impl CommandLogic for Transfer {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let (amount, forgotten) = (self.amount, self.forgotten);
        let Account(have) = *streams.from.state();
        require!(amount < 1_000, "over the limit of a transfer");
        if have < amount {
            return Err(CommandError::rejected_with(Refusal::TooLittle { have }));
        }
        if amount > 0 {
            emit!(events, streams.from => Withdrawn { amount });
            emit!(events, streams.audit => AuditEvent::Moved { amount, forgotten });
            emit!(events, streams.to => Deposited { amount });
        }
        Ok(())
    }
}

fn transfer(from: &str, to: &str, amount: u64) -> Transfer {
    let stream = |name| StreamId::try_new(name).unwrap();
    Transfer {
        from: stream(from),
        to: stream(to),
        audit: stream("audit"),
        amount,
        forgotten: 0,
    }
}

fn with_five() -> Scenario<InMemoryEventStore> {
    Scenario::on(InMemoryEventStore::new()).given("a", [Deposited { amount: 5 }])
}

/// What a transfer from `a` to `b` appends.
fn moved(amount: u64) -> [ExpectedEvent; 3] {
    let audit = AuditEvent::Moved {
        amount,
        forgotten: 0,
    };
    [
        event("a", Withdrawn { amount }),
        event("audit", audit),
        event("b", Deposited { amount }),
    ]
}

/// What a panic says.
async fn failure<T>(work: impl Future<Output = T>) -> String {
    use futures_util::FutureExt;
    let panic = AssertUnwindSafe(work).catch_unwind().await;
    message(panic.err().expect("the check was to fail"))
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    *panic.downcast::<String>().expect("a message")
}

mod passes {
    use super::*;

    #[tokio::test]
    async fn events_of_several_types_and_streams_in_the_order_of_emission() {
        with_five().when(transfer("a", "b", 3)).await.then(moved(3));
    }

    #[tokio::test]
    async fn a_story_goes_on_with_what_its_commands_appended() {
        with_five()
            .when(transfer("a", "b", 5))
            .await
            .inspect(|outcome| assert_eq!(outcome.recorded().len(), 3))
            .then(moved(5))
            .when(transfer("a", "b", 1))
            .await
            .then_rejected_with(|refusal: &Refusal| *refusal == Refusal::TooLittle { have: 0 })
            .given("a", [Deposited { amount: 9 }])
            .when(transfer("a", "b", 0))
            .await
            .then_nothing()
            .when(transfer("a", "b", 2_000))
            .await
            .then_rejected("limit")
            .when(transfer("a", "a", 1))
            .await
            .then_error(|error| matches!(error, CommandError::DuplicateStream { .. }));
    }

    #[tokio::test]
    async fn options_reach_the_executor() {
        let alice = Metadata::new().actor("alice");
        with_five()
            .when_with(transfer("a", "b", 0), |e| {
                e.idempotency_key(IdempotencyKey::try_new("k").unwrap())
            })
            .await
            .then_nothing()
            .when_with(transfer("a", "b", 0), |e| {
                e.idempotency_key(IdempotencyKey::try_new("k").unwrap())
            })
            .await
            .then_replayed()
            .when_with(transfer("a", "b", 5), |e| e.metadata(alice))
            .await
            .inspect(|outcome| {
                let metadata = outcome.recorded()[0].metadata().unwrap();
                assert_eq!(metadata.get_actor(), Some("alice"));
            })
            .then(moved(5));
    }

    #[tokio::test]
    async fn what_the_store_held_before_is_history_and_no_result() {
        let store = InMemoryEventStore::new();
        Scenario::on(store.clone())
            .given("a", [Deposited { amount: 5 }])
            .when(transfer("a", "b", 0))
            .await
            .then_nothing();
        Scenario::on(store)
            .given("a", [Deposited { amount: 1 }])
            .when(transfer("a", "b", 7))
            .await
            .then_rejected_with(|refusal: &Refusal| *refusal == Refusal::TooLittle { have: 6 });
    }
}

mod fails {
    use super::*;

    #[tokio::test]
    async fn a_wrong_event_shows_as_a_difference_below_what_was_given() {
        let text = failure(async {
            let moved = AuditEvent::Moved {
                amount: 3,
                forgotten: 0,
            };
            with_five()
                .given("a", [Noted { text: "hi".into() }])
                .when(transfer("a", "account:b", 3))
                .await
                .then([
                    event("a", Withdrawn { amount: 4 }),
                    event("audit", moved),
                    event("account:b", Deposited { amount: 3 }),
                ])
        })
        .await;
        assert_eq!(
            text,
            "`Transfer` appended other events than expected\n\
             \n\
             given\n\
             \x20 a  Deposited { amount: 5 }\n\
             \x20 a  Noted { text: \"hi\" }\n\
             when\n\
             \x20 Transfer\n\
             then\n\
             \x20 - expected, + found\n\
             \x20 - a          Withdrawn { amount: 4 }\n\
             \x20 + a          Withdrawn { amount: 3 }\n\
             \x20   audit      Moved { amount: 3, forgotten: 0 }\n\
             \x20   account:b  Deposited { amount: 3 }\n"
        );
    }

    #[tokio::test]
    async fn the_order_over_all_streams_counts() {
        let text = failure(async {
            let moved = AuditEvent::Moved {
                amount: 3,
                forgotten: 0,
            };
            with_five().when(transfer("a", "b", 3)).await.then([
                event("audit", moved),
                event("a", Withdrawn { amount: 3 }),
                event("b", Deposited { amount: 3 }),
            ])
        })
        .await;
        assert!(text.contains("appended other events"), "{text}");
    }

    #[tokio::test]
    async fn an_event_that_is_missing_from_the_expectation_fails_it() {
        let text = failure(async {
            let command = transfer("a", "b", 3);
            with_five()
                .when(command)
                .await
                .then([("a", Withdrawn { amount: 3 })])
        })
        .await;
        assert!(
            text.contains("\n  + b      Deposited { amount: 3 }"),
            "{text}"
        );
        // Nobody told the scenario of this type.
        assert!(
            text.contains("\n  + audit  audit.moved {\"amount\":3}"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_same_event_in_another_stream_fails() {
        let command = || transfer("a", "b", 0);
        let text = failure(async {
            with_five()
                .when(command())
                .await
                .then([("c", Deposited { amount: 3 })])
        })
        .await;
        assert!(text.contains("\n  - c  Deposited { amount: 3 }"), "{text}");
    }

    #[tokio::test]
    async fn what_does_not_survive_storage_fails() {
        let text = failure(async {
            let mut command = transfer("a", "b", 3);
            command.forgotten = 7;
            let moved = AuditEvent::Moved {
                amount: 3,
                forgotten: 7,
            };
            with_five().when(command).await.then([
                event("a", Withdrawn { amount: 3 }),
                event("audit", moved),
                event("b", Deposited { amount: 3 }),
            ])
        })
        .await;
        for told in [
            "audit  Moved { amount: 3, forgotten: 7 }",
            "event `audit.moved` cannot be stored",
            "a field that serde skips",
        ] {
            assert!(text.contains(told), "{told:?} is not in: {text}");
        }
    }

    #[tokio::test]
    async fn an_error_in_place_of_events_is_told_with_the_events_expected() {
        let text = failure(async {
            let command = transfer("a", "b", 6);
            with_five()
                .when(command)
                .await
                .then([("a", Withdrawn { amount: 6 })])
        })
        .await;
        assert_eq!(
            text,
            "`Transfer` failed, and events were expected\n\
             \n\
             given\n\
             \x20 a  Deposited { amount: 5 }\n\
             when\n\
             \x20 Transfer\n\
             then\n\
             \x20 expected\n\
             \x20   a  Withdrawn { amount: 6 }\n\
             \x20 found an error\n\
             \x20   rejected: only 5 there\n"
        );
    }

    #[tokio::test]
    async fn another_rejection_is_told_beside_the_expected_one() {
        let text = failure(async {
            let command = transfer("a", "b", 6);
            with_five()
                .when(command)
                .await
                .then_rejected("over the limit")
        })
        .await;
        let then = "  expected a rejection that says\n    over the limit\n  \
                    found an error\n    rejected: only 5 there\n";
        assert!(text.ends_with(then), "{text}");
    }

    #[tokio::test]
    async fn a_rejection_that_carries_something_else_is_shown() {
        let another = failure(async {
            let outcome = with_five().when(transfer("a", "b", 6)).await;
            outcome
                .then_rejected_with(|refusal: &Refusal| *refusal == Refusal::TooLittle { have: 0 })
        });
        let another = another.await;
        assert!(
            another.contains("TooLittle {\n        have: 5,"),
            "{another}"
        );
        let message = failure(async {
            let outcome = with_five().when(transfer("a", "b", 2_000)).await;
            outcome.then_rejected_with(|_: &Refusal| true)
        });
        let message = message.await;
        assert!(
            message.contains("scenario::Refusal\n  found an error\n    rejected: over"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn success_is_no_rejection_and_events_are_not_nothing() {
        let text = failure(async {
            with_five()
                .when(transfer("a", "b", 1))
                .await
                .then_rejected("x")
        });
        let text = text.await;
        assert!(
            text.contains("found events\n    a      Withdrawn { amount: 1 }"),
            "{text}"
        );
        let text = failure(async { with_five().when(transfer("a", "b", 1)).await.then_nothing() });
        let text = text.await;
        assert!(
            text.contains("\n  + a      Withdrawn { amount: 1 }"),
            "{text}"
        );
        let text = failure(async { with_five().when(transfer("a", "b", 9)).await.then_nothing() });
        let text = text.await;
        assert!(
            text.contains("success without events was expected"),
            "{text}"
        );
        let text = failure(async {
            with_five()
                .when(transfer("a", "b", 0))
                .await
                .then_replayed()
        });
        let text = text.await;
        assert!(text.contains("found success without events"), "{text}");
        let text = failure(async {
            let outcome = with_five().when(transfer("a", "b", 9)).await;
            outcome.then_error(CommandError::is_conflict)
        });
        let text = text.await;
        assert!(text.contains("did not fail as expected"), "{text}");
    }

    #[tokio::test]
    async fn long_events_are_spread_over_several_lines() {
        let text = failure(async {
            with_five()
                .given(
                    "b",
                    [Noted {
                        text: "long ".repeat(30),
                    }],
                )
                .when(transfer("a", "b", 9))
                .await
                .then_nothing()
        })
        .await;
        assert!(
            text.contains("b  Noted {\n      text: \"long long"),
            "{text}"
        );
    }

    #[test]
    fn a_bad_stream_name_is_quoted() {
        let given = || drop(with_five().given("a\0b", [Deposited { amount: 5 }]));
        let text = message(catch_unwind(given).unwrap_err());
        assert!(text.contains(r#""a\0b" contains '\0'"#), "{text}");
    }
}
