//! The words that clauses are written in.

use std::{
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use eventcore::{
    EncodedEvent, EventFilter, EventStore, EventType, GlobalPosition, IdempotencyKey, Payload,
    RecordedEvent, SchemaVersion, StreamId, StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, BatchBuilder, Conflict, Idempotency, Page,
        PageSize, ReadError, ReadFrom,
    },
};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(super) type Store = Arc<dyn EventStore>;

pub(super) fn stream(name: impl AsRef<str>) -> StreamId {
    StreamId::try_new(name).expect("the suite's stream names are valid")
}

pub(super) fn version(number: u64) -> StreamVersion {
    StreamVersion::try_new(number).expect("the suite's versions are small")
}

pub(super) fn event(name: &str, payload: impl Into<Vec<u8>>) -> EncodedEvent {
    let name = EventType::try_new(name).expect("the suite's type names are valid");
    EncodedEvent::new(name, SchemaVersion::FIRST, Payload::from(payload.into()))
}

/// An event that says its number.
pub(super) fn numbered(number: u64) -> EncodedEvent {
    event("contract.numbered", format!("{{\"n\":{number}}}"))
}

/// The number in such an event.
pub(super) fn number_of(event: &RecordedEvent) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(event.encoded().payload().as_bytes())
        .unwrap_or_else(|error| panic!("{event:?} came back with another payload: {error}"));
    value["n"]
        .as_u64()
        .unwrap_or_else(|| panic!("{event:?} came back with another payload"))
}

/// A batch in the making.
pub(super) struct Draft(BatchBuilder);

pub(super) fn draft() -> Draft {
    Draft(AppendBatch::builder())
}

impl Draft {
    pub(super) fn expect(mut self, stream: &StreamId, at: u64) -> Self {
        self.0
            .expect(stream.clone(), version(at))
            .expect("a clause expects each stream once");
        self
    }

    pub(super) fn event(mut self, stream: &StreamId, event: EncodedEvent) -> Self {
        self.0
            .event(stream, event)
            .expect("a clause expects what it writes to");
        self
    }

    pub(super) fn key(mut self, key: &str, fingerprint: u128) -> Self {
        self.0.idempotency(Idempotency {
            key: self::key(key),
            fingerprint: Uuid::from_u128(fingerprint),
        });
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut BatchBuilder)) -> Self {
        change(&mut self.0);
        self
    }

    pub(super) fn build(self) -> AppendBatch {
        self.0
            .build()
            .expect("a clause's batches are within the limits")
    }
}

pub(super) fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(key).expect("the suite's keys are valid")
}

/// `count` numbered events from 1 on, appended to a stream that is empty.
pub(super) async fn fill(store: &Store, stream: &StreamId, count: u64) -> AppendReceipt {
    let events = (1..=count).map(numbered);
    let batch = events.fold(draft().expect(stream, 0), |d, e| d.event(stream, e));
    append(store, batch.build()).await
}

/// How long a store may go on to say that it is busy.
const PATIENCE: Duration = Duration::from_secs(30);

macro_rules! patiently {
    ($call:expr, $error:pat => $retriable:expr) => {{
        let start = tokio::time::Instant::now();
        loop {
            match $call.await {
                // "Nothing was done, will pass": so it must pass.
                Err($error) if $retriable && start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                outcome => break outcome,
            }
        }
    }};
}

/// Appends, again while the store says that it is busy.
pub(super) async fn try_append(
    store: &Store,
    batch: AppendBatch,
) -> Result<AppendReceipt, AppendError> {
    patiently!(store.append(batch.clone()), AppendError::Store(ref error) => error.is_retriable())
}

pub(super) async fn append(store: &Store, batch: AppendBatch) -> AppendReceipt {
    let told = format!(
        "{} events, expectations {:.400}, key {:?}",
        batch.events().len(),
        format!("{:?}", batch.expectations()),
        batch
            .idempotency()
            .map(|idempotency| idempotency.key.as_str()),
    );
    match try_append(store, batch).await {
        Ok(receipt) => receipt,
        Err(error) => {
            panic!("a batch was refused that is promised to succeed ({told}): {error} ({error:?})")
        }
    }
}

