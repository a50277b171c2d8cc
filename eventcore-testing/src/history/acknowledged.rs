//! What was told is what is there: once, whole, in its place.

use std::collections::{HashMap, HashSet};

use eventcore::{EventId, store::AppendedEvent};

use super::{CommandRecord, History, Logged, Outcome, Violation};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let by_id: HashMap<EventId, &Logged> =
        history.log.iter().map(|event| (event.id, event)).collect();
    let events = history.events_by_command();
    let mut violations = Vec::new();
    for command in &history.commands {
        let own = events
            .get(&command.correlation_id)
            .map_or(&[][..], Vec::as_slice);
        match &command.outcome {
            Outcome::Acknowledged(told) => {
                violations.extend(lost(command, told, &by_id));
                violations.extend(too_many(command, told, own));
            }
            Outcome::Rejected | Outcome::Failed(_) => {
                violations.extend((!own.is_empty()).then(|| Violation::Denied {
                    command: Box::new(command.clone()),
                    events: cloned(own),
                }));
            }
            Outcome::Unknown => violations.extend(once_or_never(command, own)),
        }
    }
    violations
}

fn cloned(events: &[&Logged]) -> Vec<Logged> {
    events.iter().map(|event| (*event).clone()).collect()
}

fn lost<'v>(
    command: &'v CommandRecord,
    told: &'v [AppendedEvent],
    by_id: &'v HashMap<EventId, &Logged>,
) -> impl Iterator<Item = Violation> + use<'v> {
    told.iter().filter_map(|told| {
        let found = by_id.get(&told.id).copied();
        if found.is_some_and(|found| found.is(told)) {
            return None;
        }
        Some(Violation::Lost {
            command: Box::new(command.clone()),
            told: told.clone(),
            found: found.map(|found| Box::new(found.clone())),
        })
    })
}

fn too_many(command: &CommandRecord, told: &[AppendedEvent], own: &[&Logged]) -> Option<Violation> {
    let known: HashSet<EventId> = told.iter().map(|event| event.id).collect();
    let extra = own.len() > known.len() || own.iter().any(|event| !known.contains(&event.id));
    if extra {
        return Some(Violation::Doubled {
            command: Box::new(command.clone()),
            events: cloned(own),
        });
    }
    (!is_adjacent(own)).then(|| torn(command, own))
}

/// All of one append stands side by side.
fn is_adjacent(own: &[&Logged]) -> bool {
    own.windows(2)
        .all(|pair| pair[0].position.advanced(1) == pair[1].position)
}

fn torn(command: &CommandRecord, own: &[&Logged]) -> Violation {
    Violation::Torn {
        command: Box::new(command.clone()),
        events: cloned(own),
    }
}

fn once_or_never(command: &CommandRecord, own: &[&Logged]) -> Option<Violation> {
    let ids: HashSet<EventId> = own.iter().map(|event| event.id).collect();
    let most = command
        .decisions
        .iter()
        .map(|decision| decision.events)
        .max();
    if ids.len() < own.len() || own.len() > most.unwrap_or(own.len()) {
        return Some(Violation::Doubled {
            command: Box::new(command.clone()),
            events: cloned(own),
        });
    }
    let whole = |decision: &super::Decision| decision.events == own.len();
    let known = own.is_empty() || command.decisions.iter().any(whole);
    (!known || !is_adjacent(own)).then(|| torn(command, own))
}
