//! Histories made by hand.

use std::collections::HashMap;

use eventcore::{
    CorrelationId, EventId, GlobalPosition, StreamId, StreamVersion, store::AppendedEvent,
};
pub(crate) use eventcore_testing::history::History;
use eventcore_testing::history::{CommandRecord, Decision, Logged, Outcome, Tick};

#[derive(Default)]
pub(crate) struct Made {
    pub(crate) commands: Vec<MadeCommand>,
}

pub(crate) struct MadeCommand {
    pub(crate) record: CommandRecord,
    events: Vec<AppendedEvent>,
}

pub(crate) fn unknown_id() -> EventId {
    EventId::generate()
}

fn stream(name: &str) -> StreamId {
    StreamId::try_new(name).unwrap()
}

fn position(number: u64) -> GlobalPosition {
    GlobalPosition::try_new(number).unwrap()
}

impl Made {
    pub(crate) fn command(&mut self, label: &str, began: u64, ended: u64) -> &mut MadeCommand {
        self.commands.push(MadeCommand {
            record: CommandRecord {
                label: label.to_owned(),
                correlation_id: CorrelationId::generate(),
                began: Tick(began),
                ended: Some(Tick(ended)),
                decisions: vec![Decision {
                    saw: Vec::new(),
                    events: 0,
                }],
                outcome: Outcome::Unknown,
            },
            events: Vec::new(),
        });
        self.commands.last_mut().unwrap()
    }

    /// The events of a command once more, at the end.
    pub(crate) fn repeat(&mut self, label: &str, new_ids: bool) {
        let found = self
            .commands
            .iter_mut()
            .find(|made| made.record.label == label);
        let made = found.unwrap();
        for mut event in made.events.clone() {
            if new_ids {
                event.id = unknown_id();
            }
            made.events.push(event);
        }
    }

    /// The events at these positions, one after the other as the commands were made.
    pub(crate) fn with_positions(mut self, positions: &[u64]) -> History {
        let events = self.commands.iter_mut().flat_map(|made| &mut made.events);
        for (event, number) in events.zip(positions) {
            event.position = position(*number);
        }
        self.finish()
    }

    /// In the order in which the commands were made.
    pub(crate) fn history(self) -> History {
        let labels: Vec<String> = self
            .commands
            .iter()
            .map(|c| c.record.label.clone())
            .collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.in_order(&labels)
    }

    /// In the order of these labels.
    pub(crate) fn in_order(mut self, labels: &[&str]) -> History {
        let mut number = 0;
        for label in labels {
            let mut commands = self.commands.iter_mut();
            let made = commands.find(|made| made.record.label == *label).unwrap();
            for event in &mut made.events {
                number += 1;
                event.position = position(number);
            }
        }
        self.finish()
    }

    fn finish(mut self) -> History {
        let events = self.commands.iter_mut().flat_map(|made| &mut made.events);
        let mut events: Vec<_> = events.collect();
        events.sort_by_key(|event| event.position);
        let mut versions: HashMap<StreamId, StreamVersion> = HashMap::new();
        for event in events {
            let version = versions.entry(event.stream.clone()).or_default();
            *version = version.advanced(1);
            event.version = *version;
        }
        let mut log = Vec::new();
        for MadeCommand { record, events } in &mut self.commands {
            log.extend(events.iter().map(|event| Logged {
                position: event.position,
                stream: event.stream.clone(),
                version: event.version,
                id: event.id,
                correlation_id: record.correlation_id,
            }));
            if let Outcome::Acknowledged(told) = &mut record.outcome {
                // It was told what is there, changes by the test apart.
                for (told, event) in told.iter_mut().zip(events.iter()) {
                    let moved = told.position;
                    *told = event.clone();
                    told.position = told.position.advanced(moved.get());
                }
            }
        }
        log.sort_by_key(|event| event.position);
        let commands = self.commands.into_iter().map(|made| made.record);
        History::new(commands.collect(), log)
    }
}

impl MadeCommand {
    pub(crate) fn saw(&mut self, name: &str, version: u64) -> &mut Self {
        let decision = self.record.decisions.last_mut().unwrap();
        let version = StreamVersion::try_new(version).unwrap();
        decision.saw.push((stream(name), version));
        self
    }

    /// That attempt came to nothing, another follows.
    pub(crate) fn again(&mut self) -> &mut Self {
        self.record.decisions.last_mut().unwrap().events = 1;
        self.record.decisions.push(Decision {
            saw: Vec::new(),
            events: 0,
        });
        self
    }

    /// One event for each, and an acknowledgement.
    pub(crate) fn wrote(&mut self, streams: &[&str]) -> &mut Self {
        self.record.decisions.last_mut().unwrap().events = streams.len();
        self.events = streams
            .iter()
            .map(|name| AppendedEvent {
                id: EventId::generate(),
                stream: stream(name),
                version: StreamVersion::EMPTY,
                position: GlobalPosition::START,
            })
            .collect();
        self.outcome(Outcome::Acknowledged(self.events.clone()));
        self
    }

    pub(crate) fn rejected(&mut self) {
        self.outcome(Outcome::Rejected);
    }

    pub(crate) fn nothing_to_do(&mut self) {
        self.outcome(Outcome::Acknowledged(Vec::new()));
    }

    pub(crate) fn outcome(&mut self, outcome: Outcome) {
        self.record.outcome = outcome;
    }
}
