//! Which input a store holds: a store belongs to the first one that is replayed into it.

use eventcore::prelude::*;

use super::input::InputId;

/// The name of the stream that says which input a store holds.
pub(crate) const IMPORT_STREAM: &str = "shop:import";

/// What is recorded of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(prefix = "import")]
pub enum ImportEvent {
    /// The replay of an input began.
    Begun {
        /// The digest of its content.
        input: InputId,
        /// How many purchases it has.
        purchases: u64,
    },
}

/// The input that a store holds, if one was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The digest of its content.
    pub input: Option<InputId>,
}

impl Fold for Import {
    type Event = ImportEvent;

    fn apply(&mut self, event: &StoredEvent<ImportEvent>) {
        let ImportEvent::Begun { input, .. } = event.data();
        self.input = Some(*input);
    }
}

/// Claims a store for an input. Doing it again changes nothing; another input's claim is refused.
#[derive(Clone, Debug, Command)]
pub struct BeginImport {
    /// Where it is recorded.
    #[stream(fold = Import)]
    pub import: StreamId,
    /// The digest of the input.
    pub input: InputId,
    /// How many purchases it has.
    pub purchases: u64,
}

/// The store holds the purchases of another input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store holds the purchases of another input (digest {held})")]
pub struct OtherInput {
    /// The digest of the input that it holds.
    pub held: InputId,
}

impl CommandLogic for BeginImport {
    fn handle(
        &self,
        streams: &Streams<Self>,
        events: &mut NewEvents<Self>,
    ) -> Result<(), CommandError> {
        let Self {
            input, purchases, ..
        } = *self;
        match streams.import.state().input {
            None => emit!(events, streams.import => ImportEvent::Begun { input, purchases }),
            Some(held) => require!(held == input, OtherInput { held }),
        }
        Ok(())
    }
}
