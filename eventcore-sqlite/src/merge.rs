//! Index ranges, read together in order of position, and bounded in bytes.

use std::{cmp::Reverse, collections::BinaryHeap};

use eventcore::{GlobalPosition, RecordedEvent, store::ReadError};
use rusqlite::{
    CachedStatement, Connection, Row, ToSql,
    fallible_streaming_iterator::FallibleStreamingIterator, types::ValueRef,
};

use crate::{
    errors::{corrupt, read_error},
    row::{COLUMNS, METADATA, PAYLOAD, Rows},
};

const OPERATION: &str = "read";

/// The most ranges of which each has its next event in memory; of more only the positions are.
const MAX_OPEN: usize = 8;

/// What an event takes, about, before it is read.
fn size(row: &Row<'_>) -> Result<usize, rusqlite::Error> {
    let mut size = 0;
    for column in [METADATA, PAYLOAD] {
        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(column)? {
            size += bytes.len();
        }
    }
    Ok(size)
}

/// Index ranges to be read together, in order of position.
pub(crate) struct Merge<'c> {
    ranges: Vec<CachedStatement<'c>>,
    /// Gives the event at a position, where the ranges give only positions: each range has its next row in memory, and
    /// that of many ranges with large events would be too much.
    fetch: Option<CachedStatement<'c>>,
}

impl<'c> Merge<'c> {
    /// A merge of so many ranges.
    pub(crate) fn of(connection: &'c Connection, ranges: usize) -> Result<Self, ReadError> {
        let fetch = || {
            let sql = format!("SELECT {COLUMNS} FROM eventcore_events WHERE position = ?1");
            connection.prepare_cached(&sql)
        };
        let fetch = (ranges > MAX_OPEN).then(fetch).transpose();
        Ok(Self {
            ranges: Vec::with_capacity(ranges),
            fetch: fetch.map_err(|error| read_error(OPERATION, error))?,
        })
    }

    /// What its ranges select.
    pub(crate) fn columns(&self) -> &'static str {
        if self.fetch.is_some() {
            "position"
        } else {
            COLUMNS
        }
    }

    pub(crate) fn range(
        &mut self,
        connection: &'c Connection,
        sql: &str,
        parameters: &[&dyn ToSql],
    ) -> Result<(), ReadError> {
        let failed = |error| read_error(OPERATION, error);
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        for (index, value) in parameters.iter().enumerate() {
            statement
                .raw_bind_parameter(index + 1, value)
                .map_err(failed)?;
        }
        self.ranges.push(statement);
        Ok(())
    }

    /// Gives every event to `take`, with its range, until it has enough or the next one would make more bytes than
    /// allowed; whether it ended so. At least one event is given, if there is one.
    pub(crate) fn run(
        self,
        rows: &mut Rows,
        max_bytes: usize,
        mut take: impl FnMut(usize, RecordedEvent) -> bool,
    ) -> Result<bool, ReadError> {
        let failed = |error| read_error(OPERATION, error);
        let Self {
            mut ranges,
            mut fetch,
        } = self;
        let mut cursors: Vec<_> = ranges.iter_mut().map(|range| range.raw_query()).collect();
        let mut order = BinaryHeap::with_capacity(cursors.len());
        for (range, cursor) in cursors.iter_mut().enumerate() {
            order.extend(next(cursor)?.map(|position| Reverse((position, range))));
        }
        let mut bytes = None;
        while let Some(Reverse((position, range))) = order.pop() {
            let cursor = &mut cursors[range];
            let mut fetched = match &mut fetch {
                Some(fetch) => Some(fetch.query([position]).map_err(failed)?),
                None => None,
            };
            if let Some(fetched) = &mut fetched {
                fetched.advance().map_err(failed)?;
            }
            let Some(row) = fetched.as_ref().unwrap_or(cursor).get() else {
                let position = GlobalPosition::try_from(position).unwrap_or_default();
                return Err(corrupt(position, "an index has it, the log has not", None));
            };
            let size = size(row).map_err(failed)?;
            if bytes.is_some_and(|bytes| bytes + size > max_bytes) {
                return Ok(true);
            }
            bytes = Some(bytes.unwrap_or(0) + size);
            if !take(range, rows.event(row)?) {
                return Ok(true);
            }
            drop(fetched);
            order.extend(next(cursor)?.map(|position| Reverse((position, range))));
        }
        Ok(false)
    }
}

/// Goes to the next row of a range, and gives its position.
fn next(cursor: &mut rusqlite::Rows<'_>) -> Result<Option<i64>, ReadError> {
    let failed = |error| read_error(OPERATION, error);
    cursor.advance().map_err(failed)?;
    cursor
        .get()
        .map(|row| row.get(0))
        .transpose()
        .map_err(failed)
}
