//! One page after the other, waiting where there is none.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::StartFrom;
use crate::{
    EventFilter, EventStore, GlobalPosition,
    store::{Page, PageSize, ReadError, StoreError, StoreErrorKind},
    wake::Waiter,
};

/// The waits between tries when the store is not there: from the first, doubled, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Reads the log page by page.
pub(super) struct Reader<'s> {
    store: Arc<dyn EventStore + 's>,
    filter: EventFilter,
    pub(super) limit: PageSize,
    pub(super) poll_every: Duration,
    pub(super) patience: Duration,
    waiter: Waiter,
    place: Place,
    /// The last page ended where the log did, and the waiter was armed before it was read.
    at_end: bool,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Not looked up yet.
    Asked(StartFrom),
    After(GlobalPosition),
}

impl<'s> Reader<'s> {
    pub(super) fn new(store: impl EventStore + 's, from: StartFrom, filter: EventFilter) -> Self {
        Self {
            waiter: store.commons().waiter(),
            store: Arc::new(store),
            filter,
            limit: PageSize::default(),
            poll_every: Duration::from_millis(100),
            patience: Duration::from_mins(1),
            place: Place::Asked(from),
            at_end: false,
        }
    }

    /// The next page that has an event, or that comes further.
    pub(super) async fn next_page(&mut self) -> Result<Page, ReadError> {
        let mut failing: Option<(Instant, Duration)> = None;
        loop {
            let error = match self.try_page().await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let (since, wait) = failing.unwrap_or((Instant::now(), FIRST_WAIT));
            if !error.is_retriable() || since.elapsed() >= self.patience {
                return Err(error);
            }
            tracing::warn!(%error, "the log cannot be read; it will be tried again");
            // Subscribers that failed together do not come back together.
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            failing = Some((since, (wait * 2).min(LAST_WAIT)));
        }
    }

    async fn try_page(&mut self) -> Result<Page, ReadError> {
        let after = match self.place {
            Place::After(position) => position,
            Place::Asked(from) => {
                let position = self.begin(from).await?;
                self.place = Place::After(position);
                position
            }
        };
        loop {
            if self.at_end {
                self.waiter.wait(self.poll_every).await;
                // What was called for is to be read, also when the read fails at first.
                self.at_end = false;
            }
            self.waiter.arm();
            let page = self.store.read_all(after, &self.filter, self.limit).await?;
            self.at_end = page.at_end;
            // A page that neither ends nor moves would be asked for again and again; waiting does no harm then.
            if page.next > after || !page.events.is_empty() {
                self.place = Place::After(page.next);
                return Ok(page);
            }
            self.at_end = true;
        }
    }

    async fn begin(&self, from: StartFrom) -> Result<GlobalPosition, ReadError> {
        let after = match from {
            StartFrom::Start => return Ok(GlobalPosition::START),
            StartFrom::End => return log_end(&*self.store).await,
            StartFrom::After(position) => position,
        };
        let end = log_end(&*self.store).await?;
        if after > end {
            return Err(ReadError::LogBehind { after, end });
        }
        Ok(after)
    }
}

/// Where the log ends: the position of its last event.
///
/// # Errors
///
/// [`ReadError`].
///
/// # Cancel safety
///
/// Safe at any point.
///
/// ```
/// use eventcore::{GlobalPosition, log_end};
/// use eventcore_memory::InMemoryEventStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(log_end(&InMemoryEventStore::new()).await?, GlobalPosition::START);
/// # Ok(()) }
/// ```
pub async fn log_end(store: &(impl EventStore + ?Sized)) -> Result<GlobalPosition, ReadError> {
    // A filter that lets nothing through: stores go to the end at once.
    let nothing = EventFilter::all().types([]);
    let mut after = GlobalPosition::START;
    loop {
        let page = store.read_all(after, &nothing, PageSize::default()).await?;
        if page.at_end {
            return Ok(page.next);
        }
        if page.next <= after {
            let text = "a page of the log neither ends nor goes on";
            return Err(StoreError::new("read the log", StoreErrorKind::Other, text).into());
        }
        after = page.next;
    }
}
