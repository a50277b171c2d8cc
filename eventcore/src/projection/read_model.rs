//! Read models of documents.

use serde::{Serialize, de::DeserializeOwned};

use super::{DocumentKey, ProjectionId, ProjectionName, ProjectionNameError, custom::events_of};
use crate::{Event, EventFilter, StoredEvent};

/// A read model of JSON documents by key: which documents an event concerns, and how it changes each.
///
/// Pure, as a [`Fold`](crate::Fold) is: all loading and storing is done for it, for many events at once, on any store.
/// Each document is only ever changed by one leader, in log order.
///
/// ```
/// use eventcore::{StartFrom, prelude::*, projection::{DocumentKey, DocumentQuery, Documents, ReadModel, project}};
/// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
/// # use std::time::Duration;
/// # #[derive(Command)]
/// # struct Deposit { #[stream] account: StreamId, amount: i64 }
/// # impl CommandState for Deposit {
/// #     type Event = AccountEvent;
/// #     type State = ();
/// #     fn apply(&self, _: &mut (), _: &StoredEvent<AccountEvent>) {}
/// # }
/// # impl CommandLogic for Deposit {
/// #     fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
/// #         emit!(events, &streams.account => AccountEvent::Deposited { amount: self.amount });
/// #         Ok(())
/// #     }
/// # }
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(prefix = "account")]
/// enum AccountEvent {
///     Deposited { amount: i64 },
/// }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Balance {
///     amount: i64,
/// }
///
/// struct Balances;
///
/// impl ReadModel for Balances {
///     type Event = AccountEvent;
///     type Document = Balance;
///     const NAME: &'static str = "balances";
///
///     fn keys(&self, event: &StoredEvent<AccountEvent>) -> impl IntoIterator<Item = DocumentKey> {
///         [event.stream().into()]
///     }
///
///     fn apply(&self, _: &DocumentKey, balance: &mut Option<Balance>, event: &StoredEvent<AccountEvent>) {
///         let AccountEvent::Deposited { amount } = event.data();
///         balance.get_or_insert_default().amount += amount;
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (store, views) = (InMemoryEventStore::new(), InMemoryProjections::new());
/// let running = project(Balances, &store, &views).start()?;
/// # let deposit = Deposit { account: "account:1".try_into()?, amount: 5 };
/// let receipt = execute(deposit, &store).await?;
///
/// // Read your own write:
/// running.wait_until(receipt.position().unwrap_or_default(), Duration::from_secs(5)).await?;
/// let balances = Documents::<Balances, _>::new(&views)?;
/// assert_eq!(balances.get("account:1").await?.map(|balance| balance.amount), Some(5));
/// let rich = balances.find(&DocumentQuery::all().sort_descending("amount")?.page(0, 10)?).await?;
/// # assert_eq!(rich.len(), 1);
/// running.stop().await?;
/// # Ok(()) }
/// ```
pub trait ReadModel: Send + Sync + 'static {
    /// What it understands.
    type Event: Event;
    /// What stands under a key.
    type Document: Serialize + DeserializeOwned + Send + 'static;

    /// Its name, the same for all time; see [`ProjectionName`](super::ProjectionName).
    const NAME: &'static str;

    /// Its version: raise it to have it built anew, beside the old one, which readers see until the new one has caught up.
    const VERSION: u32 = 1;

    /// Name and version together, checked.
    ///
    /// # Errors
    ///
    /// [`ProjectionNameError`] when the name is none.
    fn id() -> Result<ProjectionId, ProjectionNameError> {
        Ok(ProjectionId {
            name: ProjectionName::try_new(Self::NAME)?,
            version: Self::VERSION,
        })
    }

    /// The events that concern it: those that [`Event`](ReadModel::Event) knows, unless another filter is given. Do not change it without a new
    /// version.
    fn filter(&self) -> EventFilter {
        events_of::<Self::Event>()
    }

    /// The documents that an event concerns.
    fn keys(&self, event: &StoredEvent<Self::Event>) -> impl IntoIterator<Item = DocumentKey>;

    /// Changes one of them: `None` is a document that is not there, before and after.
    fn apply(
        &self,
        key: &DocumentKey,
        document: &mut Option<Self::Document>,
        event: &StoredEvent<Self::Event>,
    );
}
