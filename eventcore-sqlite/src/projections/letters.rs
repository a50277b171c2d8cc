//! Events that could not be applied.

use eventcore::{
    EventId, GlobalPosition, StreamId, Timestamp,
    projection::{DeadLetter, Fate},
};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::trouble::Trouble;

const COLUMNS: &str = "position, partition, stream, event, fate, attempts, error, at";

/// Letters after a position, by position and partition.
pub(crate) fn after(
    connection: &Connection,
    projection: i64,
    position: GlobalPosition,
    limit: usize,
) -> Result<Vec<DeadLetter>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM eventcore_dead_letters WHERE projection = ?1 AND position > ?2
         AND position <= coalesce((
             SELECT DISTINCT position FROM eventcore_dead_letters WHERE projection = ?1 AND position > ?2
             ORDER BY position LIMIT 1 OFFSET ?3
         ) - 1, 9223372036854775807)
         ORDER BY position, partition"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![projection, position.to_i64(), limit])?;
    collect(&mut rows)
}

/// The letters of a partition that wait, by position.
pub(crate) fn waiting(
    connection: &Connection,
    projection: i64,
    partition: u32,
) -> Result<Vec<DeadLetter>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM eventcore_dead_letters
         WHERE projection = ?1 AND partition = ?2 AND fate <> 'skipped' ORDER BY position"
    ))?;
    let mut rows = select.query(params![projection, partition])?;
    collect(&mut rows)
}

/// Writes letters down, instead of those for the same position and partition.
pub(crate) fn bury(
    connection: &Connection,
    projection: i64,
    letters: &[DeadLetter],
) -> Result<(), Trouble> {
    let mut insert = connection.prepare_cached(&format!(
        "INSERT OR REPLACE INTO eventcore_dead_letters (projection, {COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?;
    for letter in letters {
        insert.execute(params![
            projection,
            letter.position.to_i64(),
            letter.partition,
            letter.stream.as_str(),
            letter.event.as_uuid().as_bytes(),
            letter.fate.as_str(),
            letter.attempts,
            letter.error,
            letter.at.unix_micros(),
        ])?;
    }
    Ok(())
}

/// Removes a letter.
pub(crate) fn revive(
    connection: &Connection,
    projection: i64,
    partition: u32,
    position: GlobalPosition,
) -> Result<(), Trouble> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM eventcore_dead_letters WHERE projection = ?1 AND position = ?2 AND partition = ?3",
    )?;
    delete.execute(params![projection, position.to_i64(), partition])?;
    Ok(())
}

/// Asks for all that are parked, and those behind them, to be tried again; how many they are.
pub(crate) fn replay(connection: &Connection, projection: i64) -> Result<u64, Trouble> {
    let marked = connection.execute(
        "UPDATE eventcore_dead_letters SET fate = 'replaying'
         WHERE projection = ?1 AND fate IN ('parked', 'behind')",
        [projection],
    )?;
    Ok(u64::try_from(marked).unwrap_or(u64::MAX))
}

fn collect(rows: &mut rusqlite::Rows<'_>) -> Result<Vec<DeadLetter>, Trouble> {
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        letters.push(letter(row)?);
    }
    Ok(letters)
}

fn letter(row: &Row<'_>) -> Result<DeadLetter, Trouble> {
    const WHAT: &str = "a dead letter";
    let event: [u8; 16] = row.get(3)?;
    let fate: String = row.get(4)?;
    let fate = Fate::from_word(&fate)
        .ok_or_else(|| Trouble::damaged(WHAT, format!("there is no fate `{fate}`")))?;
    Ok(DeadLetter {
        position: position(row.get(0)?)?,
        partition: row.get(1)?,
        stream: StreamId::try_new(row.get::<_, String>(2)?)
            .map_err(|e| Trouble::damaged(WHAT, e))?,
        event: event_id(event)?,
        fate,
        attempts: row.get(5)?,
        error: row.get(6)?,
        at: Timestamp::from_unix_micros(row.get(7)?).map_err(|e| Trouble::damaged(WHAT, e))?,
    })
}

/// A position as it was written.
pub(crate) fn position(number: i64) -> Result<GlobalPosition, Trouble> {
    GlobalPosition::try_from(number).map_err(|e| Trouble::damaged("a position", e))
}

/// The identity of an event as it was written.
pub(crate) fn event_id(bytes: [u8; 16]) -> Result<EventId, Trouble> {
    EventId::try_from(Uuid::from_bytes(bytes)).map_err(|e| Trouble::damaged("an event's id", e))
}
