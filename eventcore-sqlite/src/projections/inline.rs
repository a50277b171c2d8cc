//! Read models that the writer of the events changes in the transaction of each append.
//!
//! A group of appends is one transaction and one [`Pass`]: where each model stands is read once, a document is read
//! and written once, and the events of each append are folded in memory before any of its rows is written. So an append
//! whose events a model cannot take is refused alone, and the others of its group go on.

mod opening;

use std::collections::HashMap;

use eventcore::{
    EventFilter, GlobalPosition, RecordedEvent,
    projection::{
        Checkpoint, DocumentChange, DocumentKey, Inline, InlineError, ProjectionId, Witness,
    },
    store::{AppendError, ReadError, StoreError, StoreErrorKind},
};
use rusqlite::{Connection, OptionalExtension, params};

pub(crate) use self::opening::{give_back, open};
use super::{
    documents,
    leases::{PART, Part},
    trouble::Trouble,
};
use crate::{row::Rows, select};

/// The most events that are applied before those of an append: what they cost, every other writer waits for.
const MAX_MISSING: u64 = 1000;

/// The read models in one transaction.
pub(crate) struct Pass<'m> {
    models: &'m [Inline],
    /// Where they stand, once somebody asked.
    states: Option<Vec<State>>,
}

/// One of them.
struct State {
    /// Stands for the version in the tables.
    number: i64,
    checkpoint: Checkpoint,
    documents: HashMap<DocumentKey, Document>,
}

/// A document as it is in this transaction.
struct Document {
    body: Option<String>,
    changed: bool,
}

/// Why a model does not take events.
pub(crate) enum Refused {
    /// It concerns one append.
    Append(AppendError),
    /// The transaction is of no use any more.
    Transaction(Trouble),
}

impl From<InlineError> for Refused {
    fn from(error: InlineError) -> Self {
        Self::Append(error.into())
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Append(error.into())
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Transaction(trouble)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Transaction(error.into())
    }
}

impl<'m> Pass<'m> {
    pub(crate) fn new(models: &'m [Inline]) -> Self {
        Self {
            models,
            states: None,
        }
    }

    /// Lets all models take the events of an append, which will follow on the end of the log. Refused, nothing is
    /// changed.
    pub(crate) fn take(
        &mut self,
        connection: &Connection,
        end: GlobalPosition,
        events: impl FnOnce() -> Vec<RecordedEvent>,
    ) -> Result<(), Refused> {
        if self.models.is_empty() {
            return Ok(());
        }
        let events = events();
        // What only records a key concerns nobody.
        if events.is_empty() {
            return Ok(());
        }
        let states = match self.states.take() {
            Some(states) => states,
            None => begin(self.models, connection, end)?,
        };
        let states = self.states.insert(states);
        let mut changes = Vec::with_capacity(states.len());
        for (model, state) in self.models.iter().zip(&mut *states) {
            changes.push(state.fold(model, connection, &events)?);
        }
        for ((model, state), changes) in self.models.iter().zip(states).zip(changes) {
            state.settle(model, changes, &events);
        }
        Ok(())
    }

    /// Writes what has changed; the commit follows.
    pub(crate) fn finish(self, connection: &Connection) -> Result<(), Trouble> {
        for state in self.states.into_iter().flatten() {
            state.write(connection)?;
        }
        Ok(())
    }
}

/// Where the models stand, with the events that they lack.
fn begin(
    models: &[Inline],
    connection: &Connection,
    end: GlobalPosition,
) -> Result<Vec<State>, Refused> {
    let begin = |model| {
        let mut state = State::find(connection, model)?.ok_or_else(|| lost(model.id()))?;
        state.catch_up(model, connection, end)?;
        Ok(state)
    };
    models.iter().map(begin).collect()
}

impl State {
    /// Where a model stands, if it is run inline.
    fn find(connection: &Connection, model: &Inline) -> Result<Option<Self>, Trouble> {
        let ProjectionId { name, version } = model.id();
        let sql = format!(
            "SELECT projection, {} FROM eventcore_projections
                 JOIN eventcore_projection_partitions AS part USING (projection)
             WHERE name = ?1 AND version = ?2 AND partitions = 1 AND partition = 0",
            PART.replace("epoch", "part.epoch")
        );
        let found = connection
            .prepare_cached(&sql)?
            .query_row(params![name.as_str(), version], |row| {
                Ok((row.get(0)?, Part::read(row, 1)))
            })
            .optional()?;
        let Some((number, part)) = found else {
            return Ok(None);
        };
        let part = part?;
        let owner = part.leader().map(|(owner, _)| owner.id);
        Ok((owner == Some(Inline::owner().id)).then(|| Self {
            number,
            checkpoint: part.checkpoint,
            documents: HashMap::new(),
        }))
    }

