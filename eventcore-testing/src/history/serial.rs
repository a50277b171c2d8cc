//! Positions as the witness of a serial order.

use std::collections::HashMap;

use eventcore::{GlobalPosition, StreamId, StreamVersion};

use super::{CommandRecord, Decision, History, Logged, Outcome, Tick, Violation};

/// Where each stream was, at any position.
struct Streams<'h>(HashMap<&'h StreamId, Vec<(GlobalPosition, StreamVersion)>>);

impl<'h> Streams<'h> {
    fn of(log: &'h [Logged]) -> Self {
        let mut streams: HashMap<_, Vec<_>> = HashMap::new();
        for event in log {
            let stream = streams.entry(&event.stream).or_default();
            stream.push((event.position, event.version));
        }
        for events in streams.values_mut() {
            events.sort_unstable();
        }
        Self(streams)
    }

    fn events(&self, stream: &StreamId) -> &[(GlobalPosition, StreamVersion)] {
        self.0.get(stream).map_or(&[], Vec::as_slice)
    }

    /// The version just before this position.
    fn before(&self, stream: &StreamId, position: GlobalPosition) -> StreamVersion {
        let events = self.events(stream);
        let earlier = events.partition_point(|(at, _)| *at < position);
        let last = earlier.checked_sub(1).and_then(|last| events.get(last));
        last.map_or(StreamVersion::EMPTY, |(_, version)| *version)
    }

    /// The positions of the log's end at which a stream was at this version: from the first, and before the second.
    fn span(
        &self,
        stream: &StreamId,
        version: StreamVersion,
    ) -> Option<(GlobalPosition, Option<GlobalPosition>)> {
        let events = self.events(stream);
        let at = |version| events.iter().position(|(_, known)| *known == version);
        if version.is_empty() {
            return Some((GlobalPosition::START, events.first().map(|(end, _)| *end)));
        }
        let index = at(version)?;
        let end = events.get(index + 1).map(|(end, _)| *end);
        Some((events[index].0, end))
    }
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let streams = Streams::of(&history.log);
    let events = history.events_by_command();
    let known = Known::of(history, &events);
    let mut violations = Vec::new();
    for command in &history.commands {
        let own = events.get(&command.correlation_id);
        let first = own.and_then(|events| events.iter().map(|event| event.position).min());
        match (first, &command.outcome) {
            (Some(first), _) => {
                let count = own.map_or(0, Vec::len);
                violations.extend(took_effect(command, first, count, &streams));
            }
            (None, Outcome::Rejected) => {
                violations.extend(changed_nothing(command, &streams, &known));
            }
            (None, Outcome::Acknowledged(told)) if told.is_empty() => {
                violations.extend(changed_nothing(command, &streams, &known));
            }
            // Lost events are another checker's; who failed has decided nothing that counts.
            _ => {}
        }
    }
    violations
}

/// One of its decisions must be on what was there just before its first event. Any one will do: a stream's version
/// never falls, so what an earlier attempt saw cannot be there again after a later attempt saw more.
fn took_effect(
    command: &CommandRecord,
    first: GlobalPosition,
    events: usize,
    streams: &Streams<'_>,
) -> Option<Violation> {
    let wrong = |decision: &Decision| {
        let mut saw = decision.saw.iter();
        saw.find_map(|(stream, version)| {
            let was = streams.before(stream, first);
            (was != *version).then(|| (stream.clone(), was))
        })
    };
    let emitted = |decision: &&Decision| decision.events > 0;
    let decisions: Vec<&Decision> = command.decisions.iter().filter(emitted).collect();
    let fits = |decision: &&Decision| decision.events == events && wrong(decision).is_none();
    if decisions.iter().any(fits) {
        return None;
    }
    let command = Box::new(command.clone());
    match decisions.iter().rev().find_map(|decision| wrong(decision)) {
        Some((stream, was)) => Some(Violation::NotSerial {
            command,
            position: first,
            stream,
            was,
        }),
        // With another number of events on a good view it is torn, which is another checker's.
        None if !decisions.is_empty() => None,
        None => Some(Violation::NothingSeen { command }),
    }
}