/// The conflict that this batch must meet.
pub(super) async fn conflict(store: &Store, batch: AppendBatch, why: &str) -> Conflict {
    match try_append(store, batch).await {
        Err(AppendError::Conflict(conflict)) => conflict,
        Ok(receipt) => panic!("{why}: promised a conflict, but it was appended as {receipt:?}"),
        Err(error) => panic!("{why}: promised a conflict, got another error: {error} ({error:?})"),
    }
}

/// Some streams at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) versions: Vec<u64>,
    pub(super) events: Vec<RecordedEvent>,
}

/// Reads, again while the store says that it is busy, and checks that versions and events agree.
pub(super) async fn read(store: &Store, streams: &[ReadFrom]) -> Seen {
    let once = async || {
        let read = store.read(streams).await?;
        Ok::<_, ReadError>((read.versions, read.events.collect().await?))
    };
    let (versions, events) = patiently!(once(), ref error => error.is_retriable())
        .unwrap_or_else(|error| panic!("reading failed: {error} ({error:?})"));
    check_read(streams, &versions, &events);
    let versions = versions.into_iter().map(StreamVersion::get).collect();
    Seen { versions, events }
}

/// Whole streams.
pub(super) async fn view(store: &Store, streams: &[&StreamId]) -> Seen {
    let streams: Vec<_> = streams
        .iter()
        .map(|s| ReadFrom::start((*s).clone()))
        .collect();
    read(store, &streams).await
}

fn check_read(streams: &[ReadFrom], versions: &[StreamVersion], events: &[RecordedEvent]) {
    assert_eq!(
        versions.len(),
        streams.len(),
        "a read owes one version per stream asked for"
    );
    let in_order = events
        .windows(2)
        .find(|w| w[0].position() >= w[1].position());
    assert!(
        in_order.is_none(),
        "a read owes its events by position, each once; got {in_order:?}"
    );
    let mut at: HashMap<&StreamId, (StreamVersion, StreamVersion)> = HashMap::new();
    for (from, version) in streams.iter().zip(versions) {
        let (after, end) = at.entry(&from.stream).or_insert((from.after, *version));
        *after = (*after).min(from.after);
        assert_eq!(
            end, version,
            "`{}` has two versions in one read",
            from.stream
        );
    }
    for event in events {
        let Some((last, end)) = at.get_mut(event.stream()) else {
            panic!("{event:?} is of a stream that was not asked for");
        };
        assert_eq!(
            event.version(),
            last.advanced(1),
            "a read owes the events of `{}` one after the other from version {} on",
            event.stream(),
            last.advanced(1),
        );
        *last = event.version();
        assert!(
            last <= end,
            "{event:?} is beyond version {end}, where its stream is by the same read"
        );
    }
    for (stream, (last, version)) in at {
        // Asking for what is beyond the end is no error; nothing comes then.
        assert!(
            last >= version,
            "`{stream}` is at version {version} by the same read, but its events end at {last}"
        );
    }
}

pub(super) fn page_size(size: usize) -> PageSize {
    PageSize::try_from(size).expect("the suite's page sizes are allowed")
}

pub(super) fn position(number: u64) -> GlobalPosition {
    GlobalPosition::try_new(number).expect("the suite's positions are small")
}

/// One page, again while the store says that it is busy; checks what every page owes.
pub(super) async fn page(
    store: &Store,
    after: GlobalPosition,
    filter: &EventFilter,
    size: usize,
) -> Page {
    let page = patiently!(
        store.read_all(after, filter, page_size(size)),
        ref error => error.is_retriable()
    )
    .unwrap_or_else(|error| panic!("reading the log failed: {error} ({error:?})"));
    assert!(
        page.events.len() <= size,
        "a page of at most {size} events has {}",
        page.events.len()
    );
    let mut last = after;
    for event in &page.events {
        assert!(
            event.position() > last,
            "a page after {after} owes later events in order; {event:?} follows position {last}"
        );
        last = event.position();
        assert!(
            filter.matches(event),
            "{event:?} does not pass {filter:?} and was returned"
        );
    }
    assert!(
        page.next >= last,
        "`next` is {}, before the page's last event at {last}",
        page.next
    );
    assert!(
        page.at_end || page.next > after,
        "the page after {after} is not at the end and `next` does not lead on: a reader would loop forever"
    );
    page
}

