//! Whoever is acknowledged before another begins comes first.

use eventcore::GlobalPosition;

use super::{CommandRecord, History, Outcome, Tick, Violation};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let events = history.events_by_command();
    let of = |command: &CommandRecord| events.get(&command.correlation_id).map(Vec::as_slice);
    // By the moment of the end: who of all before had the highest position.
    let mut acknowledged: Vec<(Tick, GlobalPosition, &CommandRecord)> = history
        .commands
        .iter()
        .filter(|command| matches!(command.outcome, Outcome::Acknowledged(_)))
        .filter_map(|command| {
            let last = of(command)?.iter().map(|event| event.position).max()?;
            Some((command.ended?, last, command))
        })
        .collect();
    acknowledged.sort_by_key(|(ended, ..)| *ended);
    for at in 1..acknowledged.len() {
        let (_, highest, who) = acknowledged[at - 1];
        if acknowledged[at].1 < highest {
            (acknowledged[at].1, acknowledged[at].2) = (highest, who);
        }
    }
    let mut violations = Vec::new();
    for command in &history.commands {
        let own = of(command).unwrap_or_default();
        let Some(first) = own.iter().min_by_key(|event| event.position) else {
            continue;
        };
        let before = acknowledged.partition_point(|(ended, ..)| *ended < command.began);
        let last = before
            .checked_sub(1)
            .and_then(|last| acknowledged.get(last));
        if let Some((_, highest, earlier)) = last
            && *highest > first.position
        {
            violations.push(Violation::RealTime {
                earlier: Box::new((*earlier).clone()),
                later: Box::new(command.clone()),
                first: Box::new((*first).clone()),
            });
        }
    }
    violations
}
