//! The one statement that reads streams, for any number of readers at once.

use eventcore::{
    EventId, GlobalPosition, RecordedEvent, StreamId, StreamVersion,
    store::{EventChunks, ReadError, ReadFrom},
};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};

use crate::{
    errors::read_error,
    mode::Mode,
    options::SchemaName,
    row::{Found, Rows, columns_of, columns_within, place, size_of},
    sessions::Session,
};

const OPERATION: &str = "read";

/// The rows of one statement, for all streams together, and of one stream.
const ROWS: usize = 8192;
const CHUNK: usize = 512;

/// The bytes of payload that one statement brings, about. Larger events are left out, and read one by one where they
/// stand, so that neither memory nor the time of a slow line is bounded by a number of rows alone.
const BYTES: usize = 8 << 20;
const SMALL: usize = 1024;

/// Where a long read stands. Its snapshot is the version of each stream: events up to it never change.
#[derive(Debug)]
pub(crate) struct Cursor(Vec<Stretch>);

#[derive(Debug)]
struct Stretch {
    stream: StreamId,
    after: StreamVersion,
    end: StreamVersion,
}

/// The beginning of a read: versions, witnesses, first events, and the rest if there is one.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) versions: Vec<StreamVersion>,
    pub(crate) witnesses: Vec<Option<EventId>>,
    pub(crate) first: Vec<RecordedEvent>,
    pub(crate) rest: Option<Cursor>,
}

/// The statements, written once per store.
#[derive(Clone, Debug)]
pub(crate) struct ReadCall {
    open: String,
    go_on: String,
    large: String,
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
    witness: Option<EventId>,
    events: Vec<Found>,
}

/// The most rows of each stream.
fn most(streams: usize) -> usize {
    (ROWS / streams.max(1)).clamp(4, CHUNK)
}

