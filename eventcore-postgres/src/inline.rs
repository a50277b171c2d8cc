//! Read models that are changed in the transaction of each append.
//!
//! A group of appends is one transaction of five round trips: begin; the function that appends, which takes the order
//! lock; one statement that locks where the models stand and reads their documents; one that writes both; commit. The
//! models work in between, in memory. Other writers wait for the order lock from the second to the last of them, so the
//! server ends a transaction in which we stand still.
//!
//! That the append comes first makes the rest simple: whoever holds the order lock is the only one who changes the
//! documents of a projection that is run inline, and making it one takes the same lock.

mod opening;
mod pass;
mod statements;

use std::time::Duration;

use eventcore::{
    GlobalPosition, RecordedEvent,
    projection::{Inline, ProjectionId},
    store::{AppendBatch, AppendError, RecordedFields, StoreError, StoreErrorKind},
};
use sqlx::PgConnection;

pub(crate) use self::statements::give_back;
use self::{pass::Pass, statements::Statements};
use crate::{
    append_call::{AppendCall, Judged},
    errors::{append_error, store_error},
    held::Held,
    mode::Mode,
    options::{SchemaName, server_millis},
    sessions::is_broken,
    store::LEAST_IDLE,
};

/// The most events that are applied before those of an append: what they cost, every other writer waits for.
const MAX_MISSING: u64 = 1000;

/// The longest that a transaction may stand still between two statements.
const MAX_IDLE: Duration = Duration::from_secs(10);

/// The read models of a store.
#[derive(Debug)]
pub(crate) struct Inlines {
    models: Vec<Inline>,
    settings: String,
    lock: String,
    statements: Statements,
    mode: Mode,
}

/// Why there is no verdict.
enum Failure {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn is_broken(&self) -> bool {
        matches!(self, Self::Sql(error) if is_broken(error))
    }

    fn during(self, operation: &'static str) -> StoreError {
        match self {
            Self::Sql(error) => store_error(operation, error),
            Self::Store(error) => error,
        }
    }
}

/// How a transaction is to end.
enum End {
    /// With the verdicts on all.
    Commit(Vec<Judged>),
    /// Without some of them, by number; the others are to be tried again.
    RollBack(Vec<(usize, AppendError)>),
}

impl Inlines {
    pub(crate) fn new(
        models: Vec<Inline>,
        schema: &SchemaName,
        mode: Mode,
        statement_timeout: Duration,
    ) -> Self {
        let limit = server_millis(statement_timeout);
        // Zero is no limit to the server.
        let idle = match limit {
            0 => MAX_IDLE.as_millis(),
            limit => MAX_IDLE
                .as_millis()
                .min(limit.max(LEAST_IDLE).unsigned_abs().into()),
        };
        // The limits do not depend on the pool; nor do plans, which outlive small tables.
        let settings = format!(
            "; SET LOCAL statement_timeout = {limit}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL enable_seqscan = off; \
             SET LOCAL plan_cache_mode = force_generic_plan"
        );
        let lock = schema.fill("SELECT {schema}.lock_order()");
        Self {
            models,
            settings,
            lock,
            statements: Statements::new(schema, mode),
            mode,
        }
    }

    /// Appends a group with all that it does to the documents: when the verdicts are here, it is committed. To be
    /// called in a task.
    pub(crate) async fn append(
        &self,
        held: &mut Held,
        call: &AppendCall,
        batches: &[&AppendBatch],
    ) -> Result<Vec<Judged>, AppendError> {
        let mut verdicts: Vec<Option<Judged>> = batches.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..batches.len()).collect();
        while !left.is_empty() {
            let these: Vec<&AppendBatch> = left.iter().map(|number| batches[*number]).collect();
            let session = held
                .get()
                .await
                .map_err(|error| store_error("append", error))?;
            let (end, broken) = self.transact(session.mode(), session, call, &these).await;
            held.done(broken);
            match end? {
                End::Commit(judged) => {
                    for (number, judged) in left.drain(..).zip(judged) {
                        verdicts[number] = Some(judged);
                    }
                }
                End::RollBack(refused) => {
                    let mut gone = vec![false; left.len()];
                    for (place, error) in refused {
                        gone[place] = true;
                        verdicts[left[place]] = Some(Judged::Refused(error));
                    }
                    let mut gone = gone.into_iter();
                    left.retain(|_| gone.next() != Some(true));
                }
            }
        }
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// One transaction; and whether the connection is of no use any more.
    async fn transact(
        &self,
        mode: Mode,
        connection: &mut PgConnection,
        call: &AppendCall,
        batches: &[&AppendBatch],
    ) -> (Result<End, AppendError>, bool) {
        let mut transaction = match mode.begin(connection, &self.settings).await {
            Ok(transaction) => transaction,
            // Nothing was appended yet, so the outcome is known.
            Err(error) => return (Err(store_error("append", error).into()), true),
        };
        match self.work(&mut transaction, call, batches).await {
            Ok(End::Commit(judged)) => match self.mode.patiently(transaction.commit()).await {
                Ok(()) => (Ok(End::Commit(judged)), false),
                // Only here it may be that nobody knows.
                Err(error) => (Err(append_error(error)), true),
            },
            Ok(end) => {
                let rolled_back = self.mode.patiently(transaction.rollback()).await;
                (Ok(end), rolled_back.is_err())
            }
            Err(failure) => {
                // At once, since it holds the order lock.
                let broken = failure.is_broken()
                    || self.mode.patiently(transaction.rollback()).await.is_err();
                (Err(failure.during("append").into()), broken)
            }
        }
    }

