//! What inline read models cost a command: a measurement, not a clause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use eventcore::{
    CommandError, CommandLogic, CommandState, NewEvents, StoredEvent, StreamId, Streams, emit,
    execute,
};

use super::{
    Place,
    kit::{Ticked, counts, each, highest, join, open, stream},
};

/// Appends one event to one stream.
#[derive(eventcore::Command)]
struct Touch {
    #[stream]
    counter: StreamId,
}

impl CommandState for Touch {
    type Event = Ticked;
    type State = i64;
    fn apply(&self, sum: &mut i64, event: &StoredEvent<Ticked>) {
        if let Ticked::Tick { by } = event.data() {
            *sum += by;
        }
    }
}

impl CommandLogic for Touch {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        emit!(events, &streams.counter => Ticked::Tick { by: 1 });
        Ok(())
    }
}

/// How many commands a second these clients get through together, each with its next command when the last one is done.
///
/// A command reads one stream and appends one event to it; each client has 100 streams of its own. With one model each
/// event changes two documents, one of which all events change; with two models it changes three.
///
/// # Panics
///
/// For more than two models, and when a command fails.
pub async fn commands_per_second<P: Place>(
    place: &P,
    models: usize,
    clients: usize,
    time: Duration,
) -> f64 {
    assert!(models <= 2, "there are two models to measure with");
    let models = [counts, highest]
        .into_iter()
        .take(models)
        .map(|model| model());
    let store = open(place, models.collect()).await;
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let working = each(clients, |client| {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            for round in 0_u64.. {
                if start.elapsed() >= time {
                    break;
                }
                let counter = stream(format!("client:{client}:{}", round % 100));
                let receipt = execute(Touch { counter }, &store).await;
                receipt.unwrap_or_else(|error| panic!("a command failed: {error} ({error:?})"));
                done.fetch_add(1, Relaxed);
            }
        }
    });
    join(working).await;
    let commands = u32::try_from(done.load(Relaxed)).unwrap_or(u32::MAX);
    f64::from(commands) / start.elapsed().as_secs_f64()
}

/// Measures 0, 1 and 2 models with 1 and with 16 clients, by turns, and prints the medians of so many rounds.
///
/// # Panics
///
/// As [`commands_per_second`].
#[allow(clippy::print_stdout, reason = "it is there to print")]
pub async fn print<P: Place>(mut place: impl AsyncFnMut() -> P, rounds: usize, time: Duration) {
    const CASES: [(usize, usize); 6] = [(0, 1), (1, 1), (2, 1), (0, 16), (1, 16), (2, 16)];
    let mut found = [const { Vec::new() }; CASES.len()];
    for _ in 0..rounds.max(1) {
        for (case, (models, clients)) in CASES.into_iter().enumerate() {
            let rate = commands_per_second(&place().await, models, clients, time).await;
            found[case].push(rate);
        }
    }
    for ((models, clients), mut rates) in CASES.into_iter().zip(found) {
        rates.sort_by(f64::total_cmp);
        let (median, least, most) = (rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
        println!(
            "{clients:>2} clients, {models} models: {median:>8.0} commands/s ({least:.0} to {most:.0})"
        );
    }
}
