//! Making a projection an inline one, and an ordinary one again. Every function here runs inside a transaction that
//! may write.

use std::collections::BTreeSet;

use eventcore::{
    projection::{Claim, Claimed, Inline, Partitions, ProjectionId, Witness},
    store::{AppendError, StoreError, StoreErrorKind},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Pass, Refused, State, begin, refused};
use crate::{
    append::last_position,
    errors::store_error,
    projections::{
        division::{self, Version},
        leases::{self, PART, Part},
        letters,
        schema::PROJECTIONS,
        trouble::Trouble,
    },
};

const OPERATION: &str = "open the store";

/// Longer than any process lives.
const AGES: std::time::Duration = std::time::Duration::from_hours(24 * 365 * 100);

/// Makes the models' projections inline ones, with all events that they lack; all of them or none.
pub(crate) fn open(connection: &Connection, models: &[Inline]) -> Result<(), StoreError> {
    PROJECTIONS.make(connection)?;
    let mut names = BTreeSet::new();
    for model in models {
        let id = model.id();
        if !names.insert(&id.name) {
            let why = "this store runs a model of that name already";
            return Err(refused(id, StoreErrorKind::Other, why));
        }
        if let Some(version) = division::find(connection, id).map_err(told)? {
            check(connection, id, &version)?;
        }
        claim(connection, id)?;
    }
    let end = last_position(connection).map_err(|error| store_error(OPERATION, error))?;
    let mut pass = Pass::new(models);
    pass.states = Some(begin(models, connection, end).map_err(not_taken)?);
    for (model, state) in models.iter().zip(pass.states.iter().flatten()) {
        activate(connection, model.id(), state).map_err(|e| store_error(OPERATION, e))?;
    }
    pass.finish(connection).map_err(told)
}

/// Whether what a runner has made of it can be gone on with.
fn check(
    connection: &Connection,
    projection: &ProjectionId,
    version: &Version,
) -> Result<(), StoreError> {
    let refused = |why: String| Err(refused(projection, StoreErrorKind::Other, &why));
    if version.partitions != Partitions::ONE {
        let partitions = version.partitions.get();
        return refused(format!(
            "it has {partitions} partitions; run it with 1 first"
        ));
    }
    let waiting = letters::waiting(connection, version.number, 0).map_err(told)?;
    if !waiting.is_empty() {
        let waiting = waiting.len();
        return refused(format!(
            "{waiting} dead letters wait; replay them with a runner first"
        ));
    }
    let sql = format!(
        "SELECT {PART} FROM eventcore_projection_partitions WHERE projection = ?1 AND partition = 0"
    );
    let part = connection.query_row(&sql, [version.number], |row| Ok(Part::read(row, 0)));
    let part = part.map_err(|error| store_error(OPERATION, error))?;
    let checkpoint = part.map_err(told)?.checkpoint;
    let divisions = version.divisions.clone();
    if !divisions.and(vec![checkpoint.position]).0.is_empty() {
        return refused(
            "it has not caught up since it was divided; run it with 1 partition first".into(),
        );
    }
    if let Some(Witness { position, id }) = checkpoint.witness {
        let there: Option<[u8; 16]> = connection
            .query_row(
                "SELECT id FROM eventcore_events WHERE position = ?1",
                [position.to_i64()],
                |row| row.get(0),
            )
            .optional()
            .map_err(|error| store_error(OPERATION, error))?;
        if there.as_ref() != Some(id.as_uuid().as_bytes()) {
            return refused(format!(
                "it was built from another log, which had event {id} at {position}; reset it first"
            ));
        }
    }
    Ok(())
}

fn claim(connection: &Connection, projection: &ProjectionId) -> Result<(), StoreError> {
    let claim = Claim {
        projection: projection.clone(),
        partition: 0,
        partitions: Partitions::ONE,
        owner: Inline::owner(),
        ttl: AGES,
    };
    let why = match leases::claim(connection, &claim).map_err(told)? {
        Claimed::Granted(_) => return Ok(()),
        Claimed::Held { owner, expires_in } => {
            format!("{owner} leads it, for {expires_in:?} yet; stop that runner first")
        }
        other => format!("{other:?}"),
    };
    Err(refused(projection, StoreErrorKind::Busy, &why))
}

/// Readers see this version from now on; it has caught up.
fn activate(
    connection: &Connection,
    projection: &ProjectionId,
    state: &State,
) -> Result<(), rusqlite::Error> {
    connection.execute(
        "UPDATE eventcore_projections SET active = 0 WHERE name = ?1 AND projection <> ?2 AND active = 1",
        params![projection.name.as_str(), state.number],
    )?;
    connection.execute(
        "UPDATE eventcore_projections SET active = 1 WHERE projection = ?1",
        [state.number],
    )?;
    Ok(())
}

/// Lets runners lead again.
pub(crate) fn give_back(connection: &Connection, projection: &ProjectionId) -> Result<(), Trouble> {
    let mut update = connection.prepare_cached(
        "UPDATE eventcore_projection_partitions SET owner = NULL, owner_label = NULL, expires_at = 0
         WHERE owner = ?3 AND projection =
             (SELECT projection FROM eventcore_projections WHERE name = ?1 AND version = ?2)",
    )?;
    let owner = Inline::owner().id;
    update.execute(params![
        projection.name.as_str(),
        projection.version,
        owner.as_bytes()
    ])?;
    Ok(())
}

fn told(trouble: Trouble) -> StoreError {
    trouble.store_error(OPERATION)
}

fn not_taken(refused: Refused) -> StoreError {
    match refused {
        Refused::Append(AppendError::Store(error)) => error,
        Refused::Append(error) => {
            let text = "an inline projection cannot take events that it lacks";
            StoreError::new(OPERATION, StoreErrorKind::Other, text).with_source(error)
        }
        Refused::Transaction(trouble) => told(trouble),
    }
}
