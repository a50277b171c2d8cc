//! Noting what commands see and are told, from any number of tasks.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use eventcore::{
    CommandError, CommandReceipt, CorrelationId, RecordedEvent, StreamId, StreamVersion,
    store::AppendedEvent,
};

use super::{CommandRecord, Decision, History, Outcome, Tick};

/// Notes what commands see and are told. Clones note into the same history.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clock: AtomicU64,
    commands: Mutex<Vec<Arc<Mutex<CommandRecord>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked is told by its own panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// With nothing noted.
    pub fn new() -> Self {
        Self::default()
    }

    fn tick(&self) -> Tick {
        Tick(self.0.clock.fetch_add(1, SeqCst))
    }

    /// A command begins now: call this before it can see anything. Until it is told something, its outcome is
    /// [`Outcome::Unknown`].
    pub fn begin(&self, label: impl Into<String>) -> Recorded {
        let record = Arc::new(Mutex::new(CommandRecord {
            label: label.into(),
            correlation_id: CorrelationId::generate(),
            began: self.tick(),
            ended: None,
            decisions: Vec::new(),
            outcome: Outcome::Unknown,
        }));
        locked(&self.0.commands).push(Arc::clone(&record));
        Recorded {
            recorder: self.clone(),
            record,
        }
    }

    /// How many commands have begun.
    pub fn commands(&self) -> usize {
        locked(&self.0.commands).len()
    }

    /// What was noted so far, with the whole log.
    pub fn history<'e>(&self, log: impl IntoIterator<Item = &'e RecordedEvent>) -> History {
        let commands = locked(&self.0.commands);
        let commands = commands.iter().map(|command| locked(command).clone());
        History::with_events(commands.collect(), log)
    }
}

/// A command under way. Clones are the same command, so that one can travel in it, and so are several runs under one
/// idempotency key.
#[derive(Clone)]
pub struct Recorded {
    recorder: Recorder,
    record: Arc<Mutex<CommandRecord>>,
}

impl Recorded {
    /// What its events are to carry, for [`Metadata::correlation_id`](eventcore::Metadata::correlation_id): they are
    /// known by it.
    pub fn correlation_id(&self) -> CorrelationId {
        locked(&self.record).correlation_id
    }

    /// An attempt saw these streams at these versions and emitted so many events; to be called from `handle`, at its
    /// end or before it refuses.
    pub fn decided(&self, saw: impl IntoIterator<Item = (StreamId, StreamVersion)>, events: usize) {
        let saw = saw.into_iter().collect();
        locked(&self.record)
            .decisions
            .push(Decision { saw, events });
    }

    /// It took effect, or decided that nothing was to do.
    pub fn acknowledged(&self, events: &[AppendedEvent]) {
        self.ended(Outcome::Acknowledged(events.to_vec()));
    }

    /// Its own rules refused it.
    pub fn rejected(&self) {
        self.ended(Outcome::Rejected);
    }

    /// It surely had no effect.
    pub fn failed(&self, error: impl fmt::Display) {
        self.ended(Outcome::Failed(error.to_string()));
    }

    /// Nobody knows.
    pub fn unknown(&self) {
        self.ended(Outcome::Unknown);
    }

    /// What [`execute`](eventcore::execute) returned. [`CommandError::OutcomeUnknown`] leaves the outcome open, for a
    /// later answer to the key.
    pub fn told(&self, result: &Result<CommandReceipt, CommandError>) {
        match result {
            Ok(receipt) => self.acknowledged(&receipt.events),
            Err(error) if error.is_rejection() => self.rejected(),
            Err(CommandError::OutcomeUnknown { .. }) => self.unknown(),
            Err(error) => self.failed(error),
        }
    }

    fn ended(&self, outcome: Outcome) {
        let now = self.recorder.tick();
        let mut record = locked(&self.record);
        record.ended = Some(now);
        record.outcome = outcome;
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        locked(&self.record).fmt(f)
    }
}
