//! One transaction of a projection.

use std::{collections::BTreeMap, mem, sync::Arc};

use async_trait::async_trait;
use eventcore::{
    GlobalPosition,
    projection::{
        DeadLetter, DocumentChange, DocumentKey, Lease, Progress, ProjectionStoreError, UnitOfWork,
    },
};
use sqlx::{PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    calls::{Calls, Statement, micros, of_lease},
    documents::in_order,
    leases::label,
    letters::{LetterChanges, LetterColumns, letter},
    transaction::UnitTransaction,
};
use crate::{errors::store_error, store::in_a_task};

const COMMIT: &str = "commit a unit of work";
const USE: &str = "use a unit of work";

/// One transaction of a projection in PostgreSQL.
///
/// Documents and letters are kept aside until the commit writes them, with the checkpoint and under the fence, by one
/// statement. So a unit holds no connection and no lock while the projection works, and costs one round trip, and one
/// more for documents that it loads.
///
/// A projection that has tables of its own writes to them through [`PostgresUnit::connection`]. From then on the unit
/// holds one connection, in one transaction at READ COMMITTED, to its end.
#[derive(Debug)]
pub struct PostgresUnit {
    calls: Arc<Calls>,
    lease: Lease,
    documents: BTreeMap<DocumentKey, Option<String>>,
    letters: LetterChanges,
    session: Option<UnitTransaction>,
}

impl PostgresUnit {
    pub(super) fn new(calls: Arc<Calls>, lease: Lease) -> Self {
        Self {
            calls,
            lease,
            documents: BTreeMap::new(),
            letters: LetterChanges::new(),
            session: None,
        }
    }

    /// The connection, inside of the transaction, for SQL of the projection's own. The first call begins the
    /// transaction; what it writes is committed with the checkpoint, or not at all.
    ///
    /// The transaction is ended by the unit alone. A `COMMIT` or `ROLLBACK` that goes this way makes the commit of the unit
    /// fail; begin a transaction on the connection, as sqlx does it, for a part that may be taken back. Documents that were
    /// [put](UnitOfWork::put) in this unit are not in the store's table yet. A unit that stands still for longer than its
    /// lease, and 15 seconds, is rolled back by the server, so that a leader that was paused does not keep its locks.
    ///
    /// ```no_run
    /// use eventcore::projection::ProjectionStoreError;
    /// use eventcore_postgres::{PostgresUnit, sqlx};
    ///
    /// async fn count(unit: &mut PostgresUnit) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     sqlx::query("UPDATE orders_by_day SET orders = orders + 1 WHERE day = current_date")
    ///         .execute(unit.connection().await?)
    ///         .await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProjectionStoreError::Store`]: no connection.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point. After dropping the future of a statement the unit may only be dropped too.
    pub async fn connection(&mut self) -> Result<&mut PgConnection, ProjectionStoreError> {
        let session = if let Some(session) = self.session.take() {
            session
        } else {
            let (calls, ttl) = (Arc::clone(&self.calls), self.lease.ttl);
            // Whoever is not there any more to take the transaction drops it, which rolls it back.
            in_a_task(USE, UnitTransaction::begin(calls, USE, ttl)).await?
        };
        let connection = self.session.insert(session).connection();
        connection.map_err(|error| store_error(USE, error).into())
    }

    /// A statement that reads: in the transaction, if there is one.
    async fn ask(
        &mut self,
        statement: Statement<'static>,
    ) -> Result<Vec<PgRow>, ProjectionStoreError> {
        if let Some(session) = &mut self.session {
            let rows = session.run(statement).await;
            return rows.map_err(|error| store_error(USE, error).into());
        }
        let calls = Arc::clone(&self.calls);
        in_a_task(USE, async move {
            let mut session = calls.take(USE).await?;
            let rows = calls.read(&mut session, statement).await;
            calls.done(USE, session, rows)
        })
        .await
    }

