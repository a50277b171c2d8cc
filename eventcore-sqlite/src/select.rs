//! What readers ask the database: streams, merged by position, and pages of the log.
//!
//! Everything is a merge of index ranges that are each in order of position: one per stream, or per pair of category
//! and type, or the log itself. What an index does not decide, [`EventFilter::matches`] does, so no pattern of the
//! caller's ever reaches SQL.

use std::collections::{HashMap, hash_map::Entry};

use eventcore::{
    EventFilter, EventId, GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::{EventChunks, Page, ReadError, ReadFrom, StreamFilter},
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    append::{event_at, last_event, last_position, version},
    errors::read_error,
    merge::Merge,
    row::{COLUMNS, Rows},
};

/// The most events of one chunk.
const CHUNK: usize = 512;
/// The most rows looked at for one page.
const MAX_LOOKED_AT: usize = 50_000;
/// The most index ranges that are merged; beyond it the log itself is read.
const MAX_RANGES: usize = 64;
/// The most pairs of category and type that are looked through for a filter.
const MAX_KINDS: usize = 1024;

const OPERATION: &str = "read";

/// Where a long read stands. Its snapshot is the version of each stream: events up to it never change.
#[derive(Debug)]
pub(crate) struct Cursor(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    stream: StreamId,
    after: StreamVersion,
    end: StreamVersion,
}

/// The beginning of a read: versions, first events, and the rest if there is one.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) versions: Vec<StreamVersion>,
    pub(crate) witnesses: Vec<Option<EventId>>,
    pub(crate) first: Vec<RecordedEvent>,
    pub(crate) rest: Option<Cursor>,
}

/// Opens a view of several streams; the caller holds a transaction.
pub(crate) fn open(
    connection: &Connection,
    rows: &mut Rows,
    streams: &[ReadFrom],
) -> Result<Opened, ReadError> {
    let mut cursor = Cursor(Vec::with_capacity(streams.len()));
    let mut versions = Vec::with_capacity(streams.len());
    let mut witnesses = Vec::with_capacity(streams.len());
    let mut known: HashMap<&StreamId, usize> = HashMap::with_capacity(streams.len());
    for from in streams {
        let (end, witness) =
            end_and_witness(connection, from).map_err(|e| read_error(OPERATION, e))?;
        versions.push(end);
        witnesses.push(witness);
        match known.entry(&from.stream) {
            Entry::Occupied(at) => {
                let stretch: &mut Stretch = &mut cursor.0[*at.get()];
                stretch.after = stretch.after.min(from.after);
            }
            Entry::Vacant(new) => {
                new.insert(cursor.0.len());
                cursor.0.push(Stretch {
                    stream: from.stream.clone(),
                    after: from.after,
                    end,
                });
            }
        }
    }
    let (first, rest) = go_on(connection, rows, cursor)?;
    Ok(Opened {
        versions,
        witnesses,
        first,
        rest,
    })
}

/// The version of a stream, and the event at which the read begins. Most often that is the last one: then one look tells
/// both.
fn end_and_witness(
    connection: &Connection,
    from: &ReadFrom,
) -> Result<(StreamVersion, Option<EventId>), rusqlite::Error> {
    if from.after.is_empty() {
        return Ok((version(connection, &from.stream)?, None));
    }
    match last_event(connection, &from.stream)? {
        None => Ok((StreamVersion::EMPTY, None)),
        Some((end, id)) if end == from.after => Ok((end, Some(id))),
        Some((end, _)) => {
            let at = event_at(connection, &from.stream, from.after)?;
            Ok((end, at.map(|(_, id)| id)))
        }
    }
}

/// The next chunk of a read, and the rest after it.
pub(crate) fn go_on(
    connection: &Connection,
    rows: &mut Rows,
    mut cursor: Cursor,
) -> Result<(Vec<RecordedEvent>, Option<Cursor>), ReadError> {
    cursor.0.retain(|stretch| stretch.after < stretch.end);
    let mut merge = Merge::of(connection, cursor.0.len())?;
    let sql = format!(
        "SELECT {} FROM eventcore_events
         WHERE stream = ?1 AND version > ?2 AND version <= ?3 ORDER BY version",
        merge.columns()
    );
    for Stretch { stream, after, end } in &cursor.0 {
        merge.range(
            connection,
            &sql,
            &[&stream.as_str(), &after.to_i64(), &end.to_i64()],
        )?;
    }
    let mut chunk = Vec::new();
    // Each chunk opens all its streams: it takes a few events of each, or many streams would be opened many times.
    let most = CHUNK.max(8 * cursor.0.len());
    merge.run(rows, EventChunks::MAX_BYTES, |range, event| {
        cursor.0[range].after = event.version();
        chunk.push(event);
        chunk.len() < most
    })?;
    cursor.0.retain(|stretch| stretch.after < stretch.end);
    Ok((chunk, (!cursor.0.is_empty()).then_some(cursor)))
}