    /// Applies what others have appended.
    fn catch_up(
        &mut self,
        model: &Inline,
        connection: &Connection,
        end: GlobalPosition,
    ) -> Result<(), Refused> {
        let mut after = self.checkpoint.position;
        let Some(missing) = end.get().checked_sub(after.get()) else {
            let why = format!("it stands at {after}, beyond the end of the log; reset it first");
            return Err(refused(model.id(), StoreErrorKind::Other, &why).into());
        };
        if missing > MAX_MISSING {
            let why = format!(
                "it lacks {missing} events, {MAX_MISSING} are allowed; give it back and let a runner catch up first"
            );
            return Err(refused(model.id(), StoreErrorKind::Other, &why).into());
        }
        let (mut rows, all) = (Rows::default(), EventFilter::all());
        while after < end {
            let page = select::page(connection, &mut rows, after, &all, 1000);
            let page = page.map_err(|error| unread(model.id(), error))?;
            let changes = self.fold(model, connection, &page.events)?;
            self.settle(model, changes, &page.events);
            after = page.next;
        }
        Ok(())
    }

    /// What events do to the documents.
    fn fold(
        &mut self,
        model: &Inline,
        connection: &Connection,
        events: &[RecordedEvent],
    ) -> Result<Vec<DocumentChange>, Refused> {
        let keys = model.keys(events)?;
        let unread = |key: &&DocumentKey| !self.documents.contains_key(*key);
        let unread: Vec<DocumentKey> = keys.iter().filter(unread).cloned().collect();
        let bodies = documents::load(connection, self.number, &unread)?;
        for (key, body) in unread.into_iter().zip(bodies) {
            let changed = false;
            self.documents.insert(key, Document { body, changed });
        }
        let body = |key: &DocumentKey| self.documents.get(key).and_then(|it| it.body.clone());
        let before = keys.into_iter().map(|key| {
            let body = body(&key);
            (key, body)
        });
        Ok(model.fold(events, before)?)
    }

    fn settle(&mut self, model: &Inline, changes: Vec<DocumentChange>, events: &[RecordedEvent]) {
        for DocumentChange { key, body } in changes {
            // It was read before it was folded.
            if let Some(document) = self.documents.get_mut(&key)
                && document.body != body
            {
                *document = Document {
                    body,
                    changed: true,
                };
            }
        }
        if let Some(last) = events.last() {
            self.checkpoint.position = last.position();
        }
        if let Some(event) = events.iter().rfind(|event| model.filter().matches(event)) {
            self.checkpoint.witness = Some(Witness {
                position: event.position(),
                id: event.id(),
            });
        }
    }

    fn write(self, connection: &Connection) -> Result<(), Trouble> {
        let documents = self.documents.into_iter().filter(|(_, it)| it.changed);
        let changes: Vec<DocumentChange> = documents
            .map(|(key, Document { body, .. })| DocumentChange { key, body })
            .collect();
        documents::put(connection, self.number, &changes)?;
        let witness = self.checkpoint.witness;
        let mut update = connection.prepare_cached(
            "UPDATE eventcore_projection_partitions
             SET position = ?2, witness_position = ?3, witness_id = ?4
             WHERE projection = ?1 AND partition = 0",
        )?;
        update.execute(params![
            self.number,
            self.checkpoint.position.to_i64(),
            witness.map(|witness| witness.position.to_i64()),
            witness.map(|witness| *witness.id.as_uuid().as_bytes()),
        ])?;
        Ok(())
    }
}

fn lost(projection: &ProjectionId) -> StoreError {
    let text = format!(
        "projection {projection} is not run inline any more: it was given back, reset or removed; nothing was \
         appended"
    );
    StoreError::new("append", StoreErrorKind::Other, text)
}

fn refused(projection: &ProjectionId, kind: StoreErrorKind, why: &str) -> StoreError {
    let text = format!("projection {projection} cannot be run inline: {why}");
    StoreError::new("run a projection inline", kind, text)
}

/// Events that it lacks cannot be read.
fn unread(projection: &ProjectionId, error: ReadError) -> StoreError {
    match error {
        ReadError::Store(error) => error,
        damaged => refused(
            projection,
            StoreErrorKind::Corrupt,
            "events that it lacks cannot be read",
        )
        .with_source(damaged),
    }
}
