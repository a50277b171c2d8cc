//! Positions and versions without holes.

use std::collections::HashMap;

use eventcore::{GlobalPosition, StreamId, StreamVersion};

use super::{Logged, Violation};

pub(super) fn check(log: &[Logged]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut position = GlobalPosition::START;
    let mut versions: HashMap<&StreamId, StreamVersion> = HashMap::new();
    for event in log {
        let expected = position.advanced(1);
        if event.position != expected {
            violations.push(Violation::Position {
                expected,
                found: event.clone(),
            });
        }
        let version = versions.entry(&event.stream).or_default();
        let expected = version.advanced(1);
        if event.version != expected {
            violations.push(Violation::Version {
                expected,
                found: event.clone(),
            });
        }
        // One hole is told once.
        (position, *version) = (event.position, event.version);
    }
    violations
}
