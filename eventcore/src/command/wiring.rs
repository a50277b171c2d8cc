//! What `#[derive(Command)]` and the executor say to each other. No application calls any of it.
#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "hidden from the documentation"
)]

use std::collections::HashSet;

use super::{AnyFold, CommandError, Discovered, Fingerprint, StreamState, View, view::FoldType};
use crate::{DecodeError, RecordedEvent, StreamField, StreamId, StreamVersion};

/// The streams of a command. Made by `#[derive(Command)]`, not by hand: all but the name of the views is between the
/// derive and the executor.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not declare its streams",
    note = "put `#[derive(Command)]` on it and `#[stream(fold = ...)]` on the fields that name streams"
)]
pub trait CommandStreams: Sized + Send + Sync {
    /// One view per declared stream, in a field of the same name.
    type Streams: Send + Sync;
    /// `CommandState::State`, or `()`.
    #[doc(hidden)]
    type Whole: Default + Send + Sync;

    /// The command's name, for errors and traces.
    const NAME: &'static str;
    /// Whether the name was given, so that it stays when the type is renamed or moved.
    #[doc(hidden)]
    const IS_NAMED: bool;
    /// Whether there is anything that `discover` could name.
    #[doc(hidden)]
    const DISCOVERS: bool;
    /// Whether `discover` can name plain streams.
    #[doc(hidden)]
    const DISCOVERS_PLAIN: bool;

    #[doc(hidden)]
    fn declare(&self, streams: &mut Declarations) -> Result<(), CommandError>;
    #[doc(hidden)]
    fn assemble(loaded: &mut Loaded, whole: Self::Whole) -> Result<Self::Streams, CommandError>;
    #[doc(hidden)]
    fn apply_whole(&self, state: &mut Self::Whole, event: RecordedEvent)
    -> Result<(), DecodeError>;
    #[doc(hidden)]
    fn set_whole(streams: &mut Self::Streams, state: Self::Whole);
    #[doc(hidden)]
    fn add_discovered(
        streams: &mut Self::Streams,
        slot: usize,
        view: LoadedView,
    ) -> Result<(), CommandError>;
    #[doc(hidden)]
    fn fingerprint(&self, digest: &mut Fingerprint);
}

/// The streams that a command names, in the order of its fields.
#[derive(Debug, Default)]
pub struct Declarations {
    pub(crate) streams: Vec<Declared>,
    fields: Vec<usize>,
}

/// One stream to read.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) id: StreamId,
    pub(crate) field: &'static str,
    pub(crate) writable: bool,
    pub(crate) fold: Option<FoldType>,
}

impl Declarations {
    /// Takes in the streams of a field.
    pub fn field<T: StreamField, F: StreamState>(
        &mut self,
        field: &'static str,
        writable: bool,
        value: &T,
    ) -> Result<(), CommandError> {
        let before = self.streams.len();
        let mut failure = None;
        value.each(&mut |named| match named {
            Ok(id) => self.streams.push(Declared {
                id,
                field,
                writable,
                fold: F::FOLD,
            }),
            Err(source) => failure = failure.take().or(Some(source)),
        });
        if let Some(source) = failure {
            return Err(CommandError::InvalidStream { field, source });
        }
        self.fields.push(self.streams.len() - before);
        Ok(())
    }

    /// Two views of one stream would each lack what the command adds through the other: refused.
    pub(crate) fn refuse_duplicates(&self) -> Result<(), CommandError> {
        let duplicate = |first: &Declared, second: &Declared| CommandError::DuplicateStream {
            stream: first.id.clone(),
            first: first.field,
            second: second.field,
        };
        if self.streams.len() <= 8 {
            for (index, second) in self.streams.iter().enumerate() {
                let mut before = self.streams[..index].iter();
                if let Some(first) = before.find(|first| first.id == second.id) {
                    return Err(duplicate(first, second));
                }
            }
            return Ok(());
        }
        let mut seen: HashSet<&StreamId> = HashSet::with_capacity(self.streams.len());
        for second in &self.streams {
            if !seen.insert(&second.id) {
                let first = self.streams.iter().find(|first| first.id == second.id);
                return Err(duplicate(first.unwrap_or(second), second));
            }
        }
        Ok(())
    }

    pub(crate) fn loaded(&self, views: Vec<LoadedView>) -> Loaded {
        Loaded {
            views: views.into_iter(),
            fields: self.fields.clone().into_iter(),
        }
    }
}

/// The declared streams after reading, on their way into the views.
#[derive(Debug)]
pub struct Loaded {
    views: std::vec::IntoIter<LoadedView>,
    fields: std::vec::IntoIter<usize>,
}

/// A stream after reading, its fold still of unknown type.
pub struct LoadedView {
    pub(crate) slot: usize,
    pub(crate) id: StreamId,
    pub(crate) version: StreamVersion,
    pub(crate) fold: Option<Box<dyn AnyFold>>,
}

impl std::fmt::Debug for LoadedView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

impl LoadedView {
    pub(super) fn typed<C, F: StreamState, A>(self) -> Result<View<C, F, A>, CommandError> {
        let state = F::from_fold(self.fold).ok_or(MISWIRED)?;
        Ok(View::new(self.slot, self.id, self.version, state))
    }
}

impl Loaded {
    /// The views of the next field.
    pub fn field<C, T: StreamField, F: StreamState, A>(
        &mut self,
    ) -> Result<T::Views<View<C, F, A>>, CommandError> {
        let count = self.fields.next().ok_or(MISWIRED)?;
        let views = self.views.by_ref().take(count);
        let typed = views.map(LoadedView::typed).collect::<Result<_, _>>()?;
        T::arrange(typed).ok_or(MISWIRED)
    }

    /// The place for streams that `discover` will name.
    pub fn discovered<C, F: StreamState, A>(
        &self,
        slot: usize,
        name: &'static str,
    ) -> Discovered<C, F, A> {
        Discovered::new(slot, name)
    }
}

const MISWIRED: CommandError = CommandError::Miswired;
