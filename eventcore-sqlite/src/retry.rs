//! What follows when the disk fails a commit.

use std::{
    thread,
    time::{Duration, Instant},
};

use eventcore::store::{AppendError, StoreError};

use crate::append::Verdict;

/// The pause after the first commit that the disk failed, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Why a transaction was not committed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One of the group spoiled it; the others may do without it.
    One(StoreError),
    /// It could not begin, or not end: the same for all of them, also if they tried again.
    All(StoreError),
    /// The disk failed while it was being committed.
    Unknown(StoreError),
}

/// Repeats a transaction whose commit the disk failed, until the time is up.
///
/// In WAL mode nothing of a failed commit is seen, and the next commit that succeeds overwrites what it left in the
/// log. Only if the log is recovered before that, after a crash of all, what was left may come to light. So after the
/// first failure nothing but success is certain.
pub(crate) fn again_after_failed_commits(
    until: Instant,
    mut transact: impl FnMut(Instant) -> Result<Vec<Verdict>, Failure>,
) -> Result<Vec<Verdict>, Failure> {
    let mut cause = match transact(until) {
        Err(Failure::Unknown(cause)) => cause,
        certain => return certain,
    };
    let [mut pause, longest] = PAUSES;
    while Instant::now() + pause < until {
        tracing::warn!(error = %cause, "the commit failed, it is tried again");
        thread::sleep(pause);
        pause = longest.min(2 * pause);
        match transact(until) {
            Ok(verdicts) => return Ok(verdicts.into_iter().map(|it| doubt(it, &cause)).collect()),
            Err(Failure::Unknown(again)) => cause = again,
            Err(Failure::One(other) | Failure::All(other)) => {
                return Err(Failure::Unknown(other));
            }
        }
    }
    Err(Failure::Unknown(cause))
}

/// A stream that has moved since the failed commit may have been moved by it.
fn doubt(verdict: Verdict, cause: &StoreError) -> Verdict {
    match verdict {
        Err(AppendError::Conflict(_)) => Err(AppendError::OutcomeUnknown(cause.clone())),
        certain => certain,
    }
}

#[cfg(test)]
mod tests {
    use eventcore::{
        StreamVersion,
        store::{AppendReceipt, Conflict, StoreErrorKind, StreamConflict},
    };
    use uuid::Uuid;

    use super::*;

    fn failed() -> StoreError {
        StoreError::new("commit", StoreErrorKind::Other, "disk I/O error")
    }

    fn receipt() -> AppendReceipt {
        AppendReceipt {
            events: Vec::new(),
            correlation_id: Uuid::nil().into(),
            replayed: false,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_mins(10)
    }

    /// Runs a transaction whose first commits fail, and gives the result and how often it was run.
    fn run(
        fails: usize,
        until: Instant,
        then: impl Fn() -> Result<Vec<Verdict>, Failure>,
    ) -> (Result<Vec<Verdict>, Failure>, usize) {
        let mut runs = 0;
        let result = again_after_failed_commits(until, |_| {
            runs += 1;
            if runs > fails {
                then()
            } else {
                Err(Failure::Unknown(failed()))
            }
        });
        (result, runs)
    }

    #[test]
    fn a_commit_that_the_disk_fails_for_a_moment_is_done_all_the_same() {
        let (result, runs) = run(3, late(), || Ok(vec![Ok(receipt())]));
        assert!(matches!(result.as_deref(), Ok([Ok(_)])), "{result:?}");
        assert_eq!(runs, 4);
    }

    #[test]
    fn a_commit_that_the_disk_fails_again_and_again_is_unknown_in_the_end() {
        let (result, runs) = run(usize::MAX, soon(), || Ok(Vec::new()));
        assert!(matches!(result, Err(Failure::Unknown(_))), "{result:?}");
        assert!(runs > 1);
    }

    #[test]
    fn what_is_certain_at_once_is_not_tried_again() {
        for failure in [Failure::One, Failure::All] {
            let (result, runs) = run(0, late(), || Err(failure(failed())));
            let certain = matches!(result, Err(Failure::One(_) | Failure::All(_)));
            assert!(certain && runs == 1, "{result:?}");
        }
    }

    #[test]
    fn after_a_failed_commit_no_other_failure_is_certain() {
        for failure in [Failure::One, Failure::All] {
            let (result, _) = run(1, late(), || Err(failure(failed())));
            assert!(matches!(result, Err(Failure::Unknown(_))), "{result:?}");
        }
    }

    #[test]
    fn after_a_failed_commit_a_conflict_may_be_with_its_own_events() {
        let conflict = || {
            let moved = StreamConflict {
                stream: "a".parse().ok()?,
                expected: StreamVersion::EMPTY,
                actual: StreamVersion::EMPTY.advanced(1),
            };
            Conflict::new(vec![moved])
        };
        let verdicts = || {
            let conflict = conflict().ok_or_else(|| Failure::All(failed()))?;
            Ok(vec![Err(conflict.into()), Ok(receipt())])
        };
        let (result, _) = run(0, late(), verdicts);
        assert!(
            matches!(
                result.as_deref(),
                Ok([Err(AppendError::Conflict(_)), Ok(_)])
            ),
            "{result:?}"
        );
        let (result, _) = run(1, late(), verdicts);
        assert!(
            matches!(
                result.as_deref(),
                Ok([Err(AppendError::OutcomeUnknown(_)), Ok(_)])
            ),
            "{result:?}"
        );
    }
}
