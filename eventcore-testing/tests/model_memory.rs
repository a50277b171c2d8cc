//! The memory store against the model, and that the comparison notices what it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey, StreamPrefix,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, KeptReceipt, Page, PageSize,
        ReadError, ReadFrom, StreamFilter, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;
use eventcore_testing::model;

#[test]
fn the_memory_store_answers_as_the_model() {
    model::check(256, || async { InMemoryEventStore::new() });
}

#[test]
fn clones_of_the_memory_store_are_one_store() {
    model::check_reopening(64, InMemoryEventStore::new, |store| {
        let clone = store.clone();
        async { clone }
    });
}

#[test]
fn a_store_that_forgets_what_is_only_read_is_caught() {
    let told = caught(&Defect::ForgetsReadOnly);
    assert!(
        told.contains("(append): expected\n  Err(Conflict("),
        "{told}"
    );
}

#[test]
fn a_store_that_forgets_keys_without_events_is_caught() {
    let told = caught(&Defect::ForgetsEmptyKeys);
    assert!(
        told.contains("(append)") || told.contains("(find receipt)"),
        "{told}"
    );
}

#[test]
fn a_store_that_takes_a_prefix_for_a_pattern_is_caught() {
    let told = caught(&Defect::PrefixIsPattern);
    assert!(
        told.contains("(page): events") || told.contains("(follow): events"),
        "{told}"
    );
}

#[test]
fn a_store_that_loses_everything_when_closed_is_caught() {
    let forgetful = || model::check_reopening(64, || (), |()| async { InMemoryEventStore::new() });
    let told = message(catch_unwind(forgetful));
    assert!(
        told.contains("(reopen): the whole log afterwards"),
        "{told}"
    );
}

#[test]
fn the_stories_meet_every_kind_of_answer() {
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    model::check(128, || async {
        Broken::new(Defect::None(Arc::clone(&answers)))
    });
    let answers = answers.lock().unwrap();
    for kind in [
        "appended",
        "replayed",
        "conflict",
        "other command",
        "receipt",
        "no receipt",
    ] {
        let count = answers.get(kind).copied().unwrap_or(0);
        assert!(count >= 32, "{kind}: {count} of {answers:?}");
    }
}

#[test]
fn the_story_told_is_short() {
    let told = caught(&Defect::PrefixIsPattern);
    let (_, steps) = told.split_once("steps:\n").unwrap();
    // Two would do: an event in another stream, and the page that shows it. Stories have up to 40.
    assert!(steps.lines().count() <= 12, "{told}");
}

fn caught(defect: &Defect) -> String {
    let check = || model::check(512, || async { Broken::new(defect.clone()) });
    message(catch_unwind(AssertUnwindSafe(check)))
}

fn message(result: std::thread::Result<()>) -> String {
    let panic = result.expect_err("a defect that nobody noticed");
    *panic.downcast::<String>().unwrap()
}

type Answers = Arc<Mutex<BTreeMap<&'static str, u32>>>;

#[derive(Clone)]
enum Defect {
    /// It is sound, and only counts.
    None(Answers),
    ForgetsReadOnly,
    ForgetsEmptyKeys,
    PrefixIsPattern,
}

/// The memory store with one defect.
struct Broken {
    inner: InMemoryEventStore,
    defect: Defect,
    empty: Mutex<Vec<IdempotencyKey>>,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        Self {
            inner: InMemoryEventStore::new(),
            defect,
            empty: Mutex::default(),
        }
    }

    fn count(&self, answer: &'static str) {
        if let Defect::None(answers) = &self.defect {
            *answers.lock().unwrap().entry(answer).or_default() += 1;
        }
    }
}

/// The batch without the expectations that it writes nothing to.
fn unguarded(batch: &AppendBatch) -> AppendBatch {
    let mut cut = AppendBatch::builder();
    for (index, expected) in batch.expectations().iter().enumerate() {
        if batch.events().iter().any(|event| event.stream == index) {
            cut.expect(expected.stream.clone(), expected.version)
                .unwrap();
        }
    }
    for event in batch.events() {
        cut.event(batch.stream_of(event), event.event.clone())
            .unwrap();
    }
    cut.build().unwrap()
}

#[async_trait]
impl EventStore for Broken {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn commons(&self) -> &Commons {
        self.inner.commons()
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        self.inner.read(streams).await
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let result = self.inner.append(batch.clone()).await;
        self.count(match &result {
            Ok(receipt) if receipt.replayed => "replayed",
            Ok(_) => "appended",
            Err(AppendError::Conflict(_)) => "conflict",
            Err(_) => "other command",
        });
        match (&result, batch.idempotency()) {
            (Err(AppendError::Conflict(_)), None)
                if matches!(self.defect, Defect::ForgetsReadOnly) =>
            {
                self.inner.append(unguarded(&batch)).await
            }
            (Ok(_), Some(named)) if batch.events().is_empty() => {
                self.empty.lock().unwrap().push(named.key.clone());
                result
            }
            _ => result,
        }
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        let empty = self.empty.lock().unwrap().contains(key);
        if empty && matches!(self.defect, Defect::ForgetsEmptyKeys) {
            return Ok(None);
        }
        let found = self.inner.find_receipt(key).await?;
        self.count(if found.is_some() {
            "receipt"
        } else {
            "no receipt"
        });
        Ok(found)
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        self.find_receipt(key).await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        if matches!(self.defect, Defect::PrefixIsPattern)
            && let StreamFilter::Prefix(prefix) = filter.get_streams()
            && let Some((start, _)) = prefix.as_str().split_once('_')
        {
            // As `LIKE 'a_1%'` does, where `_` is any character.
            let start = StreamPrefix::try_new(start).unwrap();
            let filter = filter.clone().prefix(start);
            return self.inner.read_all(after, &filter, limit).await;
        }
        self.inner.read_all(after, filter, limit).await
    }
}
