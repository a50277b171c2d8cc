//! The one statement that reads streams, for any number of readers at once.

use eventcore::{
    GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::{ReadError, ReadFrom},
};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};

use crate::{
    connection::Mode,
    errors::read_error,
    options::SchemaName,
    row::{Rows, columns_of},
};

const OPERATION: &str = "read";

/// The most events of one stream in a chunk, for few streams and for many together.
const CHUNK: i64 = 512;
const CHUNK_OF_MANY: usize = 2048;

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
    pub(crate) first: Vec<RecordedEvent>,
    pub(crate) rest: Option<Cursor>,
}

/// The statements, written once per store.
#[derive(Clone, Debug)]
pub(crate) struct ReadCall {
    open: String,
    go_on: String,
    mode: Mode,
}

#[derive(Default)]
struct Arrays<'r> {
    streams: Vec<&'r StreamId>,
    after: Vec<i64>,
    most: Vec<i64>,
}

impl<'r> Arrays<'r> {
    fn add(&mut self, stream: &'r StreamId, after: StreamVersion, most: i64) {
        self.streams.push(stream);
        self.after.push(after.to_i64());
        self.most.push(most);
    }

    fn names(&self) -> Vec<&'r str> {
        self.streams.iter().map(|stream| stream.as_str()).collect()
    }
}

/// What came back for one stream of one reader.
#[derive(Default)]
struct Part {
    head: StreamVersion,
    events: Vec<RecordedEvent>,
}

fn most(streams: usize) -> i64 {
    if streams <= 4 {
        return CHUNK;
    }
    i64::try_from(CHUNK_OF_MANY / streams)
        .unwrap_or(CHUNK)
        .max(16)
}

