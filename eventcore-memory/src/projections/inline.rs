//! Read models that an event store changes together with its log.
//!
//! Locks are taken in one order: the log, then the books of all models by their address. They are kept until log and
//! documents are both changed, so nobody sees one without the other.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use eventcore::{
    RecordedEvent,
    projection::{
        Checkpoint, Claim, Claimed, DocumentKey, Inline, InlineError, Partitions, ProjectionId,
        ProjectionStoreError, Witness,
    },
    store::{AppendError, StoreError, StoreErrorKind},
};
use tokio::time::Instant;

use super::{
    InMemoryProjections,
    books::{Books, merge},
    locked,
    version::{AGES, Version},
};
use crate::log::Log;

/// The most events that are applied before those of an append: what they cost, every other writer waits for.
const MAX_MISSING: usize = 1000;

/// The read models of an event store.
#[derive(Default)]
pub(crate) struct Inlines(Vec<Group>);

/// Those that live together.
#[derive(Clone)]
struct Group {
    books: Arc<Mutex<Books>>,
    models: Vec<Inline>,
}

impl fmt::Debug for Inlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.models()).finish()
    }
}

/// What is to be changed when the log is, and nobody can see until then.
#[must_use]
pub(crate) struct Prepared<'i>(Vec<(MutexGuard<'i, Books>, Vec<Change>)>);

/// What becomes of one projection.
struct Change {
    projection: ProjectionId,
    documents: BTreeMap<DocumentKey, Option<String>>,
    checkpoint: Checkpoint,
}

impl Inlines {
    fn models(&self) -> impl Iterator<Item = &Inline> {
        self.0.iter().flat_map(|group| &group.models)
    }

    /// These and one more, with what it lacks of the log.
    pub(crate) fn with<M>(
        &self,
        model: Inline,
        views: &InMemoryProjections<M>,
        log: &Log,
    ) -> Result<Self, ProjectionStoreError> {
        let books = &views.shared.books;
        if self
            .models()
            .any(|other| other.id().name == model.id().name)
        {
            let why = "this store runs a model of that name already";
            return Err(refused(&model, StoreErrorKind::Other, why).into());
        }
        open(&mut locked(books), &model, log)?;
        let mut groups = self.0.clone();
        match groups
            .iter_mut()
            .find(|group| Arc::ptr_eq(&group.books, books))
        {
            Some(group) => group.models.push(model),
            None => groups.push(Group {
                books: Arc::clone(books),
                models: vec![model],
            }),
        }
        groups.sort_by_key(|group| Arc::as_ptr(&group.books).addr());
        Ok(Self(groups))
    }

    /// What the events of an append, which will follow on the log, do to the documents.
    pub(crate) fn prepare(
        &self,
        log: &Log,
        new: &[RecordedEvent],
    ) -> Result<Prepared<'_>, AppendError> {
        let mut prepared = Prepared(Vec::with_capacity(self.0.len()));
        // What only records a key concerns nobody.
        let groups = self.0.iter().filter(|_| !new.is_empty());
        let now = Instant::now;
        for Group { books, models } in groups {
            let books = locked(books);
            let change = |model: &Inline| {
                let version = owned(&books, model.id(), now()).ok_or_else(|| lost(model))?;
                change(model, Some(version), log, new)
            };
            let changes = models.iter().map(change).collect::<Result<_, _>>()?;
            prepared.0.push((books, changes));
        }
        Ok(prepared)
    }
}

impl Prepared<'_> {
    /// Changes the documents, and lets readers see them.
    pub(crate) fn settle(self) {
        for (mut books, changes) in self.0 {
            for change in changes {
                settle(&mut books, change);
            }
        }
    }
}

/// Lets runners lead again.
pub(super) fn give_back(books: &mut Books, projection: &ProjectionId) {
    if owned(books, projection, Instant::now()).is_some()
        && let Some(version) = books.version_mut(projection)
    {
        for partition in &mut version.partitions {
            partition.leader = None;
        }
    }
}

/// A version, if it is run inline.
fn owned<'b>(books: &'b Books, projection: &ProjectionId, now: Instant) -> Option<&'b Version> {
    let version = books.version(projection)?;
    let (owner, _) = version.partitions.first()?.leader(now)?;
    (version.partitions.len() == 1 && owner.id == Inline::owner().id).then_some(version)
}