/// There must have been a moment of its life at which all that its last decision saw held.
fn changed_nothing(
    command: &CommandRecord,
    streams: &Streams<'_>,
    known: &Known,
) -> Option<Violation> {
    let boxed = || Box::new(command.clone());
    let Some(decision) = command.decisions.last().filter(|last| last.events == 0) else {
        return Some(Violation::NothingSeen { command: boxed() });
    };
    let (from, until) = (
        known.end_at_least(command.began),
        known.end_at_most(command.ended),
    );
    let (mut low, mut high) = (from, until);
    let mut never = false;
    for (stream, version) in &decision.saw {
        match streams.span(stream, *version) {
            None => never = true,
            Some((begin, end)) => {
                low = low.max(begin);
                if let Some(end) = end {
                    high = high.min(before(end));
                }
            }
        }
    }
    let low = known.no_sooner_than(low);
    (never || low > high).then(|| Violation::NoSuchView {
        command: boxed(),
        from,
        until,
    })
}

fn before(position: GlobalPosition) -> GlobalPosition {
    GlobalPosition::try_new(position.get().saturating_sub(1)).unwrap_or_default()
}

/// What acknowledgements tell about where the log ended at a moment.
struct Known {
    /// By the moment of acknowledgement: the highest position so far.
    acknowledged: Vec<(Tick, GlobalPosition)>,
    /// By the moment of beginning, from the last: the lowest position of those that began then or later.
    begun: Vec<(Tick, GlobalPosition)>,
    /// First and last positions of commands with several events, ascending.
    wide: Vec<(GlobalPosition, GlobalPosition)>,
    end: GlobalPosition,
}

impl Known {
    fn of(history: &History, events: &HashMap<eventcore::CorrelationId, Vec<&Logged>>) -> Self {
        let (mut acknowledged, mut begun, mut wide) = (Vec::new(), Vec::new(), Vec::new());
        for command in &history.commands {
            let own = events
                .get(&command.correlation_id)
                .map_or(&[][..], Vec::as_slice);
            let positions = || own.iter().map(|event| event.position);
            if let (Some(ended), Outcome::Acknowledged(_), Some(last)) =
                (command.ended, &command.outcome, positions().max())
            {
                acknowledged.push((ended, last));
            }
            if let (Some(first), Some(last)) = (positions().min(), positions().max()) {
                begun.push((command.began, first));
                // One that is torn is another checker's.
                if last.get() - first.get() + 1 == own.len() as u64 {
                    wide.push((first, last));
                }
            }
        }
        wide.sort_unstable();
        acknowledged.sort_unstable();
        let mut highest = GlobalPosition::START;
        for (_, position) in &mut acknowledged {
            highest = highest.max(*position);
            *position = highest;
        }
        begun.sort_unstable();
        let mut lowest = None;
        for (_, position) in begun.iter_mut().rev() {
            let known = lowest.map_or(*position, |lowest: GlobalPosition| lowest.min(*position));
            lowest = Some(known);
            *position = known;
        }
        let end = history.log.iter().map(|event| event.position).max();
        Self {
            acknowledged,
            begun,
            wide,
            end: end.unwrap_or_default(),
        }
    }

    /// The next end of the log, from this one on, that could be seen: not in the midst of a command's events, which
    /// became visible together.
    fn no_sooner_than(&self, end: GlobalPosition) -> GlobalPosition {
        let begun = self.wide.partition_point(|(first, _)| *first <= end);
        let around = begun
            .checked_sub(1)
            .and_then(|around| self.wide.get(around));
        around.map_or(end, |(_, last)| end.max(*last))
    }

    fn end_at_least(&self, moment: Tick) -> GlobalPosition {
        let count = self
            .acknowledged
            .partition_point(|(ended, _)| *ended < moment);
        let last = count
            .checked_sub(1)
            .and_then(|last| self.acknowledged.get(last));
        last.map_or(GlobalPosition::START, |(_, position)| *position)
    }

    fn end_at_most(&self, moment: Option<Tick>) -> GlobalPosition {
        let Some(moment) = moment else {
            return self.end;
        };
        let later = self.begun.partition_point(|(began, _)| *began <= moment);
        self.begun
            .get(later)
            .map_or(self.end, |(_, position)| before(*position))
    }
}
