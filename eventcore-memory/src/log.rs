//! The events of a store and the order they are in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use eventcore::{
    CorrelationId, EventFilter, EventId, GlobalPosition, IdempotencyKey, RecordedEvent, StreamId,
    StreamVersion,
    store::{
        AppendBatch, AppendError, AppendReceipt, AppendedEvent, Conflict, EventChunks, KeptReceipt,
        Page, ReadFrom, StreamConflict,
    },
};
use uuid::Uuid;

use crate::projections::Inlines;

/// All events by position; position 1 is at index 0.
#[derive(Debug, Default)]
pub(crate) struct Log {
    events: Vec<RecordedEvent>,
    /// For each stream the indices of its events; version 1 is at index 0.
    streams: HashMap<StreamId, Vec<usize>>,
    commands: HashMap<IdempotencyKey, Command>,
}

/// What a key appended: a stretch of the log.
#[derive(Debug)]
struct Command {
    fingerprint: Uuid,
    correlation_id: CorrelationId,
    events: std::ops::Range<usize>,
}

/// Where a read stands: per stream the next event and the end of the snapshot, as indices into the stream.
#[derive(Debug)]
pub(crate) struct Cursor(Vec<(StreamId, std::ops::Range<usize>)>);

/// A stretch of the log that was looked at.
pub(crate) struct Stretch {
    pub(crate) next: GlobalPosition,
    pub(crate) at_end: bool,
    /// The page takes no more.
    pub(crate) full: bool,
}

