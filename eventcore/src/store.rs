//! What a backend implements: read some streams as one view, append one batch atomically, read the log in order.

mod batch;
mod error;
mod filter;
mod progress;
mod read;
mod record;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::{
    batch::{AppendBatch, BatchBuilder, BatchError, Expectation, Idempotency, NewEvent},
    error::{AppendError, Conflict, ReadError, StoreError, StoreErrorKind, StreamConflict},
    filter::{EventFilter, StreamFilter},
    progress::Progress,
    read::{EventChunks, Page, PageSize, PageSizeError, ReadFrom, StreamRead},
    record::{AppendReceipt, AppendedEvent, KeptReceipt, RecordedEvent, RecordedFields},
};
use crate::{Commons, GlobalPosition, IdempotencyKey};

/// A store of events: the whole interface between EventCore and a database.
///
/// Stores move recorded bytes and never see the application's types. What they owe, each promise with a test of that
/// name in the `eventcore-testing` contract suite:
///
/// * `append` is atomic over all streams of the batch, and succeeds only if **every** expectation holds at the moment
///   of commit, also those on streams that it does not write to or that are empty.
/// * `read` returns one snapshot of all streams asked for.
/// * Positions are dense, start at 1, and follow the order of commits: once a position was handed out, no event ever
///   appears below it.
/// * Dropping a future leaves all or nothing, and a usable store.
///
/// The trait is dyn-compatible; `&S`, `Box<S>` and `Arc<S>` are stores too. There are no provided methods, so a
/// wrapper cannot forget to forward one.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event store",
    note = "pass a store such as `InMemoryEventStore`, a reference to one, or an `Arc` of one"
)]
pub trait EventStore: Send + Sync {
    /// What this store can and cannot do.
    fn capabilities(&self) -> Capabilities;

    /// What the commands of this process share at this store: make one with the store and return it.
    fn commons(&self) -> &Commons;

    /// The current version of each stream and its events after the version asked for, all in one snapshot.
    ///
    /// Events come in order of global position over all streams, in chunks of bounded size
    /// ([`EventChunks::MAX_BYTES`]). Asking twice for one stream in a call returns its events once, from the lower
    /// version on; its version and its witness are told for each of both.
    ///
    /// What was asked for at the same moment by others has no part in it: a stream that cannot be read fails the
    /// reads that ask for it and no others.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; a stream that does not exist is empty and no error.
    ///
    /// # Cancel safety
    ///
    /// Reads change nothing; dropping the future or the events returned is always safe.
    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError>;

    /// Appends a batch, whole or not at all, if all its expectations hold.
    ///
    /// A batch that was appended before returns the first receipt, marked as replayed, and changes nothing. One with a
    /// key is known by its [`Idempotency::key`], provided that the fingerprint is the same, which is looked at before
    /// the expectations; one without is known by its first event, which is looked for where it was to be written
    /// ([`AppendBatch::trace`]) before a conflict is told. So any batch may be sent again when its outcome is unknown.
    ///
    /// # Errors
    ///
    /// [`AppendError::Conflict`] when expectations do not hold, with all of them in the order of the batch; [`AppendError::IdempotencyConflict`] when the key
    /// is another command's, [`AppendError::OutcomeUnknown`] when the connection broke in the wrong moment, else what
    /// the store ran into.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the batch appended whole or not at all; which of both is not known.
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError>;

    /// What the batch with this key appended, if there was one; marked as replayed.
    ///
    /// `None` may be believed: appends that had reached the store before are waited for. (One that is still on its way
    /// there, over a network that delays it, can only be excluded by appending under the same key.)
    ///
    /// # Errors
    ///
    /// [`ReadError`]; one that [may pass](ReadError::is_retriable) when appends were under way for longer than the
    /// store waits for them, so that it is not known yet.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError>;

    /// As [`EventStore::find_receipt`], from what is committed now, without waiting for appends that are under way:
    /// enough before an append under the key, which looks again.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError>;

    /// The next events of the whole store after a position, in order, that pass the filter.
    ///
    /// A page ends at `limit` events or at [`Page::MAX_BYTES`]. [`Page::next`] is where to go on: at the end of the log, whatever the filter lets through, its last position. It is never below `after`, also when that is beyond the end. A page may hold fewer events than asked for, even none, before the end: a
    /// store may stop after looking at a bounded number of events that do not match.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError>;
}

/// What a store can do; the contract suite tests what is claimed and checks that the rest is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "claims that depend on each other little"
)]
pub struct Capabilities {
    /// Acknowledged events survive the end of the process, also a sudden one.
    pub durable: bool,
    /// Several processes may use the same data at once.
    pub multi_process: bool,
    /// [`AppendError::OutcomeUnknown`] may happen: the connection may break while an append is under way.
    pub outcome_can_be_unknown: bool,
    /// Acknowledged events survive a crash of the machine and a power cut, as far as the store can see: each append waits
    /// for the disk. `false` also where nothing is known about it.
    pub survives_power_cut: bool,
}

impl Capabilities {
    /// None of all.
    pub const fn none() -> Self {
        Self {
            durable: false,
            multi_process: false,
            outcome_can_be_unknown: false,
            survives_power_cut: false,
        }
    }

    /// Claims durability.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Claims use by several processes.
    #[must_use]
    pub const fn multi_process(mut self) -> Self {
        self.multi_process = true;
        self
    }

    /// Declares that outcomes can be unknown.
    #[must_use]
    pub const fn outcome_can_be_unknown(mut self) -> Self {
        self.outcome_can_be_unknown = true;
        self
    }

    /// Claims that acknowledged events survive a power cut; only a [durable](Capabilities::durable) store can.
    #[must_use]
    pub const fn survives_power_cut(mut self) -> Self {
        self.survives_power_cut = true;
        self
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        impl<S: EventStore + ?Sized> EventStore for $pointer {
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            fn commons(&self) -> &Commons {
                (**self).commons()
            }
            async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
                (**self).read(streams).await
            }
            async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
                (**self).append(batch).await
            }
            async fn find_receipt(
                &self,
                key: &IdempotencyKey,
            ) -> Result<Option<KeptReceipt>, ReadError> {
                (**self).find_receipt(key).await
            }
            async fn committed_receipt(
                &self,
                key: &IdempotencyKey,
            ) -> Result<Option<KeptReceipt>, ReadError> {
                (**self).committed_receipt(key).await
            }
            async fn read_all(
                &self,
                after: GlobalPosition,
                filter: &EventFilter,
                limit: PageSize,
            ) -> Result<Page, ReadError> {
                (**self).read_all(after, filter, limit).await
            }
        }
    )*};
}

forward!(&S, Box<S>, Arc<S>);