/// Everything that passes a filter, in pages of a size, until the store says that it is the end.
pub(super) async fn pages(store: &Store, filter: &EventFilter, size: usize) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    let mut after = GlobalPosition::START;
    loop {
        let page = page(store, after, filter, size).await;
        all.extend(page.events);
        after = page.next;
        if page.at_end {
            return all;
        }
    }
}

/// The whole log, with positions from 1 without holes and versions one after the other in each stream.
pub(super) async fn log(store: &Store) -> Vec<RecordedEvent> {
    let events = pages(store, &EventFilter::all(), 2000).await;
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for (expected, event) in (1..).zip(&events) {
        assert_eq!(
            event.position().get(),
            expected,
            "positions are promised to be dense from 1; {event:?} stands where {expected} belongs"
        );
        let last = versions.entry(event.stream()).or_default();
        *last += 1;
        assert_eq!(
            event.version().get(),
            *last,
            "versions are promised to be contiguous; {event:?} is event {last} of its stream"
        );
    }
    events
}

/// An event that says what its writer saw: a version per stream.
pub(super) fn witness(seen: &[(&StreamId, u64)]) -> EncodedEvent {
    let seen: BTreeMap<&str, u64> = seen.iter().map(|(s, v)| (s.as_str(), *v)).collect();
    let payload = serde_json::to_vec(&seen).expect("a map of numbers is JSON");
    event("contract.witness", payload)
}

/// Checks that every witness in the log was right at its place, as if all commands had run one after the other.
pub(super) fn check_witnesses(log: &[RecordedEvent]) {
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in log {
        let seen: BTreeMap<String, u64> =
            serde_json::from_slice(event.encoded().payload().as_bytes())
                .unwrap_or_else(|error| panic!("{event:?} came back changed: {error}"));
        for (stream, seen) in seen {
            let actual = versions.get(&stream).copied().unwrap_or(0);
            assert_eq!(
                seen, actual,
                "{event:?} was decided when `{stream}` was at {seen}, and committed when it was at {actual}"
            );
        }
        *versions.entry(event.stream().to_string()).or_default() += 1;
    }
}

/// The results of tasks; a panic in one is a panic here.
pub(super) async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task.await {
            Ok(result) => results.push(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("a task of the suite was stopped: {error}"),
            },
        }
    }
    results
}

/// Polls work a number of times, waits a while, and drops it; its result if it was done before.
pub(super) async fn dropped_after<T>(
    polls: usize,
    linger: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    let done = poll_fn(|cx| {
        left = left.saturating_sub(1);
        match work.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if done.is_none() && !linger.is_zero() {
        tokio::time::sleep(linger).await;
    }
    done
}

/// Keeps writers and readers abreast: a store that never waits would be done writing before the first read.
#[derive(Debug, Default)]
pub(super) struct Pace {
    readers: bool,
    reads: AtomicU64,
    done: AtomicBool,
}

impl Pace {
    /// For writers that are being watched; `default` is for those that are not.
    pub(super) fn with_readers() -> Self {
        Self {
            readers: true,
            ..Self::default()
        }
    }

    /// A reader begins another read; false when the writers are done.
    pub(super) async fn goes_on(&self) -> bool {
        tokio::task::yield_now().await;
        self.reads.fetch_add(1, SeqCst);
        !self.done.load(SeqCst)
    }

    /// A writer lets a reader begin another read. Bounded, since readers may have given up.
    pub(super) async fn let_read(&self) {
        let before = self.reads.load(SeqCst);
        for _ in 0..if self.readers { 10_000 } else { 1 } {
            if self.reads.load(SeqCst) != before {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The writers are done.
    pub(super) fn finish(&self) {
        self.done.store(true, SeqCst);
    }
}