    async fn work(
        &self,
        connection: &mut PgConnection,
        call: &AppendCall,
        batches: &[&AppendBatch],
    ) -> Result<End, Failure> {
        let judged = call.run_within(connection, self.mode, batches).await?;
        let mut appended = Vec::with_capacity(batches.len());
        for (number, (batch, judged)) in batches.iter().zip(&judged).enumerate() {
            let events = recorded(batch, judged);
            // What only records a key concerns nobody.
            if !events.is_empty() {
                appended.push((number, events));
            }
        }
        let Some(first) = appended.first().and_then(|(_, events)| events.first()) else {
            return Ok(End::Commit(judged));
        };
        let base = GlobalPosition::START.advanced(first.position().get() - 1);

        let mut pass = Pass::new(&self.models);
        let mut refused = Vec::new();
        let mut asked = Vec::with_capacity(appended.len());
        for (number, events) in appended {
            match pass.ask(&events) {
                Ok(keys) => asked.push((number, events, keys)),
                Err(error) => refused.push((number, error.into())),
            }
        }
        self.statements.load(connection, &mut pass).await?;
        if let Err(error) = pass.check(base) {
            refused.extend(
                asked
                    .iter()
                    .map(|(number, ..)| (*number, error.clone().into())),
            );
            return Ok(End::RollBack(refused));
        }
        if let Err(error) = self.catch_up(connection, &mut pass, base).await? {
            return match asked.as_slice() {
                [(number, ..)] => {
                    refused.push((*number, error));
                    Ok(End::RollBack(refused))
                }
                // Each is told by itself.
                _ => Err(not_taken(error).into()),
            };
        }
        for (number, events, keys) in asked {
            if let Err(error) = pass.take(&events, keys) {
                refused.push((number, error.into()));
            }
        }
        if !refused.is_empty() {
            return Ok(End::RollBack(refused));
        }
        self.statements.write(connection, &pass).await?;
        Ok(End::Commit(judged))
    }

    /// Applies what others have appended, up to this position.
    async fn catch_up(
        &self,
        connection: &mut PgConnection,
        pass: &mut Pass<'_>,
        base: GlobalPosition,
    ) -> Result<Result<(), AppendError>, Failure> {
        while let Some(model) = pass.behind(base) {
            let after = pass.position(model);
            let events = self.statements.events(connection, after, base).await?;
            let keys = match pass.ask_one(model, &events) {
                Ok(keys) => keys,
                Err(error) => return Ok(Err(error.into())),
            };
            self.statements.load(connection, pass).await?;
            if let Err(error) = pass.take_one(model, &events, keys) {
                return Ok(Err(error.into()));
            }
        }
        Ok(Ok(()))
    }
}

/// The events of a batch as they stand in the log; none if it was refused.
fn recorded(batch: &AppendBatch, judged: &Judged) -> Vec<RecordedEvent> {
    let Judged::Appended(receipt) = judged else {
        return Vec::new();
    };
    let places = batch.events().iter().zip(&receipt.events);
    let record = places.map(|(event, place)| {
        RecordedEvent::from(RecordedFields {
            id: place.id,
            stream: place.stream.clone(),
            version: place.version,
            position: place.position,
            event: event.event.clone(),
            correlation_id: batch.correlation_id(),
            causation_id: batch.causation_id(),
            metadata: batch.metadata().cloned(),
            recorded_at: batch.recorded_at(),
        })
    });
    record.collect()
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

fn not_taken(error: AppendError) -> StoreError {
    match error {
        AppendError::Store(error) => error,
        other => {
            let text = "an inline projection cannot take events that it lacks";
            StoreError::new("run a projection inline", StoreErrorKind::Other, text)
                .with_source(other)
        }
    }
}
