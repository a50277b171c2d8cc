//! Projections that write for themselves.

use super::{ApplyError, UnitOfWork};
use crate::{Event, EventFilter, StoredEvent};

/// A projection that writes to tables of its own, or anywhere else. For documents by key see [`ReadModel`](super::ReadModel).
///
/// What it writes through the [`Unit`](Projection::Unit) is committed together with the checkpoint, many events at a
/// time: exactly once. What it does elsewhere (an e-mail, another database) happens **at least once**: after a crash the
/// events since the last commit come again. The event's position and id tell a receiver what it has seen.
///
/// One projection may be run by several processes; they agree on who leads.
///
/// ```
/// use eventcore::{prelude::*, projection::{ApplyError, Projection}};
/// use eventcore_memory::InMemoryUnit;
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(prefix = "counter")]
/// # enum Counted { Up }
///
/// /// How many events there were, in a plain number in memory.
/// struct Count;
///
/// impl Projection for Count {
///     type Event = Counted;
///     type Unit = InMemoryUnit<u64>;
///
///     fn name(&self) -> &str {
///         "count"
///     }
///
///     async fn apply(&self, unit: &mut Self::Unit, _: &StoredEvent<Counted>) -> Result<(), ApplyError> {
///         *unit.model()? += 1;
///         Ok(())
///     }
/// }
/// ```
pub trait Projection: Send + Sync + 'static {
    /// What it understands.
    type Event: Event;
    /// The transaction that it writes through: which store it runs on.
    type Unit: UnitOfWork;

    /// Its name, the same for all time; see [`ProjectionName`](super::ProjectionName).
    fn name(&self) -> &str;

    /// Its version: raise it to have it built anew, beside the old one.
    fn version(&self) -> u32 {
        1
    }

    /// The events that concern it: those that [`Event`](Projection::Event) knows, unless another filter is given. Do not change it without a new
    /// version.
    fn filter(&self) -> EventFilter {
        events_of::<Self::Event>()
    }

    /// Runs before the first event, in the transaction of the first commit: make the tables, and empty them if they are
    /// there (after a reset).
    ///
    /// # Errors
    ///
    /// The projection stops; but when the store cannot be reached, it is tried again.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, so is the transaction.
    fn prepare(
        &self,
        unit: &mut Self::Unit,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send {
        let _ = unit;
        async { Ok(()) }
    }

    /// Applies one event.
    ///
    /// # Errors
    ///
    /// The transaction is rolled back, and the [`FailurePolicy`](super::FailurePolicy) says what is next.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped, so is the transaction.
    fn apply(
        &self,
        unit: &mut Self::Unit,
        event: &StoredEvent<Self::Event>,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Applies several events, in order: write it where one statement can do for many what [`Projection::apply`] does for one.
    ///
    /// # Errors
    ///
    /// The transaction is rolled back, and the events are applied one by one to find the one that fails.
    ///
    /// # Cancel safety
    ///
    /// As [`Projection::apply`].
    fn apply_page(
        &self,
        unit: &mut Self::Unit,
        events: &[StoredEvent<Self::Event>],
    ) -> impl Future<Output = Result<(), ApplyError>> + Send {
        async move {
            for event in events {
                self.apply(unit, event).await?;
            }
            Ok(())
        }
    }
}

/// The events that an enum can decode: all, if it catches all.
pub(super) fn events_of<E: Event>() -> EventFilter {
    if E::CATCHES_ALL {
        EventFilter::all()
    } else {
        EventFilter::all().events::<E>()
    }
}
