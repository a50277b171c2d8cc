//! What a command did.

use crate::{
    CorrelationId, GlobalPosition, StreamId, StreamVersion,
    store::{AppendReceipt, AppendedEvent},
};

/// What a command that was not refused did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CommandReceipt {
    /// Its events in the order in which they were emitted; empty when it decided that nothing was to do.
    pub events: Vec<AppendedEvent>,
    /// How often it was tried; 0 when it had taken effect before and was not run.
    pub attempts: u32,
    /// The chain that its events belong to.
    pub correlation_id: CorrelationId,
    /// Whether it had taken effect before, under its idempotency key, and this is the first receipt.
    pub replayed: bool,
}

impl CommandReceipt {
    pub(super) fn new(receipt: AppendReceipt, attempts: u32) -> Self {
        Self {
            events: receipt.events,
            attempts,
            correlation_id: receipt.correlation_id,
            replayed: receipt.replayed,
        }
    }

    /// The version that a stream had after the command, if the command wrote to it.
    pub fn version_of(&self, stream: &StreamId) -> Option<StreamVersion> {
        let mut backwards = self.events.iter().rev();
        backwards
            .find(|event| event.stream == *stream)
            .map(|event| event.version)
    }

    /// The streams that the command wrote to and their new versions, each stream once, in the order of writing.
    pub fn versions(&self) -> Vec<(StreamId, StreamVersion)> {
        let mut versions: Vec<(StreamId, StreamVersion)> = Vec::new();
        for event in &self.events {
            match versions
                .iter_mut()
                .find(|(stream, _)| *stream == event.stream)
            {
                Some((_, version)) => *version = event.version,
                None => versions.push((event.stream.clone(), event.version)),
            }
        }
        versions
    }

    /// The place of the last event in the store; wait for it to read one's own write.
    pub fn position(&self) -> Option<GlobalPosition> {
        self.events.last().map(|event| event.position)
    }
}
