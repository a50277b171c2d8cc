//! Streams that a command learns of while it reads.

use std::marker::PhantomData;

use super::{
    CommandError, CommandStreams, LoadedView, ReadOnly, StreamState, View, Write, view::FoldType,
};
use crate::{StreamId, store::AppendBatch};

/// The streams that `discover` named in one place of a command: `#[discover(products, fold = Product)]`.
#[derive(Debug)]
pub struct Discovered<C, F, A = Write> {
    slot: usize,
    name: &'static str,
    views: Vec<View<C, F, A>>,
}

impl<C, F: StreamState, A> Discovered<C, F, A> {
    pub(super) fn new(slot: usize, name: &'static str) -> Self {
        Self {
            slot,
            name,
            views: Vec::new(),
        }
    }

    /// The view of a stream that was named.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotDiscovered`] when `discover` did not name it here, and [`CommandError::InvalidStream`] when
    /// the key has no stream name.
    pub fn get<T>(&self, stream: T) -> Result<&View<C, F, A>, CommandError>
    where
        T: TryInto<StreamId, Error: std::error::Error + Send + Sync + 'static>,
    {
        let stream = named(self.name, stream)?;
        match self.views.iter().find(|view| *view.id() == stream) {
            Some(view) => Ok(view),
            None => Err(CommandError::NotDiscovered {
                stream,
                place: self.name,
            }),
        }
    }

    /// All of them, in the order in which they were named.
    pub fn iter(&self) -> std::slice::Iter<'_, View<C, F, A>> {
        self.views.iter()
    }

    #[doc(hidden)]
    pub fn add(&mut self, view: LoadedView) -> Result<(), CommandError> {
        self.views.push(view.typed()?);
        Ok(())
    }
}

impl<'a, C, F: StreamState, A> IntoIterator for &'a Discovered<C, F, A> {
    type Item = &'a View<C, F, A>;
    type IntoIter = std::slice::Iter<'a, View<C, F, A>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What the access of a view means to the executor.
trait Access {
    const WRITABLE: bool;
}

impl Access for Write {
    const WRITABLE: bool = true;
}

impl Access for ReadOnly {
    const WRITABLE: bool = false;
}

/// Collects the streams that [`CommandLogic::discover`](crate::CommandLogic::discover) names.
pub struct Discovery<C> {
    known: Vec<(StreamId, &'static str)>,
    pub(crate) found: Vec<Found>,
    brand: PhantomData<fn() -> C>,
}

pub(crate) struct Found {
    pub(crate) id: StreamId,
    pub(crate) slot: usize,
    pub(crate) field: &'static str,
    pub(crate) writable: bool,
    pub(crate) fold: Option<FoldType>,
}

impl<C> std::fmt::Debug for Discovery<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let found: Vec<_> = self.found.iter().map(|found| &found.id).collect();
        f.debug_struct("Discovery")
            .field("found", &found)
            .finish_non_exhaustive()
    }
}

impl<C: CommandStreams> Discovery<C> {
    pub(crate) fn new(known: Vec<(StreamId, &'static str)>) -> Self {
        Self {
            known,
            found: Vec::new(),
            brand: PhantomData,
        }
    }

    /// Names a stream to be read into this place; naming it there again changes nothing.
    ///
    /// # Errors
    ///
    /// [`CommandError::DuplicateStream`] when the command has the stream in another place already, and
    /// [`CommandError::InvalidStream`] when the key has no stream name.
    #[expect(private_bounds, reason = "the two kinds of access are all there are")]
    pub fn read<T, F, A>(
        &mut self,
        place: &Discovered<C, F, A>,
        stream: T,
    ) -> Result<(), CommandError>
    where
        T: TryInto<StreamId, Error: std::error::Error + Send + Sync + 'static>,
        F: StreamState,
        A: Access,
    {
        let id = named(place.name, stream)?;
        let found = self.found.iter().map(|found| (&found.id, found.field));
        let known = self.known.iter().map(|(id, field)| (id, *field));
        if let Some((_, first)) = known.chain(found).find(|(known, _)| **known == id) {
            if first == place.name {
                return Ok(());
            }
            return Err(CommandError::DuplicateStream {
                stream: id,
                first,
                second: place.name,
            });
        }
        if self.known.len() + self.found.len() >= AppendBatch::MAX_STREAMS {
            return Err(CommandError::TooManyStreams {
                limit: AppendBatch::MAX_STREAMS,
            });
        }
        self.found.push(Found {
            id,
            slot: place.slot,
            field: place.name,
            writable: A::WRITABLE,
            fold: F::FOLD,
        });
        Ok(())
    }
}

fn named<T>(field: &'static str, stream: T) -> Result<StreamId, CommandError>
where
    T: TryInto<StreamId, Error: std::error::Error + Send + Sync + 'static>,
{
    stream
        .try_into()
        .map_err(|source| CommandError::InvalidStream {
            field,
            source: Box::new(source),
        })
}
