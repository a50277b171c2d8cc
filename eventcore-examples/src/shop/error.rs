//! Why the shop could not do its work.

use std::path::PathBuf;

use eventcore::{
    CommandError, IdError, StreamIdError, StreamNameError,
    projection::{DocumentError, ProjectionError, ProjectionNameError, ProjectionStoreError},
    store::{ReadError, StoreError},
};

use super::{InputError, InputId};

/// Why the shop could not do its work. Whatever was recorded before stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShopError {
    /// The input is of no use; nothing was written.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is no store to write to.
    #[error("the store {store} cannot be used")]
    Open {
        /// What was asked for.
        store: String,
        /// Why.
        source: StoreError,
    },
    /// There is no store to look at.
    #[error("there is no store {store}; `shop --store {store}` makes it")]
    NoStore {
        /// What was asked for.
        store: String,
    },
    /// The file with the read models is of no use.
    #[error(
        "the read models in {path} cannot be used. They can be made anew from the log: delete that file",
        path = path.display()
    )]
    OpenViews {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The read models were made from another log, say of a store that was deleted or replaced since; nothing was
    /// written.
    #[error(
        "the read models of the store {store} were made from another log than the one that is there now. \
         `--rebuild` makes them anew from this log. Nothing was written"
    )]
    OtherLog {
        /// What was asked for.
        store: String,
        /// How that shows.
        source: ProjectionError,
    },
    /// The read models do not get started.
    #[error("the read models of the store {store} do not get started: {reason}")]
    NotLed {
        /// What was asked for.
        store: String,
        /// Why, as far as that is known.
        reason: String,
    },
    /// The read models do not run.
    #[error("the read models failed")]
    Projection(#[from] ProjectionError),
    /// The store of the read models failed.
    #[error("the store of the read models failed")]
    ProjectionStore(#[from] ProjectionStoreError),
    /// A read model has a wrong name.
    #[error("a read model has a wrong name")]
    ProjectionName(#[from] ProjectionNameError),
    /// The documents of a read model cannot be read.
    #[error("the read models cannot be read")]
    Document(#[from] DocumentError),
    /// Somebody else writes and writes.
    #[error(
        "another process writes to the store {store}, and a report is of a moment at which nobody does. \
         `shop watch` shows what moves; try again when it is done"
    )]
    Restless {
        /// What was asked for.
        store: String,
    },
    /// The store belongs to another input; nothing was written.
    #[error(
        "the store {store} holds the purchases of another input. Name another store, or the input it was begun with. \
         Nothing was written.\n  digest of the input it holds: {held}\n  digest of this input:         {wanted}"
    )]
    OtherInput {
        /// What was asked for.
        store: String,
        /// The digest of what is there.
        held: InputId,
        /// The digest of what was to come.
        wanted: InputId,
    },
    /// The store has purchases, and nothing says of which input; nothing was written.
    #[error(
        "the store {store} holds purchases, and no import was ever begun in it. Name another store. Nothing was written."
    )]
    Unclaimed {
        /// What was asked for.
        store: String,
    },
    /// The store cannot be read, or holds an event that is not the shop's.
    #[error("the log in the store cannot be read")]
    Read(#[from] ReadError),
    /// The store holds a stream with a name that is not the shop's.
    #[error("the log in the store has an event of the shop in a stream that is not")]
    Stream(#[from] StreamNameError),
    /// A purchase could not be recorded, for a reason that is none of the shop's rules.
    #[error("the purchase of line {line} could not be recorded")]
    Purchase {
        /// The line of the input.
        line: u32,
        /// Why.
        source: CommandError,
    },
    /// The store could not be claimed for the input.
    #[error("the import could not begin")]
    Begin(#[source] CommandError),
    /// A name that the shop made up is not one.
    #[error("a stream has a wrong name")]
    Name(#[from] StreamIdError),
    /// A key that the shop made up is not one.
    #[error("a purchase has a wrong key")]
    Key(#[from] IdError),
    /// The system refused something else.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// A mistake in this program.
    #[error("a mistake in this program: {0}")]
    Bug(&'static str),
}

impl ShopError {
    /// Whether purchases may have been recorded before it.
    pub(crate) fn is_midway(&self) -> bool {
        matches!(self, Self::Purchase { .. })
    }
}

/// An error and what is behind it, in one text.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some errors repeat what is behind them.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