/// A page of the log; the caller holds a transaction.
pub(crate) fn page(
    connection: &Connection,
    rows: &mut Rows,
    after: GlobalPosition,
    filter: &EventFilter,
    limit: usize,
) -> Result<Page, ReadError> {
    let end = last_position(connection).map_err(|e| read_error(OPERATION, e))?;
    let merge = ranges(connection, after, filter)?;
    let mut events = Vec::new();
    let mut looked_at = 0;
    let mut next = after;
    let stopped = merge.run(rows, Page::MAX_BYTES, |_, event| {
        looked_at += 1;
        next = event.position();
        if filter.matches(&event) {
            events.push(event);
        }
        events.len() < limit && looked_at < MAX_LOOKED_AT
    })?;
    // All ranges were read to their end: nothing up to the end of the log is left.
    let next = if stopped { next } else { end.max(after) };
    Ok(Page {
        events,
        next,
        at_end: next >= end,
    })
}

/// The index ranges that hold everything the filter lets through after a position.
fn ranges<'c>(
    connection: &'c Connection,
    after: GlobalPosition,
    filter: &EventFilter,
) -> Result<Merge<'c>, ReadError> {
    let from = after.to_i64();
    if let StreamFilter::Exact(streams) = filter.get_streams()
        && streams.len() <= MAX_RANGES
    {
        let mut merge = Merge::of(connection, streams.len())?;
        let sql = format!(
            "SELECT {} FROM eventcore_events WHERE stream = ?1 AND version > ?2 ORDER BY version",
            merge.columns()
        );
        for stream in streams {
            let seen =
                version_at(connection, stream, after).map_err(|e| read_error(OPERATION, e))?;
            merge.range(connection, &sql, &[&stream.as_str(), &seen])?;
        }
        return Ok(merge);
    }
    if let Some(kinds) = kinds(connection, filter).map_err(|e| read_error(OPERATION, e))? {
        let mut merge = Merge::of(connection, kinds.len())?;
        let sql = format!(
            "SELECT {} FROM eventcore_events INDEXED BY eventcore_events_by_kind
             WHERE category = ?1 AND type = ?2 AND position > ?3 ORDER BY position",
            merge.columns()
        );
        for (category, event_type) in &kinds {
            merge.range(connection, &sql, &[category, event_type, &from])?;
        }
        return Ok(merge);
    }
    let mut merge = Merge::of(connection, 1)?;
    let sql =
        format!("SELECT {COLUMNS} FROM eventcore_events WHERE position > ?1 ORDER BY position");
    merge.range(connection, &sql, &[&from])?;
    Ok(merge)
}

/// The pairs of category and type in the log that a filter lets through; `None` when it does not ask for either, or when
/// there are too many. The pairs are found by jumping from one to the next in their index.
fn kinds(
    connection: &Connection,
    filter: &EventFilter,
) -> Result<Option<Vec<(String, String)>>, rusqlite::Error> {
    let category = match filter.get_streams() {
        StreamFilter::Prefix(prefix) => prefix.as_str().split_once(':').map(|(name, _)| name),
        _ => None,
    };
    if category.is_none() && filter.get_types().is_none() {
        return Ok(None);
    }
    // Two questions and not `(category, type) > (?1, ?2)`: SQLite would begin at the pair itself and look at every event
    // that has it.
    let mut same_category = connection.prepare_cached(
        "SELECT category, type FROM eventcore_events INDEXED BY eventcore_events_by_kind
         WHERE category = ?1 AND type > ?2 ORDER BY type LIMIT 1",
    )?;
    let mut next_category = connection.prepare_cached(
        "SELECT category, type FROM eventcore_events INDEXED BY eventcore_events_by_kind
         WHERE category > ?1 ORDER BY category, type LIMIT 1",
    )?;
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    // Before the first type of the category, or of all.
    let mut at = (category.unwrap_or_default().to_owned(), String::new());
    let mut kinds = Vec::new();
    for _ in 0..MAX_KINDS {
        let mut next: Option<(String, String)> =
            same_category.query_row((&at.0, &at.1), pair).optional()?;
        if next.is_none() {
            next = next_category.query_row((&at.0,), pair).optional()?;
        }
        let Some(next) = next.filter(|next| category.is_none_or(|category| next.0 == category))
        else {
            return Ok(Some(kinds));
        };
        if filter
            .get_types()
            .is_none_or(|types| types.contains(next.1.as_str()))
        {
            kinds.push(next.clone());
        }
        if kinds.len() > MAX_RANGES {
            return Ok(None);
        }
        at = next;
    }
    Ok(None)
}

/// The version that a stream had at a position. Positions rise with versions, so halving finds it.
fn version_at(
    connection: &Connection,
    stream: &StreamId,
    position: GlobalPosition,
) -> Result<i64, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT position FROM eventcore_events WHERE stream = ?1 AND version = ?2",
    )?;
    let (mut low, mut high) = (0, version(connection, stream)?.to_i64());
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let at: Option<i64> = select
            .query_row((stream.as_str(), middle), |row| row.get(0))
            .optional()?;
        if at.is_some_and(|at| at <= position.to_i64()) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}