    /// The statement that commits everything, in the transaction of this name.
    fn commit_call(
        &self,
        unit: &str,
        documents: BTreeMap<DocumentKey, Option<String>>,
        letters: LetterColumns,
        Progress {
            checkpoint,
            activate,
        }: Progress,
    ) -> Statement<'_> {
        const SQL: &str = "SELECT {schema}.commit_unit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, $16, $17, $18, $19, $20, $21, $22)";
        let mut keys = Vec::with_capacity(documents.len());
        let mut bodies = Vec::with_capacity(documents.len());
        for (key, body) in documents {
            keys.push(key.as_str().to_owned());
            bodies.push(body);
        }
        let some = !keys.is_empty();
        let statement = of_lease(sqlx::query(self.calls.sql(SQL)), &self.lease)
            .bind(self.lease.owner.id)
            .bind(label(&self.lease.owner))
            .bind(micros(self.lease.ttl))
            .bind(checkpoint.position.to_i64())
            .bind(checkpoint.witness.map(|witness| witness.position.to_i64()))
            .bind(checkpoint.witness.map(|witness| Uuid::from(witness.id)))
            .bind(activate)
            .bind(unit.to_owned())
            .bind(some.then_some(keys))
            .bind(some.then_some(bodies));
        letters.bind(statement)
    }

    /// To be called in a task.
    async fn finish(mut self, progress: Progress) -> Result<(), ProjectionStoreError> {
        let session = self.session.take();
        let unit = session.as_ref().map_or("", UnitTransaction::name);
        let documents = mem::take(&mut self.documents);
        let letters = LetterColumns::new(&self.letters);
        let statement = self.commit_call(unit, documents, letters, progress);
        let Some(mut session) = session else {
            let mut session = self.calls.take(COMMIT).await?;
            let row = self.calls.write(&mut session, statement).await;
            let led = row.and_then(|row| row.try_get(0));
            return self.fenced_unless(self.calls.done(COMMIT, session, led)?);
        };
        let rows = session.run(statement).await;
        let led = rows.and_then(|rows| rows.first().map_or(Ok(false), |row| row.try_get(0)));
        self.fenced_unless(led.map_err(|error| store_error(COMMIT, error))?)?;
        session.commit(COMMIT).await
    }

    fn fenced_unless(&self, led: bool) -> Result<(), ProjectionStoreError> {
        if led {
            return Ok(());
        }
        Err(ProjectionStoreError::fenced(&self.lease))
    }
}

#[async_trait]
impl UnitOfWork for PostgresUnit {
    async fn load(
        &mut self,
        keys: &[DocumentKey],
    ) -> Result<Vec<Option<String>>, ProjectionStoreError> {
        let unchanged = |key: &&DocumentKey| !self.documents.contains_key(*key);
        let missing: Vec<DocumentKey> = keys.iter().filter(unchanged).cloned().collect();
        let mut found = Vec::new();
        if !missing.is_empty() {
            let statement = self.calls.documents_of(&self.lease, &missing);
            let rows = self.ask(statement).await?;
            found = in_order(missing.len(), &rows).map_err(|error| store_error(USE, error))?;
        }
        let mut found = found.into_iter();
        let body = |key| match self.documents.get(key) {
            Some(changed) => changed.clone(),
            None => found.next().flatten(),
        };
        Ok(keys.iter().map(body).collect())
    }

    async fn put(&mut self, changes: Vec<DocumentChange>) -> Result<(), ProjectionStoreError> {
        let changes = changes.into_iter().map(|change| (change.key, change.body));
        self.documents.extend(changes);
        Ok(())
    }

    async fn waiting(&mut self) -> Result<Vec<DeadLetter>, ProjectionStoreError> {
        let rows = self.ask(self.calls.waiting_of(&self.lease)).await?;
        let mut letters = BTreeMap::new();
        for row in &rows {
            let letter = letter(row).map_err(|error| store_error(USE, error))?;
            letters.insert((letter.position, letter.partition), letter);
        }
        for (place, change) in &self.letters {
            match change {
                Some(letter) => letters.insert(*place, letter.clone()),
                None => letters.remove(place),
            };
        }
        let mine = |letter: &DeadLetter| {
            letter.partition == self.lease.partition && letter.fate.is_waiting()
        };
        Ok(letters.into_values().filter(mine).collect())
    }

    async fn bury(&mut self, letters: Vec<DeadLetter>) -> Result<(), ProjectionStoreError> {
        let letters = letters
            .into_iter()
            .map(|letter| ((letter.position, letter.partition), Some(letter)));
        self.letters.extend(letters);
        Ok(())
    }

    async fn revive(&mut self, position: GlobalPosition) -> Result<(), ProjectionStoreError> {
        self.letters.insert((position, self.lease.partition), None);
        Ok(())
    }

    async fn commit(self, progress: Progress) -> Result<(), ProjectionStoreError> {
        in_a_task(COMMIT, self.finish(progress)).await
    }
}
