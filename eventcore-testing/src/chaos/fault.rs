//! What can happen to a call, and the calls it can happen to.

use std::time::Duration;

use eventcore::store::{StoreError, StoreErrorKind};

/// What happens to one call of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the call goes through.
    Pass,
    /// The call fails with an error of this kind, and nothing is done.
    Fails(StoreErrorKind),
    /// The call is done and its answer is lost. An append ends as
    /// [`OutcomeUnknown`](eventcore::store::AppendError::OutcomeUnknown), anything else as unavailable.
    AnswerLost,
    /// The call is never done. To the caller it looks the same as [`Fault::AnswerLost`].
    RequestLost,
    /// The call is done after this time.
    Delay(Duration),
    /// The call is done, and its future never ends.
    Stall,
    /// The call is not done, and its future never ends.
    Hang,
    /// The connection breaks in the middle of the answer: a read of streams hands out half of its events, then an
    /// error. An append, whose answer is not worth anything in parts, has lost it; elsewhere the same as
    /// [`Fault::Pass`].
    BreakOff,
}

impl Fault {
    /// The store cannot be reached: the plainest error that may pass.
    pub const UNAVAILABLE: Self = Self::Fails(StoreErrorKind::Unavailable);
    /// The kind of error that lost calls end with.
    pub(super) const NO_ANSWER: StoreErrorKind = StoreErrorKind::Unavailable;
}

/// The operations of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`EventStore::read`](eventcore::EventStore::read).
    Read,
    /// [`EventStore::append`](eventcore::EventStore::append).
    Append,
    /// [`EventStore::find_receipt`](eventcore::EventStore::find_receipt), and
    /// [`EventStore::committed_receipt`](eventcore::EventStore::committed_receipt).
    FindReceipt,
    /// [`EventStore::read_all`](eventcore::EventStore::read_all).
    ReadAll,
}

impl Operation {
    /// The random faults of an operation: those that a command is to survive.
    pub(super) fn survivable(self) -> &'static [Fault] {
        const SHORT: Fault = Fault::Delay(Duration::from_millis(1));
        const BUSY: Fault = Fault::Fails(StoreErrorKind::Busy);
        match self {
            Self::Append => &[
                Fault::UNAVAILABLE,
                BUSY,
                Fault::AnswerLost,
                Fault::RequestLost,
                SHORT,
            ],
            Self::Read => &[Fault::UNAVAILABLE, BUSY, Fault::BreakOff, SHORT],
            Self::FindReceipt | Self::ReadAll => &[Fault::UNAVAILABLE, BUSY, SHORT],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::FindReceipt => "find_receipt",
            Self::ReadAll => "read_all",
        }
    }
}

pub(super) fn store_error(operation: Operation, kind: StoreErrorKind) -> StoreError {
    StoreError::new(operation.name(), kind, "a fault was injected")
}
