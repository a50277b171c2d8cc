//! A stream as a command sees it: its name, its version, its folded state, and perhaps the right to write.

use std::{
    any::{Any, TypeId},
    fmt,
    marker::PhantomData,
    sync::Arc,
};

use super::Fold;
use crate::{
    DecodeError, Event, RecordedEvent, StoredEvent, StreamId, StreamVersion,
    fold_cache::SharedState,
};

/// The right to read and write a stream.
#[derive(Clone, Copy, Debug)]
pub enum Write {}

/// The right to read a stream; what was read is still guarded at commit.
#[derive(Clone, Copy, Debug)]
pub enum ReadOnly {}

/// One stream of the command `C`, folded by `F`, with the access `A`.
///
/// Only the executor makes one, so holding it proves that the stream was declared, read and will be guarded.
pub struct View<C, F, A = Write> {
    pub(super) slot: usize,
    id: StreamId,
    version: StreamVersion,
    state: Arc<F>,
    brand: PhantomData<fn() -> (C, A)>,
}

impl<C, F, A> View<C, F, A> {
    pub(super) fn new(slot: usize, id: StreamId, version: StreamVersion, state: Arc<F>) -> Self {
        Self {
            slot,
            id,
            version,
            state,
            brand: PhantomData,
        }
    }

    /// The name of the stream.
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// Its number of events when it was read.
    pub fn version(&self) -> StreamVersion {
        self.version
    }

    /// What its events amount to. A plain stream has no state of its own.
    // The bound stands here and not on the impl, so that the compiler explains it.
    pub fn state(&self) -> &F
    where
        F: Fold,
    {
        &self.state
    }
}

impl<C, F: fmt::Debug, A> fmt::Debug for View<C, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} {:?}", self.id, self.version, self.state)
    }
}

/// In the place of a fold: the stream's events `E` go into the command's one state.
pub struct Plain<E>(PhantomData<fn() -> E>);

impl<E> fmt::Debug for Plain<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(in the command's state)")
    }
}

/// How a stream's events are taken in: by a [`Fold`], or as [`Plain`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold of a stream's events",
    label = "not a fold",
    note = "implement `Fold` for it: `type Event` and `fn apply(&mut self, event: &StoredEvent<Self::Event>)`"
)]
pub trait StreamState: Send + Sync + 'static + Sized {
    /// What may be written to such a stream.
    type Event: Event;

    /// Where the events go while the stream is read; `None` for the command's one state.
    #[doc(hidden)]
    const FOLD: Option<FoldType>;

    /// What came out; `None` when it is another type's.
    #[doc(hidden)]
    fn from_fold(fold: Option<Box<dyn AnyFold>>) -> Option<Arc<Self>>;
}

/// How to fold for a type that the executor does not know.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct FoldType {
    pub(crate) id: fn() -> TypeId,
    /// From the beginning.
    pub(crate) start: fn() -> Box<dyn AnyFold>,
    /// From a state that was reached before; `None` when it is another type's.
    pub(crate) resume: fn(SharedState) -> Option<Box<dyn AnyFold>>,
}

#[diagnostic::do_not_recommend]
impl<F: Fold> StreamState for F {
    type Event = F::Event;
    const FOLD: Option<FoldType> = Some(FoldType {
        id: TypeId::of::<F>,
        start: || Box::new(Cell(Arc::new(F::default()))),
        resume: |state| Some(Box::new(Cell(state.downcast::<F>().ok()?))),
    });

    fn from_fold(fold: Option<Box<dyn AnyFold>>) -> Option<Arc<Self>> {
        let cell = fold?.into_any().downcast::<Cell<F>>().ok()?;
        Some(cell.0)
    }
}

impl<E: Event> StreamState for Plain<E> {
    type Event = E;
    const FOLD: Option<FoldType> = None;

    fn from_fold(_: Option<Box<dyn AnyFold>>) -> Option<Arc<Self>> {
        Some(Arc::new(Self(PhantomData)))
    }
}

/// A fold of a type that the executor does not know.
#[doc(hidden)]
pub trait AnyFold: Send + Sync {
    fn apply(&mut self, event: RecordedEvent) -> Result<(), DecodeError>;
    fn share(&self) -> SharedState;
    /// The bytes of memory that it takes when so many bytes of payload were folded into it.
    fn weight(&self, folded: usize) -> usize;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// Shared with those who saw the state before, and copied only when one of them still looks at it.
struct Cell<F>(Arc<F>);

impl<F: Fold> AnyFold for Cell<F> {
    fn apply(&mut self, event: RecordedEvent) -> Result<(), DecodeError> {
        let event = StoredEvent::decode(event)?;
        Arc::make_mut(&mut self.0).apply(&event);
        Ok(())
    }

    fn share(&self) -> SharedState {
        Arc::clone(&self.0) as SharedState
    }

    fn weight(&self, folded: usize) -> usize {
        let heap = match self.0.heap_size() {
            Some(told) => told,
            None if std::mem::needs_drop::<F>() => folded,
            None => 0,
        };
        size_of::<F>().saturating_add(heap)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