/// The bytes up to which an event comes with its row.
fn small(streams: usize) -> i64 {
    let rows = most(streams).saturating_mul(streams).max(1);
    let chunk = EventChunks::MAX_BYTES / most(streams);
    let bytes = (BYTES / rows).min(chunk).max(SMALL);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl ReadCall {
    pub(crate) fn new(schema: &SchemaName) -> Self {
        // The event at the version that a reader has already is its witness, and comes without its payload. Versions
        // are counted from 1, so there is none for a reader that has nothing. The version of a stream is that of its
        // last event, and is looked up where that need not have come.
        let open = format!(
            "SELECT r.ordinal,
                 CASE WHEN e.version IS NULL OR e.version - r.most >= greatest(r.after, 1) - 1 THEN (
                     SELECT v.version FROM {{schema}}.events v WHERE v.stream = r.stream
                     ORDER BY v.version DESC LIMIT 1
                 ) END, {columns}
             FROM (
                 SELECT pg_catalog.generate_subscripts($1::text[], 1) AS ordinal, pg_catalog.unnest($1::text[]) AS stream,
                     pg_catalog.unnest($2::bigint[]) AS after, pg_catalog.unnest($3::bigint[]) AS most
             ) r
             LEFT JOIN LATERAL (
                 SELECT s.*, {size} AS size FROM {{schema}}.events s
                 WHERE s.stream = r.stream AND s.version >= greatest(r.after, 1)
                 ORDER BY s.version LIMIT r.most
             ) e ON true",
            columns = columns_within("e", "e.version > r.after AND e.size <= $4"),
            size = size_of("s"),
        );
        let go_on = format!(
            "SELECT r.ordinal, NULL::bigint, {columns}
             FROM (
                 SELECT pg_catalog.generate_subscripts($1::text[], 1) AS ordinal, pg_catalog.unnest($1::text[]) AS stream,
                     pg_catalog.unnest($2::bigint[]) AS after, pg_catalog.unnest($3::bigint[]) AS most, pg_catalog.unnest($5::bigint[]) AS upto
             ) r
             CROSS JOIN LATERAL (
                 SELECT s.*, {size} AS size FROM {{schema}}.events s
                 WHERE s.stream = r.stream AND s.version > r.after AND s.version <= r.upto
                 ORDER BY s.version LIMIT r.most
             ) e",
            columns = columns_within("e", "e.size <= $4"),
            size = size_of("s"),
        );
        Self {
            open: schema.fill(&open),
            go_on: schema.fill(&go_on),
            large: large(schema),
        }
    }

    /// Opens the views of several readers, all from one snapshot. The caller watches the time.
    pub(crate) async fn open(
        &self,
        session: &mut Session,
        rows: &mut Rows,
        readers: &[&[ReadFrom]],
    ) -> Result<Vec<Result<Opened, ReadError>>, sqlx::Error> {
        let streams = readers.iter().map(|streams| streams.len()).sum();
        let most = i64::try_from(most(streams)).unwrap_or(i64::MAX);
        let mut arrays = Arrays::default();
        for from in readers.iter().copied().flatten() {
            arrays.add(&from.stream, from.after, most);
        }
        let statement = sqlx::query(AssertSqlSafe(self.open.as_str()))
            .bind(arrays.names())
            .bind(&arrays.after)
            .bind(&arrays.most)
            .bind(small(streams));
        let mode = session.mode();
        let found = mode.read_untimed(session, statement).await?;
        let mut parts = collect(rows, &arrays, &found).into_iter();
        Ok(readers
            .iter()
            .map(|streams| opened(streams, parts.by_ref().take(streams.len())))
            .collect())
    }

    /// The next chunk of a long read, and the rest after it.
    pub(crate) async fn go_on(
        &self,
        session: &mut Session,
        cursor: Cursor,
    ) -> Result<Result<Chunk, ReadError>, sqlx::Error> {
        let streams = cursor.0.len();
        let most = i64::try_from(most(streams)).unwrap_or(i64::MAX);
        let mut arrays = Arrays::default();
        let mut upto = Vec::with_capacity(streams);
        for stretch in &cursor.0 {
            arrays.add(&stretch.stream, stretch.after, most);
            upto.push(stretch.end.to_i64());
        }
        let statement = sqlx::query(AssertSqlSafe(self.go_on.as_str()))
            .bind(arrays.names())
            .bind(&arrays.after)
            .bind(&arrays.most)
            .bind(small(streams))
            .bind(&upto);
        let mode = session.mode();
        let found = mode.read(session, statement).await?;
        let mut rows = Rows::default();
        let parts: Result<Vec<Part>, ReadError> =
            collect(&mut rows, &arrays, &found).into_iter().collect();
        let parts = match parts {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        let (chunk, rest) = merge(cursor, parts, EventChunks::MAX_BYTES);
        let events = fetch_large(&self.large, mode, session, &mut rows, chunk).await?;
        Ok(events.map(|events| (events, rest)))
    }
}

/// Events, and the rest of the read.
pub(crate) type Chunk = (Vec<RecordedEvent>, Option<Cursor>);

/// The statement that reads events by position, whatever their size.
pub(crate) fn large(schema: &SchemaName) -> String {
    schema.fill(&format!(
        "SELECT e.stream, {columns} FROM {{schema}}.events e WHERE e.position = ANY ($1) ORDER BY e.position",
        columns = columns_of("e"),
    ))
}

/// Events in the order in which they were found, those included whose payload has not come yet.
pub(crate) async fn fetch_large(
    statement: &str,
    mode: Mode,
    connection: &mut PgConnection,
    rows: &mut Rows,
    found: Vec<Found>,
) -> Result<Result<Vec<RecordedEvent>, ReadError>, sqlx::Error> {
    let positions: Vec<i64> = found.iter().filter_map(Found::large).collect();
    let mut large = Vec::new();
    if !positions.is_empty() {
        let statement = sqlx::query(AssertSqlSafe(statement)).bind(&positions);
        large = mode.read(connection, statement).await?;
    }
    let mut large = large.iter();
    let mut events = Vec::with_capacity(found.len());
    for found in found {
        let event = match found {
            Found::Event(event) => Ok(event),
            Found::Large { position, .. } => match large.next() {
                Some(row) => rows.event_with_stream(row, 0),
                None => Err(crate::errors::corrupt(
                    position,
                    "it is gone",
                    "no row".into(),
                )),
            },
        };
        match event {
            Ok(event) => events.push(event),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(events))
}

/// Sorts the rows by the stream that they were asked for with; a damaged one spoils its own stream only.
fn collect(rows: &mut Rows, asked: &Arrays<'_>, found: &[PgRow]) -> Vec<Result<Part, ReadError>> {
    let mut parts: Vec<Result<Part, ReadError>> = Vec::new();
    parts.resize_with(asked.streams.len(), || Ok(Part::default()));
    let failed = |error| read_error(OPERATION, error);
    for row in found {
        let at = row
            .try_get_unchecked::<i32, _>(0)
            .ok()
            .and_then(|ordinal| usize::try_from(ordinal - 1).ok());
        let Some((slot, at)) = at.and_then(|at| Some((parts.get_mut(at)?, at))) else {
            continue;
        };
        let Ok(part) = slot else {
            continue;
        };
        let mut add = || {
            let head: Option<i64> = row.try_get_unchecked(1).map_err(failed)?;
            let mut version = StreamVersion::EMPTY;
            if let Some((_, reached, id)) = place(row, 2)? {
                version = reached;
                if version.to_i64() == asked.after[at] {
                    part.witness = Some(id);
                } else {
                    let stream = asked.streams[at].clone();
                    part.events.push(rows.found(row, 2, stream)?);
                }
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
    let mut witnesses = Vec::with_capacity(streams.len());
    let mut cursor = Cursor(Vec::with_capacity(streams.len()));
    let mut kept: Vec<Part> = Vec::with_capacity(streams.len());
    for (from, part) in streams.iter().zip(parts) {
        let part = part?;
        versions.push(part.head);
        witnesses.push(part.witness);
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
    let (first, rest) = merge(cursor, kept, 0);
    let events = first.into_iter().filter_map(Found::into_event);
    Ok(Opened {
        versions,
        witnesses,
        first: events.collect(),
        rest,
    })
}

/// One chunk in order of position, with events up to this many bytes that have not come with their rows, and what is
/// left. Where a stream has more than came, what lies behind its last event waits for the next chunk.
fn merge(mut cursor: Cursor, parts: Vec<Part>, large: usize) -> (Vec<Found>, Option<Cursor>) {
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
    for (at, part) in parts.into_iter().enumerate() {
        if part.events.is_empty() {
            let stretch = &mut cursor.0[at];
            stretch.after = stretch.end.max(stretch.after);
        }
        let known = part.events.into_iter();
        chunk.extend(
            known
                .filter(|event| until.is_none_or(|until| event.position() <= until))
                .map(|event| (at, event)),
        );
    }
    if streams > 1 {
        chunk.sort_by_key(|(_, event)| event.position());
    }
    let mut bounds = Bounds::new(EventChunks::MAX_BYTES, large);
    chunk.truncate(bounds.count(chunk.iter().map(|(_, event)| event)));
    for (at, event) in &chunk {
        cursor.0[*at].after = event.version();
    }
    cursor.0.retain(|stretch| stretch.after < stretch.end);
    let chunk = chunk.into_iter().map(|(_, event)| event).collect();
    (chunk, (!cursor.0.is_empty()).then_some(cursor))
}

/// How much goes into one chunk or page: bytes in all, and bytes that are still to be read.
pub(crate) struct Bounds {
    bytes: usize,
    large: usize,
}

impl Bounds {
    pub(crate) fn new(bytes: usize, large: usize) -> Self {
        Self { bytes, large }
    }

    /// How many of these events, in their order, go in: the one that reaches a bound is the last.
    pub(crate) fn count<'f>(&mut self, events: impl Iterator<Item = &'f Found>) -> usize {
        let mut count = 0;
        for event in events {
            if self.bytes == 0 || (event.large().is_some() && self.large == 0) {
                break;
            }
            self.bytes = self.bytes.saturating_sub(event.bytes());
            if event.large().is_some() {
                self.large = self.large.saturating_sub(event.bytes());
            }
            count += 1;
        }
        count
    }
}