impl ReadCall {
    pub(crate) fn new(schema: &SchemaName, mode: Mode) -> Self {
        // The version of a stream is that of its last event, and is looked up where that need not have come.
        let open = format!(
            "SELECT r.ordinal,
                 CASE WHEN e.version IS NULL OR e.version - r.most >= r.after THEN (
                     SELECT v.version FROM {{schema}}.events v WHERE v.stream = r.stream
                     ORDER BY v.version DESC LIMIT 1
                 ) END, {columns}
             FROM (
                 SELECT generate_subscripts($1::text[], 1) AS ordinal, unnest($1::text[]) AS stream,
                     unnest($2::bigint[]) AS after, unnest($3::bigint[]) AS most
             ) r
             LEFT JOIN LATERAL (
                 SELECT * FROM {{schema}}.events s
                 WHERE s.stream = r.stream AND s.version > r.after
                 ORDER BY s.version LIMIT r.most
             ) e ON true",
            columns = columns_of("e"),
        );
        let go_on = format!(
            "SELECT r.ordinal, NULL::bigint, {columns}
             FROM (
                 SELECT generate_subscripts($1::text[], 1) AS ordinal, unnest($1::text[]) AS stream,
                     unnest($2::bigint[]) AS after, unnest($3::bigint[]) AS most, unnest($4::bigint[]) AS upto
             ) r
             CROSS JOIN LATERAL (
                 SELECT * FROM {{schema}}.events s
                 WHERE s.stream = r.stream AND s.version > r.after AND s.version <= r.upto
                 ORDER BY s.version LIMIT r.most
             ) e",
            columns = columns_of("e"),
        );
        Self {
            open: schema.fill(&open),
            go_on: schema.fill(&go_on),
            mode,
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Opens the views of several readers, all from one snapshot. The caller watches the time.
    pub(crate) async fn open(
        &self,
        connection: &mut PgConnection,
        rows: &mut Rows,
        readers: &[&[ReadFrom]],
    ) -> Result<Vec<Result<Opened, ReadError>>, sqlx::Error> {
        let mut arrays = Arrays::default();
        for streams in readers {
            for from in *streams {
                arrays.add(&from.stream, from.after, most(streams.len()));
            }
        }
        let statement = sqlx::query(AssertSqlSafe(self.open.as_str()))
            .bind(arrays.names())
            .bind(&arrays.after)
            .bind(&arrays.most);
        let found = self.mode.read_unwatched(connection, statement).await?;
        let mut parts = collect(rows, &arrays.streams, &found).into_iter();
        Ok(readers
            .iter()
            .map(|streams| opened(streams, parts.by_ref().take(streams.len())))
            .collect())
    }

    /// The next chunk of a long read, and the rest after it.
    pub(crate) async fn go_on(
        &self,
        connection: &mut PgConnection,
        cursor: Cursor,
    ) -> Result<Result<(Vec<RecordedEvent>, Option<Cursor>), ReadError>, sqlx::Error> {
        let mut arrays = Arrays::default();
        let mut upto = Vec::with_capacity(cursor.0.len());
        for stretch in &cursor.0 {
            arrays.add(&stretch.stream, stretch.after, most(cursor.0.len()));
            upto.push(stretch.end.to_i64());
        }
        let statement = sqlx::query(AssertSqlSafe(self.go_on.as_str()))
            .bind(arrays.names())
            .bind(&arrays.after)
            .bind(&arrays.most)
            .bind(&upto);
        let found = self.mode.read(connection, statement).await?;
        let parts: Result<Vec<Part>, ReadError> =
            collect(&mut Rows::default(), &arrays.streams, &found)
                .into_iter()
                .collect();
        Ok(parts.map(|parts| merge(cursor, parts)))
    }
}

/// Sorts the rows by the stream that they were asked for with; a damaged one spoils its own stream only.
fn collect(
    rows: &mut Rows,
    streams: &[&StreamId],
    found: &[PgRow],
) -> Vec<Result<Part, ReadError>> {
    let mut parts: Vec<Result<Part, ReadError>> = Vec::new();
    parts.resize_with(streams.len(), || Ok(Part::default()));
    let failed = |error| read_error(OPERATION, error);
    for row in found {
        let at = row
            .try_get_unchecked::<i32, _>(0)
            .ok()
            .and_then(|ordinal| usize::try_from(ordinal - 1).ok());
        let Some((slot, stream)) = at.and_then(|at| Some((parts.get_mut(at)?, *streams.get(at)?)))
        else {
            continue;
        };
        let Ok(part) = slot else {
            continue;
        };
        let mut add = || {
            let head: Option<i64> = row.try_get_unchecked(1).map_err(failed)?;
            let position: Option<i64> = row.try_get_unchecked(2).map_err(failed)?;
            let mut version = StreamVersion::EMPTY;
            if position.is_some() {
                let event = rows.event(row, 2, stream.clone())?;
                version = event.version();
                part.events.push(event);
            }
            // Either the version was looked up, or the last event is the stream's last.
            part.head = head.map_or(version, |head| {
                StreamVersion::try_from(head).unwrap_or_default()
            });
            Ok::<(), ReadError>(())
        };
        if let Err(error) = add() {
            *slot = Err(error);
        }
    }
    parts
}

fn opened(
    streams: &[ReadFrom],
    parts: impl Iterator<Item = Result<Part, ReadError>>,
) -> Result<Opened, ReadError> {
    let mut versions = Vec::with_capacity(streams.len());
    let mut cursor = Cursor(Vec::with_capacity(streams.len()));
    let mut kept: Vec<Part> = Vec::with_capacity(streams.len());
    for (from, part) in streams.iter().zip(parts) {
        let part = part?;
        versions.push(part.head);
        // A stream that is asked for twice is read once, from the lower version on.
        match cursor
            .0
            .iter()
            .position(|stretch| stretch.stream == from.stream)
        {
            Some(before) if cursor.0[before].after <= from.after => {}
            Some(before) => {
                cursor.0[before].after = from.after;
                kept[before] = part;
            }
            None => {
                cursor.0.push(Stretch {
                    stream: from.stream.clone(),
                    after: from.after,
                    end: part.head,
                });
                kept.push(part);
            }
        }
    }
    let (first, rest) = merge(cursor, kept);
    Ok(Opened {
        versions,
        first,
        rest,
    })
}

/// One chunk in order of position, and what is left. Where a stream has more than came, what lies behind its last
/// event waits for the next chunk.
fn merge(mut cursor: Cursor, parts: Vec<Part>) -> (Vec<RecordedEvent>, Option<Cursor>) {
    let mut until: Option<GlobalPosition> = None;
    for (stretch, part) in cursor.0.iter().zip(&parts) {
        if let Some(last) = part.events.last()
            && last.version() < stretch.end
        {
            until = Some(until.map_or(last.position(), |until| until.min(last.position())));
        }
    }
    let streams = parts.len();
    let mut chunk = Vec::with_capacity(parts.iter().map(|part| part.events.len()).sum());
    for (stretch, part) in cursor.0.iter_mut().zip(parts) {
        if part.events.is_empty() {
            stretch.after = stretch.end.max(stretch.after);
        }
        for event in part.events {
            if until.is_none_or(|until| event.position() <= until) {
                stretch.after = event.version();
                chunk.push(event);
            }
        }
    }
    if streams > 1 {
        chunk.sort_by_key(RecordedEvent::position);
    }
    cursor.0.retain(|stretch| stretch.after < stretch.end);
    (chunk, (!cursor.0.is_empty()).then_some(cursor))
}
