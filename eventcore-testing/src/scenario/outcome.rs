//! What a command came to, and what was expected of it.

use std::error::Error;

use eventcore::{CommandError, CommandReceipt, EventStore, RecordedEvent};

use super::{
    ExpectedEvent, Scenario,
    expected::{Known, Shown},
    report::{self, Past},
};

/// What a command came to. Every `then` checks it and gives the scenario back, so that a story can go on.
///
/// The command of a story that goes on finds what the earlier ones appended.
#[derive(Debug)]
#[must_use = "without a `then` nothing is tested"]
pub struct Outcome<S> {
    scenario: Scenario<S>,
    command: &'static str,
    result: Result<CommandReceipt, CommandError>,
    found: Vec<RecordedEvent>,
}

impl<S: EventStore> Outcome<S> {
    pub(super) fn new(
        mut scenario: Scenario<S>,
        command: &'static str,
        result: Result<CommandReceipt, CommandError>,
        found: Vec<RecordedEvent>,
    ) -> Self {
        scenario.past.push(Past::When(command));
        Self {
            scenario,
            command,
            result,
            found,
        }
    }

    /// The command appended exactly these events, in this order over all streams.
    ///
    /// Pairs of stream and event will do, `[("account:1", AccountEvent::Closed)]`; [`event`](super::event) makes lists
    /// of several types. Events are compared as they read back from the store. The order is that in which the command
    /// emits, which is the order of their positions.
    ///
    /// # Panics
    ///
    /// When it appended something else or failed, with what was given and the difference.
    #[track_caller]
    pub fn then<I>(mut self, events: I) -> Scenario<S>
    where
        I: IntoIterator<Item: Into<ExpectedEvent>>,
    {
        let mut expected = Vec::new();
        // No closure: the panic of a bad stream name is to point at the caller.
        for event in events {
            expected.push(event.into());
        }
        let shown: Vec<Shown> = expected.iter().map(|event| event.shown.clone()).collect();
        if let Err(error) = &self.result {
            let events = report::indented("    ", &report::list(&shown));
            let error = report::indented("    ", &report::chain(error));
            let then = format!("  expected\n{events}  found an error\n{error}");
            self.fail("failed, and events were expected", &then);
        }
        let mut pairs = expected.iter().zip(&self.found);
        let same = expected.len() == self.found.len() && pairs.all(|(e, found)| e.is(found));
        if !same {
            let known: Vec<&Known> = expected.iter().map(|event| &event.known).collect();
            let diff = report::diff(&shown, &self.shown(&known));
            self.fail("appended other events than expected", &diff);
        }
        let known = expected.into_iter().map(|event| event.known);
        self.scenario.known.extend(known);
        self.scenario
    }

    /// The command succeeded and appended nothing.
    ///
    /// # Panics
    ///
    /// When it appended something or failed.
    #[track_caller]
    pub fn then_nothing(self) -> Scenario<S> {
        if self.result.is_err() {
            self.fail(
                "failed, and success without events was expected",
                &self.found(),
            );
        }
        self.nothing_appended()
    }

    /// The command had taken effect before under its idempotency key, and appended nothing now.
    ///
    /// # Panics
    ///
    /// When it was run, or failed.
    #[track_caller]
    pub fn then_replayed(self) -> Scenario<S> {
        if !self.result.as_ref().is_ok_and(|receipt| receipt.replayed) {
            self.fail(
                "did not return the receipt of an earlier run",
                &self.found(),
            );
        }
        self.nothing_appended()
    }

    /// The command's rules refused it, with a message that contains this.
    ///
    /// # Panics
    ///
    /// When it was not refused, or with another message.
    #[track_caller]
    pub fn then_rejected(self, message: &str) -> Scenario<S> {
        let found = self.result.as_ref().err().and_then(CommandError::rejection);
        if !found.is_some_and(|rejection| rejection.to_string().contains(message)) {
            let then = format!(
                "  expected a rejection that says\n    {message}\n{}",
                self.found()
            );
            self.fail("was not rejected as expected", &then);
        }
        self.nothing_appended()
    }

    /// The command's rules refused it with an error of the application's own, of which this holds.
    ///
    /// `then_rejected_with(|error: &Refusal| *error == Refusal::OverTheLimit)`
    ///
    /// # Panics
    ///
    /// When it was not refused, or with another error.
    #[track_caller]
    pub fn then_rejected_with<E: Error + 'static>(
        self,
        holds: impl FnOnce(&E) -> bool,
    ) -> Scenario<S> {
        let rejection = self.result.as_ref().err().and_then(CommandError::rejection);
        let own = rejection.and_then(|rejection| rejection.downcast_ref::<E>());
        let name = std::any::type_name::<E>();
        match own {
            None => {
                let then = format!("  expected a rejection with\n    {name}\n{}", self.found());
                self.fail("was not rejected as expected", &then);
            }
            Some(error) if !holds(error) => {
                let then = format!(
                    "  found a rejection with another {name}\n{}",
                    report::indented("    ", &format!("{error:#?}"))
                );
                self.fail("was not rejected as expected", &then);
            }
            Some(_) => {}
        }
        self.nothing_appended()
    }

    /// The command failed, by its rules or otherwise, with an error of which this holds. What it appended, if it did,
    /// is not looked at: after [`CommandError::OutcomeUnknown`] either is right.
    ///
    /// # Panics
    ///
    /// When it succeeded, or failed otherwise.
    #[track_caller]
    pub fn then_error(self, holds: impl FnOnce(&CommandError) -> bool) -> Scenario<S> {
        match &self.result {
            Err(error) if holds(error) => self.scenario,
            _ => self.fail("did not fail as expected", &self.found()),
        }
    }

    /// Looks at the outcome in any other way, and goes on.
    #[track_caller]
    pub fn inspect(self, look: impl FnOnce(&Self)) -> Self {
        look(&self);
        self
    }

    /// What the executor returned.
    ///
    /// # Errors
    ///
    /// What the command failed with.
    pub fn result(&self) -> Result<&CommandReceipt, &CommandError> {
        self.result.as_ref()
    }

    /// What was appended, with its metadata and places.
    pub fn recorded(&self) -> &[RecordedEvent] {
        &self.found
    }

    #[track_caller]
    fn nothing_appended(self) -> Scenario<S> {
        if !self.found.is_empty() {
            let diff = report::diff(&[], &self.shown(&[]));
            self.fail("appended events, and none were expected", &diff);
        }
        self.scenario
    }

    /// What was appended, as the types show it that this scenario knows; those of the expectation first.
    fn shown(&self, known: &[&Known]) -> Vec<Shown> {
        let all: Vec<&Known> = known.iter().copied().chain(&self.scenario.known).collect();
        let show = |found: &RecordedEvent| Known::show(&all, found);
        self.found.iter().map(show).collect()
    }

    /// The outcome in words.
    fn found(&self) -> String {
        match &self.result {
            Err(error) => {
                let error = report::indented("    ", &report::chain(error));
                format!("  found an error\n{error}")
            }
            Ok(_) if self.found.is_empty() => "  found success without events\n".to_owned(),
            Ok(_) => {
                let events = report::indented("    ", &report::list(&self.shown(&[])));
                format!("  found events\n{events}")
            }
        }
    }

    #[track_caller]
    fn fail(&self, what: &str, then: &str) -> ! {
        let headline = format!("`{}` {what}", self.command);
        panic!("{}", report::report(&headline, &self.scenario.past, then))
    }
}
