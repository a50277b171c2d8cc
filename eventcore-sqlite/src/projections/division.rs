//! Versions of projections, and into how many partitions each is divided. Every function here runs inside a transaction
//! that may write.

use eventcore::{
    GlobalPosition,
    projection::{Checkpoint, Claimed, Divisions, Partitions, ProjectionId},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    leases::{PART, Part},
    trouble::Trouble,
};

/// A version of a projection as it stands.
pub(super) struct Version {
    pub(super) number: i64,
    pub(super) partitions: Partitions,
    pub(super) divisions: Divisions,
}

/// A version, if it was ever claimed.
pub(super) fn find(
    connection: &Connection,
    projection: &ProjectionId,
) -> Result<Option<Version>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT projection, partitions, divisions FROM eventcore_projections
         WHERE name = ?1 AND version = ?2",
    )?;
    let found = select
        .query_row(
            params![projection.name.as_str(), projection.version],
            |row| Ok((row.get(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?)),
        )
        .optional()?;
    found
        .map(|(number, parts, divisions)| {
            Ok(Version {
                number,
                partitions: partitions(parts)?,
                divisions: serde_json::from_str(&divisions)
                    .map_err(|e| Trouble::damaged("the divisions of a projection", e))?,
            })
        })
        .transpose()
}

/// A number of partitions as it was written.
pub(super) fn partitions(number: u32) -> Result<Partitions, Trouble> {
    Partitions::try_new(number).map_err(|e| Trouble::damaged("a number of partitions", e))
}

/// The first version of a name is the one that readers see.
pub(super) fn create(
    connection: &Connection,
    projection: &ProjectionId,
    partitions: Partitions,
) -> Result<Version, Trouble> {
    let number = connection.query_row(
        "INSERT INTO eventcore_projections (name, version, active, partitions, epoch)
         SELECT ?1, ?2, NOT EXISTS (SELECT 1 FROM eventcore_projections WHERE name = ?1), ?3, removed_epoch
         FROM eventcore_projection_schema RETURNING projection",
        params![projection.name.as_str(), projection.version, partitions.get()],
        |row| row.get(0),
    )?;
    insert_parts(connection, number, partitions, Checkpoint::default())?;
    Ok(Version {
        number,
        partitions,
        divisions: Divisions::none(),
    })
}

fn insert_parts(
    connection: &Connection,
    number: i64,
    partitions: Partitions,
    start: Checkpoint,
) -> Result<(), Trouble> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO eventcore_projection_partitions
             (projection, partition, position, witness_position, witness_id)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for partition in 0..partitions.get() {
        insert.execute(params![
            number,
            partition,
            start.position.to_i64(),
            start.witness.map(|witness| witness.position.to_i64()),
            start
                .witness
                .map(|witness| *witness.id.as_uuid().as_bytes()),
        ])?;
    }
    Ok(())
}

/// Divides a version anew, or says why it cannot be.
pub(super) fn divide(
    connection: &Connection,
    version: &mut Version,
    wanted: Partitions,
) -> Result<Option<Claimed>, Trouble> {
    let partitions = version.partitions;
    let mut select = connection.prepare_cached(&format!(
        "SELECT {PART} FROM eventcore_projection_partitions WHERE projection = ?1 ORDER BY partition"
    ))?;
    let mut rows = select.query([version.number])?;
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    while let Some(row) = rows.next()? {
        let part = Part::read(row, 0)?;
        if part.leader().is_some() {
            return Ok(Some(Claimed::Divided { partitions }));
        }
        checkpoints.push(part.checkpoint);
    }
    let waiting: i64 = connection.query_row(
        "SELECT count(*) FROM eventcore_dead_letters WHERE projection = ?1 AND fate <> 'skipped'",
        [version.number],
        |row| row.get(0),
    )?;
    if waiting > 0 {
        return Ok(Some(Claimed::LettersWait {
            partitions,
            waiting: waiting.unsigned_abs(),
        }));
    }
    let positions: Vec<GlobalPosition> = checkpoints.iter().map(|c| c.position).collect();
    let (divisions, position) = std::mem::take(&mut version.divisions).and(positions);
    let there = checkpoints.into_iter().find(|c| c.position == position);
    let start = Checkpoint {
        position,
        witness: there.and_then(|checkpoint| checkpoint.witness),
    };
    let text = serde_json::to_string(&divisions)
        .map_err(|e| Trouble::damaged("the divisions of a projection", e))?;
    connection.execute(
        "UPDATE eventcore_projections SET partitions = ?2, divisions = ?3 WHERE projection = ?1",
        params![version.number, wanted.get(), text],
    )?;
    connection.execute(
        "DELETE FROM eventcore_projection_partitions WHERE projection = ?1",
        [version.number],
    )?;
    // Their epoch is 0, which nobody was ever granted.
    insert_parts(connection, version.number, wanted, start)?;
    (version.partitions, version.divisions) = (wanted, divisions);
    Ok(None)
}

/// An epoch that was never granted.
pub(super) fn next_epoch(connection: &Connection, number: i64) -> Result<i64, Trouble> {
    Ok(connection.query_row(
        "UPDATE eventcore_projections SET epoch = epoch + 1 WHERE projection = ?1 RETURNING epoch",
        [number],
        |row| row.get(0),
    )?)
}