impl Cursor {
    pub(crate) fn is_done(&self) -> bool {
        self.0.iter().all(|(_, range)| range.is_empty())
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Log {
    fn version(&self, stream: &StreamId) -> StreamVersion {
        let length = self.streams.get(stream).map_or(0, Vec::len);
        StreamVersion::EMPTY.advanced(length as u64)
    }

    pub(crate) fn versions(&self, streams: &[ReadFrom]) -> Vec<StreamVersion> {
        streams
            .iter()
            .map(|from| self.version(&from.stream))
            .collect()
    }

    /// A snapshot is its end: events are never changed, so what comes later is just not looked at.
    pub(crate) fn cursor(&self, streams: &[ReadFrom]) -> Cursor {
        let mut wanted: BTreeMap<&StreamId, StreamVersion> = BTreeMap::new();
        for from in streams {
            let after = wanted.entry(&from.stream).or_insert(from.after);
            *after = (*after).min(from.after);
        }
        let range = |(stream, after): (&StreamId, StreamVersion)| {
            let end = index(self.version(stream).get());
            (stream.clone(), index(after.get()).min(end)..end)
        };
        let ranges = wanted.into_iter().map(range);
        Cursor(ranges.filter(|(_, range)| !range.is_empty()).collect())
    }

    /// The next events of a cursor's streams, merged by position.
    pub(crate) fn next_chunk(&self, cursor: &mut Cursor, limit: usize) -> Vec<RecordedEvent> {
        let total: usize = cursor.0.iter().map(|(_, range)| range.len()).sum();
        let mut chunk = Vec::with_capacity(total.min(limit));
        let mut bytes = 0;
        if let [(stream, range)] = cursor.0.as_mut_slice() {
            let places = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
            while chunk.len() < limit && bytes < EventChunks::MAX_BYTES && range.start < range.end {
                let event = &self.events[places[range.start]];
                bytes += event.stored_bytes();
                chunk.push(event.clone());
                range.start += 1;
            }
            return chunk;
        }
        // The few next places of each stream, in a heap by position.
        let mut heap = std::collections::BinaryHeap::with_capacity(cursor.0.len());
        let place = |stream: &StreamId, at: usize| self.streams.get(stream)?.get(at).copied();
        for (which, (stream, range)) in cursor.0.iter().enumerate() {
            if range.start < range.end
                && let Some(at) = place(stream, range.start)
            {
                heap.push(std::cmp::Reverse((at, which)));
            }
        }
        while chunk.len() < limit
            && bytes < EventChunks::MAX_BYTES
            && let Some(std::cmp::Reverse((at, which))) = heap.pop()
        {
            bytes += self.events[at].stored_bytes();
            chunk.push(self.events[at].clone());
            let (stream, range) = &mut cursor.0[which];
            range.start += 1;
            if range.start < range.end
                && let Some(next) = place(stream, range.start)
            {
                heap.push(std::cmp::Reverse((next, which)));
            }
        }
        chunk
    }

    /// Appends a batch, and lets read models take its events; all of it or nothing.
    pub(crate) fn append(
        &mut self,
        batch: &AppendBatch,
        inlines: &Inlines,
    ) -> Result<AppendReceipt, AppendError> {
        if let Some(idempotency) = batch.idempotency()
            && let Some(kept) = self.find_receipt(&idempotency.key)
        {
            if kept.fingerprint == idempotency.fingerprint {
                return Ok(kept.receipt);
            }
            let key = idempotency.key.clone();
            return Err(AppendError::IdempotencyConflict { key });
        }
        let moved = batch.expectations().iter().filter_map(|expected| {
            let actual = self.version(&expected.stream);
            (actual != expected.version).then(|| StreamConflict {
                stream: expected.stream.clone(),
                expected: expected.version,
                actual,
            })
        });
        if let Some(conflict) = Conflict::new(moved.collect()) {
            return self.appended_before(batch).ok_or(conflict.into());
        }
        let events = batch.recorded(self.end());
        let prepared = inlines.prepare(self, &events)?;
        // From here on nothing can fail.
        let start = self.events.len();
        for event in events {
            let places = self.streams.entry(event.stream().clone()).or_default();
            places.push(self.events.len());
            self.events.push(event);
        }
        prepared.settle();
        let events = start..self.events.len();
        let receipt = self.receipt(batch.correlation_id(), &events, false);
        if let Some(idempotency) = batch.idempotency() {
            let command = Command {
                fingerprint: idempotency.fingerprint,
                correlation_id: batch.correlation_id(),
                events,
            };
            self.commands.insert(idempotency.key.clone(), command);
        }
        Ok(receipt)
    }

    /// The receipt of a batch that is in the log already.
    fn appended_before(&self, batch: &AppendBatch) -> Option<AppendReceipt> {
        let (stream, version, id) = batch.trace()?;
        let event = self
            .event(stream, version)
            .filter(|event| event.id() == id)?;
        Some(batch.replayed(event.position()))
    }

    fn end(&self) -> GlobalPosition {
        GlobalPosition::START.advanced(self.events.len() as u64)
    }

    fn event(&self, stream: &StreamId, version: StreamVersion) -> Option<&RecordedEvent> {
        let at = index(version.get()).checked_sub(1)?;
        self.events.get(*self.streams.get(stream)?.get(at)?)
    }

    /// The event at which each read begins.
    pub(crate) fn witnesses(&self, streams: &[ReadFrom]) -> Vec<Option<EventId>> {
        let event = |from: &ReadFrom| self.event(&from.stream, from.after);
        let witness = |from| event(from).map(RecordedEvent::id);
        streams.iter().map(witness).collect()
    }

    /// The events after a position, unless the log ends before it.
    pub(crate) fn since(&self, position: GlobalPosition) -> Option<&[RecordedEvent]> {
        self.events.get(index(position.get())..)
    }

    /// The event at a position.
    pub(crate) fn at(&self, position: GlobalPosition) -> Option<&RecordedEvent> {
        self.events.get(index(position.get()).checked_sub(1)?)
    }

    fn receipt(
        &self,
        correlation_id: CorrelationId,
        events: &std::ops::Range<usize>,
        replayed: bool,
    ) -> AppendReceipt {
        let appended = |event: &RecordedEvent| AppendedEvent {
            id: event.id(),
            stream: event.stream().clone(),
            version: event.version(),
            position: event.position(),
        };
        AppendReceipt {
            events: self.events[events.clone()].iter().map(appended).collect(),
            correlation_id,
            replayed,
        }
    }

    pub(crate) fn find_receipt(&self, key: &IdempotencyKey) -> Option<KeptReceipt> {
        let command = self.commands.get(key)?;
        Some(KeptReceipt {
            fingerprint: command.fingerprint,
            receipt: self.receipt(command.correlation_id, &command.events, true),
        })
    }

    /// Looks at up to `most` events after a position and takes those that pass, up to `limit` in all.
    pub(crate) fn scan(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: usize,
        found: &mut Vec<RecordedEvent>,
        most: usize,
    ) -> Stretch {
        let start = index(after.get()).min(self.events.len());
        let mut looked_at = 0;
        // Who only asks for the end need not look at what lies before it.
        if filter.get_types().is_some_and(BTreeSet::is_empty) {
            return Stretch {
                next: after.advanced((self.events.len() - start) as u64),
                at_end: true,
                full: false,
            };
        }
        let mut bytes: usize = found.iter().map(RecordedEvent::stored_bytes).sum();
        let mut full = false;
        for event in self.events[start..].iter().take(most) {
            looked_at += 1;
            if filter.matches(event) {
                bytes += event.stored_bytes();
                found.push(event.clone());
                full = found.len() == limit || bytes >= Page::MAX_BYTES;
            }
            if full {
                break;
            }
        }
        Stretch {
            next: after.advanced(looked_at),
            at_end: start as u64 + looked_at >= self.events.len() as u64,
            full,
        }
    }
}