/// Makes a projection an inline one.
fn open(books: &mut Books, model: &Inline, log: &Log) -> Result<(), StoreError> {
    let projection = model.id();
    let refused = |kind, why: String| Err(refused(model, kind, why));
    let version = books.version(projection);
    if let Some(version) = version {
        let partitions = version.partitions.len();
        if partitions != 1 {
            let why = format!("it has {partitions} partitions; run it with 1 first");
            return refused(StoreErrorKind::Other, why);
        }
        if let Some((owner, left)) = version.partitions[0].leader(Instant::now())
            && owner.id != Inline::owner().id
        {
            let why = format!("{owner} leads it, for {left:?} yet; stop that runner first");
            return refused(StoreErrorKind::Busy, why);
        }
        let waiting = version.waiting();
        if waiting > 0 {
            let why = format!("{waiting} dead letters wait; replay them with a runner first");
            return refused(StoreErrorKind::Other, why);
        }
        let checkpoint = version.partitions[0].checkpoint;
        let divisions = version.divisions.clone();
        if !divisions.and(vec![checkpoint.position]).0.is_empty() {
            let why = "it has not caught up since it was divided; run it with 1 partition first";
            return refused(StoreErrorKind::Other, why.into());
        }
        if let Some(Witness { position, id }) = checkpoint.witness
            && log.at(position).map(RecordedEvent::id) != Some(id)
        {
            let why = format!("it was built from another log, which had event {id} at {position}");
            return refused(StoreErrorKind::Other, format!("{why}; reset it first"));
        }
    }
    let change = change(model, version, log, &[]).map_err(|error| match error {
        AppendError::Store(error) => error,
        other => self::refused(
            model,
            StoreErrorKind::Other,
            "it lacks events that it cannot take",
        )
        .with_source(other),
    })?;
    let claim = Claim {
        projection: projection.clone(),
        partition: 0,
        partitions: Partitions::ONE,
        owner: Inline::owner(),
        ttl: AGES,
    };
    match books.claim(&claim, Instant::now()) {
        Ok(Claimed::Granted(_)) => {}
        Ok(other) => return refused(StoreErrorKind::Busy, format!("{other:?}")),
        Err(error) => return refused(StoreErrorKind::Other, error.to_string()),
    }
    books.activate(projection);
    settle(books, change);
    Ok(())
}

/// What becomes of a projection by the events that it lacks and by those that follow on the log.
fn change(
    model: &Inline,
    version: Option<&Version>,
    log: &Log,
    new: &[RecordedEvent],
) -> Result<Change, AppendError> {
    let partition = version.and_then(|version| version.partitions.first());
    let before = partition.map_or_else(Checkpoint::default, |partition| partition.checkpoint);
    let missing = log.since(before.position).ok_or_else(|| {
        let why = format!(
            "it stands at {}, beyond the end of the log",
            before.position
        );
        refused(
            model,
            StoreErrorKind::Other,
            format!("{why}; reset it first"),
        )
    })?;
    if missing.len() > MAX_MISSING {
        let why = format!(
            "it lacks {} events, {MAX_MISSING} are allowed; give it back and let a runner catch up first",
            missing.len()
        );
        return Err(refused(model, StoreErrorKind::Other, why).into());
    }
    let events = if missing.is_empty() {
        Cow::Borrowed(new)
    } else {
        Cow::Owned([missing, new].concat())
    };
    let documents = fold(model, version, &events)?;
    let last = events.iter().rfind(|event| model.filter().matches(event));
    let witness = last.map(|event| Witness {
        position: event.position(),
        id: event.id(),
    });
    Ok(Change {
        projection: model.id().clone(),
        documents,
        checkpoint: Checkpoint {
            position: events
                .last()
                .map_or(before.position, RecordedEvent::position),
            witness: witness.or(before.witness),
        },
    })
}

fn fold(
    model: &Inline,
    version: Option<&Version>,
    events: &[RecordedEvent],
) -> Result<BTreeMap<DocumentKey, Option<String>>, InlineError> {
    let keys = model.keys(events)?;
    let documents = keys.into_iter().map(|key| {
        let body = version.and_then(|version| version.documents.get(&key).cloned());
        (key, body)
    });
    let changes = model.fold(events, documents)?.into_iter();
    Ok(changes.map(|change| (change.key, change.body)).collect())
}

fn settle(books: &mut Books, change: Change) {
    if let Some(version) = books.version_mut(&change.projection) {
        merge(&mut version.documents, change.documents);
        if let Some(partition) = version.partitions.first_mut() {
            partition.checkpoint = change.checkpoint;
        }
    }
}

fn lost(model: &Inline) -> StoreError {
    let text = format!(
        "projection {} is not run inline any more: it was given back, reset or removed; nothing was appended",
        model.id()
    );
    StoreError::new("append", StoreErrorKind::Other, text)
}

fn refused(model: &Inline, kind: StoreErrorKind, why: impl fmt::Display) -> StoreError {
    let text = format!("projection {} cannot be run inline: {why}", model.id());
    StoreError::new("run a projection inline", kind, text)
}
