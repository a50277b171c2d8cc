//! A store that is obviously right, and a test that compares any store with it, step by random step.
//!
//! [`check`] drives a store with appends whose expectations are right or wrong, repeated keys, reads from anywhere and
//! pages of all kinds, and demands the [`Model`]'s answer to each, errors included. When an answer differs, the steps
//! are cut down to the few that are needed to show it.
#![allow(
    clippy::panic,
    reason = "to say what is wrong in a test is to panic with a clear message"
)]

mod compare;
mod reference;
mod steps;

use std::{fmt::Write, time::Duration};

use eventcore::EventStore;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use proptest_state_machine::Sequential;
use tokio::runtime::Runtime;

pub use self::reference::{Model, Refusal};
use self::{compare::Compared, steps::Step};

/// The most steps of one case.
const STEPS: usize = 40;

/// The longest that one step may take; a store that hangs is wrong, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Compares stores that `fresh` makes with the [`Model`], one for each of `cases` random stories of up to 40 steps.
///
/// To be called from a plain `#[test]`: it brings a Tokio runtime of its own, with two threads. The stories differ
/// from run to run; a fixed `PROPTEST_RNG_SEED` in the environment repeats them.
///
/// # Panics
///
/// When an answer differs from the model's: with both answers and the shortest story found that leads there. Also
/// inside of a Tokio runtime.
///
/// ```
/// use eventcore_memory::InMemoryEventStore;
///
/// eventcore_testing::model::check(8, || async { InMemoryEventStore::new() });
/// ```
#[track_caller]
pub fn check<S, F>(cases: u32, fresh: impl Fn() -> F)
where
    S: EventStore,
    F: Future<Output = S>,
{
    run(cases, false, || (), |()| fresh());
}

/// As [`check`], for stores that outlive being closed: `place` makes an empty place, such as a folder, and `open` opens
/// the store in it, at the beginning and each time a step has dropped it.
///
/// `check_reopening(64, || tempfile::tempdir().unwrap(), |folder| open(folder.path().join("events.db")))`
///
/// # Panics
///
/// As [`check`].
#[track_caller]
pub fn check_reopening<P, S, F>(cases: u32, place: impl Fn() -> P, open: impl Fn(&P) -> F)
where
    S: EventStore,
    F: Future<Output = S>,
{
    run(cases, true, place, open);
}

#[track_caller]
fn run<P, S, F>(cases: u32, reopens: bool, place: impl Fn() -> P, open: impl Fn(&P) -> F)
where
    S: EventStore,
    F: Future<Output = S>,
{
    let runtime = runtime();
    let config = Config {
        cases,
        // The minimal story is in the message; a file of seeds beside foreign code would surprise.
        failure_persistence: None,
        source_file: None,
        ..Config::default()
    };
    let stories = Sequential::new(
        (1..=STEPS).into(),
        || Just(Model::default()),
        |_: &Model, _: &Step| true,
        move |model: &Model| steps::any_step(model, reopens).boxed(),
        |model, step: &Step| model.after(step),
    );
    let story = |(_, steps, seen): (Model, Vec<Step>, Option<Seen>)| {
        let place = place();
        runtime.block_on(async {
            let mut compared = Compared::new(open(&place).await);
            for (number, step) in steps.iter().enumerate() {
                if let Some(seen) = &seen {
                    // Lets the strategy drop at once what comes after the failure.
                    seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                let result = if let Step::Reopen = step {
                    compared.close();
                    compared.reopen(open(&place).await);
                    compared.whole_log().await
                } else {
                    let patient = tokio::time::timeout(PATIENCE, compared.step(step));
                    patient
                        .await
                        .unwrap_or_else(|_| Err("the store hangs".to_owned()))
                };
                result.map_err(|error| {
                    TestCaseError::fail(format!("step {} ({}): {error}", number + 1, step.name()))
                })?;
            }
            Ok(())
        })
    };
    match TestRunner::new(config).run(&stories, story) {
        Ok(()) => {}
        Err(TestError::Fail(reason, (_, steps, _))) => panic!("{}", told(reason.message(), &steps)),
        Err(TestError::Abort(reason)) => panic!("no stories could be made: {reason}"),
    }
}

type Seen = std::sync::Arc<std::sync::atomic::AtomicUsize>;

fn told(reason: &str, steps: &[Step]) -> String {
    let mut text = format!("the store differs from the model at {reason}\n\nsteps:\n");
    for (number, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "{:3}. {step:?}", number + 1);
    }
    text
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for the test: {error}"),
    }
}
