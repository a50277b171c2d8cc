//! Stores that lose events on the way to the reader, or hand them out in another order.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use eventcore::{
    EventFilter, EventId, EventStore, GlobalPosition, RecordedEvent,
    store::{
        AppendBatch, AppendError, AppendReceipt, EventChunks, Page, PageSize, ReadError, ReadFrom,
        StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;
use tokio::sync::Mutex;

use crate::cage::{Specimen, altered, changed, page_of, specimens, whole_log};

fn is_json(event: &RecordedEvent) -> bool {
    serde_json::from_slice::<serde_json::Value>(event.encoded().payload().as_bytes()).is_ok()
}

fn at(number: u64) -> GlobalPosition {
    GlobalPosition::try_new(number).unwrap()
}

specimens! {
    /// Tells the last event of a stream, wherever a read begins.
    TellsTheLastEvent {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let mut read = self.inner.read(streams).await?;
            for (witness, from) in read.witnesses.iter_mut().zip(streams) {
                let whole = [ReadFrom::start(from.stream.clone())];
                let events = self.inner.read(&whole).await?.events.collect().await?;
                *witness = events.last().map(RecordedEvent::id);
            }
            Ok(read)
        }
    }

    /// Tells no event.
    TellsNoEvent {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(StreamRead { witnesses: vec![None; streams.len()], ..read })
        }
    }

    /// Brings a number of events at once, whatever their size.
    BoundsChunksByRows {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |events| events).await)
        }
    }

    /// Makes pages of a number of events, whatever their size.
    BoundsPagesByRows {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let log = whole_log(&self.inner).await;
            Ok(page_of(&log, after, limit, |event| filter.matches(event)))
        }
    }

    /// Numbers events from a sequence before it commits: a lower number may become visible after a higher one.
    NumbersBeforeCommit { last: AtomicU64, numbers: Mutex<HashMap<EventId, GlobalPosition>> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let count = batch.events().len() as u64;
            let first = self.last.fetch_add(count, SeqCst) + 1;
            if first.is_multiple_of(2) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::yield_now().await;
            let mut numbers = self.numbers.lock().await;
            let mut receipt = self.inner.append(batch).await?;
            for (number, event) in (first..).zip(&mut receipt.events) {
                event.position = at(number);
                numbers.insert(event.id, at(number));
            }
            Ok(receipt)
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let numbers = self.numbers.lock().await;
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |events| renumbered(&events, |event| numbers[&event.id()])).await)
        }

        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let numbers = self.numbers.lock().await;
            let log = renumbered(&whole_log(&self.inner).await, |event| numbers[&event.id()]);
            Ok(page_of(&log, after, limit, |event| filter.matches(event)))
        }
    }

    /// `ORDER BY event_id`: the order in which the ids were made, by clocks, before anything was committed.
    OrdersByEventId { turns: AtomicU64 } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            if self.turns.fetch_add(1, SeqCst).is_multiple_of(2) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::yield_now().await;
            self.inner.append(batch).await
        }

        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let mut log = whole_log(&self.inner).await;
            log.sort_by_key(RecordedEvent::id);
            let ids: Vec<_> = log.iter().map(RecordedEvent::id).collect();
            let rank = |event: &RecordedEvent| {
                at(ids.iter().position(|id| *id == event.id()).unwrap() as u64 + 1)
            };
            Ok(page_of(&renumbered(&log, rank), after, limit, |event| filter.matches(event)))
        }
    }

    /// Gives every other position only.
    LeavesHoles {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut receipt = self.inner.append(batch).await?;
            for event in &mut receipt.events {
                event.position = at(2 * event.position.get());
            }
            Ok(receipt)
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |events| renumbered(&events, |e| at(2 * e.position().get()))).await)
        }

        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let log = renumbered(&whole_log(&self.inner).await, |e| at(2 * e.position().get()));
            Ok(page_of(&log, after, limit, |event| filter.matches(event)))
        }
    }

    /// Uses up positions for batches that it refuses, as a database's sequence does.
    LosesPositionsOfRefusedBatches { lost: AtomicU64, numbers: Mutex<HashMap<EventId, GlobalPosition>> } => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut numbers = self.numbers.lock().await;
            let count = batch.events().len() as u64;
            let mut receipt = match self.inner.append(batch).await {
                Err(error) => {
                    self.lost.fetch_add(count, SeqCst);
                    return Err(error);
                }
                Ok(receipt) => receipt,
            };
            for event in &mut receipt.events {
                let number = event.position.advanced(self.lost.load(SeqCst));
                event.position = *numbers.entry(event.id).or_insert(number);
            }
            Ok(receipt)
        }

        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let numbers = self.numbers.lock().await;
            let log = renumbered(&whole_log(&self.inner).await, |event| numbers[&event.id()]);
            Ok(page_of(&log, after, limit, |event| filter.matches(event)))
        }
    }

    /// Makes up the receipt: what it says about positions is not what is stored.
    GuessesItsReceipts {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut receipt = self.inner.append(batch).await?;
            receipt.events.reverse();
            Ok(receipt)
        }
    }

    /// Drops what it cannot parse.
    DropsWhatItCannotParse {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let log = whole_log(&self.inner).await;
            Ok(page_of(&log, after, limit, |event| filter.matches(event) && is_json(event)))
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |events| events.into_iter().filter(is_json).collect()).await)
        }
    }

    /// Drops unknown types and damaged payloads, and counts so that nobody notices.
    HidesPoisonFromCommands {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let good = |e: &RecordedEvent| {
                let known = e.encoded().event_type().as_str() == "contract.purse.moved";
                let text = String::from_utf8_lossy(e.encoded().payload().as_bytes()).into_owned();
                known && !text.contains("much")
            };
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |events| events.into_iter().filter(good).collect()).await)
        }
    }

    /// Reads the first thousand events of a stream.
    StopsAfterOnePage {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |mut events| { events.truncate(1000); events }).await)
        }
    }

    /// Begins with the version asked for instead of the one after it.
    ReadsFromInsteadOfAfter {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let mut from = streams.to_vec();
            for from in &mut from {
                from.after = from.after.get().saturating_sub(1).try_into().unwrap();
            }
            self.inner.read(&from).await
        }
    }

    /// Returns one stream after the other.
    ReturnsStreamAfterStream {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let read = self.inner.read(streams).await?;
            Ok(changed(read, |mut events| {
                events.sort_by(|a, b| a.stream().cmp(b.stream()));
                events
            })
            .await)
        }
    }

    /// Returns a stream as often as it was asked for.
    RepeatsStreamsAskedForTwice {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let (mut versions, mut witnesses, mut events) = (Vec::new(), Vec::new(), Vec::new());
            for stream in streams {
                let one = self.inner.read(std::slice::from_ref(stream)).await?;
                versions.extend(one.versions);
                witnesses.extend(one.witnesses);
                events.extend(one.events.collect().await?);
            }
            events.sort_by_key(RecordedEvent::position);
            Ok(StreamRead { versions, witnesses, events: EventChunks::ready(events) })
        }
    }

    /// Fails when there is nothing to read, as `IN ()` does.
    FailsOnNothing {} => {
        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            use eventcore::store::{StoreError, StoreErrorKind};
            if streams.is_empty() {
                return Err(StoreError::new("read", StoreErrorKind::Other, "syntax error").into());
            }
            self.inner.read(streams).await
        }
    }

    /// Counts the page's last event twice.
    RepeatsTheLastEvent {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let mut page = self.inner.read_all(after, filter, limit).await?;
            if page.events.len() > 1 && !page.at_end {
                page.next = page.events[page.events.len() - 2].position();
            }
            Ok(page)
        }
    }

    /// Calls a short page the end.
    CallsAFilteredPageTheEnd {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let log = whole_log(&self.inner).await;
            let stretch: Vec<_> = log.into_iter().filter(|e| e.position() > after).take(1000).collect();
            Ok(page_of(&stretch, after, limit, |event| filter.matches(event)))
        }
    }

    /// Puts `next` at the last match, so that a reader looks at the rest again for ever.
    StandsStillWithoutAMatch {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let log = whole_log(&self.inner).await;
            let end = log.len() as u64;
            let stretch: Vec<_> = log.into_iter().filter(|e| e.position() > after).take(1000).collect();
            let mut page = page_of(&stretch, after, limit, |event| filter.matches(event));
            page.at_end = page.next.get() >= end;
            page.next = page.events.last().map_or(after, RecordedEvent::position);
            Ok(page)
        }
    }
}

/// Events with other positions, in their order.
fn renumbered(
    events: &[RecordedEvent],
    number: impl Fn(&RecordedEvent) -> GlobalPosition,
) -> Vec<RecordedEvent> {
    let mut events: Vec<_> = events
        .iter()
        .map(|event| altered(event, |fields| fields.position = number(event)))
        .collect();
    events.sort_by_key(RecordedEvent::position);
    events
}
