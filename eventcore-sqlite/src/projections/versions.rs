//! Versions of projections as a whole: where they stand, back to the start, and gone.

use eventcore::projection::{ProjectionId, ProjectionName, ProjectionStoreError, Standing};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    division::{next_epoch, partitions},
    leases::{PART, Part},
    trouble::Trouble,
};

/// The number of a version, if it was ever claimed.
pub(crate) fn number(
    connection: &Connection,
    projection: &ProjectionId,
) -> Result<Option<i64>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT projection FROM eventcore_projections WHERE name = ?1 AND version = ?2",
    )?;
    let of = params![projection.name.as_str(), projection.version];
    Ok(select.query_row(of, |row| row.get(0)).optional()?)
}

/// All names, in order.
pub(crate) fn names(connection: &Connection) -> Result<Vec<ProjectionName>, Trouble> {
    let mut select = connection
        .prepare_cached("SELECT DISTINCT name FROM eventcore_projections ORDER BY name")?;
    let names = select.query_map([], |row| row.get::<_, String>(0))?;
    names
        .map(|name| {
            ProjectionName::try_new(name?).map_err(|e| Trouble::damaged("a projection's name", e))
        })
        .collect()
}

/// Where all versions and partitions of a name stand.
pub(crate) fn standings(
    connection: &Connection,
    name: &ProjectionName,
) -> Result<Vec<Standing>, Trouble> {
    // A letter that was skipped when the projection was divided otherwise counts for the partition 0.
    let mut select = connection.prepare_cached(&format!(
        "WITH letters AS (
             SELECT projection, iif(partition < partitions, partition, 0) AS partition,
                 count(*) FILTER (WHERE fate <> 'skipped') AS waiting,
                 count(*) FILTER (WHERE fate = 'skipped') AS skipped
             FROM eventcore_projections JOIN eventcore_dead_letters USING (projection)
             WHERE name = ?1 GROUP BY 1, 2
         )
         SELECT version, partition, partitions, active, coalesce(waiting, 0), coalesce(skipped, 0), {}
         FROM eventcore_projections JOIN eventcore_projection_partitions AS part USING (projection)
             LEFT JOIN letters USING (projection, partition)
         WHERE name = ?1 ORDER BY version, partition",
        PART.replace("epoch", "part.epoch")
    ))?;
    let mut rows = select.query([name.as_str()])?;
    let mut standings = Vec::new();
    while let Some(row) = rows.next()? {
        let part = Part::read(row, 6)?;
        standings.push(Standing {
            projection: ProjectionId {
                name: name.clone(),
                version: row.get(0)?,
            },
            partition: row.get(1)?,
            partitions: partitions(row.get(2)?)?,
            active: row.get(3)?,
            leader: part.leader(),
            checkpoint: part.checkpoint,
            epoch: part.epoch,
            waiting: row.get::<_, i64>(4)?.unsigned_abs(),
            skipped: row.get::<_, i64>(5)?.unsigned_abs(),
        });
    }
    Ok(standings)
}

/// Puts a version back to the start of the log.
pub(crate) fn reset(connection: &Connection, projection: &ProjectionId) -> Result<(), Trouble> {
    let Some(number) = number(connection, projection)? else {
        return Ok(());
    };
    forget(connection, number)?;
    connection.execute(
        "UPDATE eventcore_projections SET divisions = '[]' WHERE projection = ?1",
        [number],
    )?;
    // An epoch that nobody holds fences off everybody.
    let epoch = next_epoch(connection, number)?;
    connection.execute(
        "UPDATE eventcore_projection_partitions
         SET position = 0, witness_position = NULL, witness_id = NULL, epoch = ?2, owner = NULL,
             owner_label = NULL, expires_at = 0
         WHERE projection = ?1",
        [number, epoch],
    )?;
    Ok(())
}

/// Forgets a version.
pub(crate) fn remove(connection: &Connection, projection: &ProjectionId) -> Result<(), Trouble> {
    let Some(number) = number(connection, projection)? else {
        return Ok(());
    };
    let needed: bool = connection.query_row(
        "SELECT active AND EXISTS (SELECT 1 FROM eventcore_projections WHERE name = ?2 AND projection <> ?1)
         FROM eventcore_projections WHERE projection = ?1",
        params![number, projection.name.as_str()],
        |row| row.get(0),
    )?;
    if needed {
        let projection = projection.clone();
        return Err(ProjectionStoreError::Active { projection }.into());
    }
    forget(connection, number)?;
    // Should it be claimed again, its epochs go on from here, and an old leader stays fenced off.
    connection.execute(
        "UPDATE eventcore_projection_schema SET removed_epoch = max(removed_epoch,
             (SELECT epoch FROM eventcore_projections WHERE projection = ?1))",
        [number],
    )?;
    for table in ["eventcore_projection_partitions", "eventcore_projections"] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE projection = ?1"),
            [number],
        )?;
    }
    Ok(())
}

/// Removes the documents and letters of a version.
fn forget(connection: &Connection, number: i64) -> Result<(), Trouble> {
    for table in ["eventcore_documents", "eventcore_dead_letters"] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE projection = ?1"),
            [number],
        )?;
    }
    Ok(())
}
