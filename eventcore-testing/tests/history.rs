//! Each checker of a history catches its own violation, and lets good histories pass.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "history/made.rs"]
mod made;
#[path = "history/recorded.rs"]
mod recorded;

use eventcore_testing::history::{Outcome, Violation, Violations};
use made::{History, Made, unknown_id};

/// The only thing that is wrong.
fn only(checked: Result<(), Violations>) -> Violation {
    let violations = checked.unwrap_err();
    let [violation] = violations.all() else {
        panic!("one violation was expected: {violations}")
    };
    violation.clone()
}

/// Two accounts, some commands one after the other, each on what was there.
fn good() -> Made {
    let mut made = Made::default();
    made.command("open a", 1, 2).saw("a", 0).wrote(&["a"]);
    made.command("open b", 3, 4).saw("b", 0).wrote(&["b"]);
    made.command("a to b", 5, 6)
        .saw("a", 1)
        .saw("b", 1)
        .wrote(&["a", "b"]);
    made.command("close a", 7, 8)
        .saw("a", 2)
        .saw("limits", 0)
        .rejected();
    made.command("look", 9, 10).saw("b", 2).nothing_to_do();
    made.command("b to a", 11, 12)
        .saw("b", 2)
        .saw("a", 2)
        .wrote(&["b", "b", "a"]);
    made
}

#[test]
fn a_good_history_passes_all_checks() {
    let history = good().history();
    history.check().unwrap();
    assert_eq!(history.foreign_events(), 0);
}

#[test]
fn commands_at_the_same_time_may_take_effect_in_any_order() {
    let mut made = Made::default();
    made.command("first", 1, 9).saw("a", 1).wrote(&["a"]);
    made.command("second", 2, 8).saw("a", 0).wrote(&["a"]);
    let history = made.in_order(&["second", "first"]);
    history.check().unwrap();
}

mod the_log {
    use super::*;

    #[test]
    fn a_hole_is_found() {
        let mut history = good().history();
        let far = history.log[3].position.advanced(5);
        history.log[5].position = far;
        let violations = history.check_log().unwrap_err();
        let Violation::Position { expected, found } = &violations.all()[0] else {
            panic!("{violations}")
        };
        assert_eq!((expected.get(), found.position), (6, far));
    }

    #[test]
    fn a_version_that_comes_twice_is_found() {
        let mut history = good().history();
        history.log[3].version = history.log[1].version;
        let violations = history.check_log().unwrap_err();
        let Violation::Version { expected, found } = &violations.all()[0] else {
            panic!("{violations}")
        };
        assert_eq!((expected.get(), found.stream.as_str()), (2, "b"));
    }

    #[test]
    fn events_out_of_order_are_found() {
        let mut history = good().history();
        history.log.swap(0, 1);
        history.check_log().unwrap_err();
    }
}

mod serial {
    use super::*;

    fn not_serial(history: &History) -> (String, String, u64) {
        match only(history.check_serial()) {
            Violation::NotSerial {
                command,
                stream,
                was,
                ..
            } => (command.label, stream.to_string(), was.get()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_lost_update_is_found() {
        let mut made = Made::default();
        made.command("one", 1, 4).saw("a", 0).wrote(&["a"]);
        made.command("two", 2, 5).saw("a", 0).wrote(&["a"]);
        assert_eq!(not_serial(&made.history()), ("two".into(), "a".into(), 1));
    }

    #[test]
    fn a_write_skew_is_found() {
        let mut made = Made::default();
        made.command("open", 1, 2)
            .saw("a", 0)
            .saw("b", 0)
            .wrote(&["a", "b"]);
        made.command("one", 3, 6)
            .saw("a", 1)
            .saw("b", 1)
            .wrote(&["a"]);
        made.command("two", 4, 5)
            .saw("a", 1)
            .saw("b", 1)
            .wrote(&["b"]);
        assert_eq!(not_serial(&made.history()), ("two".into(), "a".into(), 2));
    }

    #[test]
    fn a_phantom_is_found() {
        let mut made = Made::default();
        made.command("limit", 1, 4)
            .saw("limits", 0)
            .wrote(&["limits"]);
        made.command("pay", 2, 5)
            .saw("limits", 0)
            .saw("a", 0)
            .wrote(&["a"]);
        assert_eq!(
            not_serial(&made.history()),
            ("pay".into(), "limits".into(), 1)
        );
    }

    #[test]
    fn the_attempt_that_took_effect_is_what_counts() {
        let mut made = Made::default();
        made.command("one", 1, 4).saw("a", 0).wrote(&["a"]);
        made.command("two", 2, 5)
            .saw("a", 0)
            .again()
            .saw("a", 1)
            .wrote(&["a"]);
        made.history().check().unwrap();
    }

    #[test]
    fn an_effect_of_unknown_outcome_is_guarded_as_well() {
        let mut made = Made::default();
        made.command("one", 1, 4).saw("a", 0).wrote(&["a"]);
        made.command("two", 2, 5)
            .saw("a", 0)
            .wrote(&["a"])
            .outcome(Outcome::Unknown);
        not_serial(&made.history());
    }

    fn no_view(history: &History) -> (u64, u64) {
        match only(history.check_serial()) {
            Violation::NoSuchView { from, until, .. } => (from.get(), until.get()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_rejection_on_a_torn_view_is_found() {
        let mut made = Made::default();
        made.command("move", 1, 8)
            .saw("a", 0)
            .saw("b", 0)
            .wrote(&["a", "b"]);
        made.command("torn", 2, 7)
            .saw("a", 1)
            .saw("b", 0)
            .rejected();
        // Between the two events of one command is no moment: positions 1 and 2 came together.
        let history = made.history();
        assert_eq!(no_view(&history), (0, 2));
    }

    #[test]
    fn a_rejection_on_a_view_of_two_moments_is_found() {
        let mut made = Made::default();
        made.command("a", 1, 8).saw("a", 0).wrote(&["a"]);
        made.command("b", 2, 8).saw("b", 0).wrote(&["b"]);
        made.command("torn", 3, 7)
            .saw("a", 0)
            .saw("b", 1)
            .rejected();
        assert_eq!(no_view(&made.history()), (0, 2));
    }

    #[test]
    fn a_rejection_on_a_stale_view_is_found() {
        let mut made = Made::default();
        made.command("pay in", 1, 2).saw("a", 0).wrote(&["a"]);
        made.command("stale", 3, 4).saw("a", 0).rejected();
        assert_eq!(no_view(&made.history()), (1, 1));
    }

    #[test]
    fn a_rejection_on_what_came_only_later_is_found() {
        let mut made = Made::default();
        made.command("early", 1, 2).saw("a", 1).rejected();
        made.command("pay in", 3, 4).saw("a", 0).wrote(&["a"]);
        assert_eq!(no_view(&made.history()), (0, 0));
    }

    #[test]
    fn a_decision_for_nothing_is_held_to_the_same() {
        let mut made = Made::default();
        made.command("pay in", 1, 2).saw("a", 0).wrote(&["a"]);
        made.command("stale", 3, 4).saw("a", 0).nothing_to_do();
        no_view(&made.history());
    }

    #[test]
    fn a_rejection_may_rest_on_any_moment_of_its_life() {
        for (a, b) in [(0, 0), (1, 0), (1, 1)] {
            let mut made = Made::default();
            made.command("a", 1, 8).saw("a", 0).wrote(&["a"]);
            made.command("b", 2, 8).saw("b", 0).wrote(&["b"]);
            made.command("look", 3, 7)
                .saw("a", a)
                .saw("b", b)
                .rejected();
            made.history().check().unwrap();
        }
    }

    #[test]
    fn a_result_without_a_decision_is_not_passed_over() {
        let mut made = Made::default();
        made.command("silent", 1, 2).wrote(&["a"]);
        made.commands[0].record.decisions.clear();
        let violation = only(made.history().check_serial());
        assert!(
            matches!(violation, Violation::NothingSeen { .. }),
            "{violation}"
        );
        let mut made = Made::default();
        made.command("silent", 1, 2).rejected();
        made.commands[0].record.decisions.clear();
        let violation = only(made.history().check_serial());
        assert!(
            matches!(violation, Violation::NothingSeen { .. }),
            "{violation}"
        );
    }
}

mod real_time {
    use super::*;

    #[test]
    fn an_order_against_the_clock_is_found() {
        let mut made = Made::default();
        made.command("earlier", 1, 2).saw("a", 0).wrote(&["a"]);
        made.command("between", 1, 9).saw("c", 0).wrote(&["c"]);
        made.command("later", 3, 4).saw("b", 0).wrote(&["b"]);
        let history = made.in_order(&["later", "between", "earlier"]);
        match only(history.check_real_time()) {
            Violation::RealTime { earlier, later, .. } => {
                assert_eq!((&*earlier.label, &*later.label), ("earlier", "later"));
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_effect_of_unknown_outcome_may_come_late_and_never_early() {
        let mut made = Made::default();
        made.command("lost", 1, 2)
            .saw("a", 0)
            .wrote(&["a"])
            .outcome(Outcome::Unknown);
        made.command("told", 3, 4).saw("b", 0).wrote(&["b"]);
        made.in_order(&["told", "lost"]).check().unwrap();

        let mut made = Made::default();
        made.command("told", 1, 2).saw("b", 0).wrote(&["b"]);
        made.command("lost", 3, 4)
            .saw("a", 0)
            .wrote(&["a"])
            .outcome(Outcome::Unknown);
        let violation = only(made.in_order(&["lost", "told"]).check_real_time());
        assert!(
            matches!(violation, Violation::RealTime { .. }),
            "{violation}"
        );
    }
}

mod acknowledgements {
    use super::*;

    #[test]
    fn a_lost_one_is_found() {
        let mut history = good().history();
        let gone = history.log.remove(2);
        let violation = only(history.check_acknowledgements());
        let text = violation.to_string();
        assert!(
            text.contains("`a to b`") && text.contains("no event has its id"),
            "{text}"
        );
        let Violation::Lost { told, found, .. } = violation else {
            panic!("{text}")
        };
        assert_eq!((told.id, found), (gone.id, None));
    }

    #[test]
    fn an_event_in_another_place_than_was_told_is_found() {
        let mut made = good();
        let Outcome::Acknowledged(told) = &mut made.commands[0].record.outcome else {
            panic!("it was acknowledged")
        };
        told[0].position = told[0].position.advanced(1);
        let Violation::Lost { found, .. } = only(made.history().check_acknowledgements()) else {
            panic!("a lost event was expected")
        };
        assert_eq!(found.unwrap().position.get(), 1);
    }

    #[test]
    fn an_event_with_another_id_than_was_told_is_found() {
        let mut history = good().history();
        history.log[0].id = unknown_id();
        let violations = history.check_acknowledgements().unwrap_err();
        let lost = |violation: &Violation| matches!(violation, Violation::Lost { .. });
        assert!(violations.all().iter().any(lost), "{violations}");
    }

    fn doubled(history: &History) -> String {
        match only(history.check_acknowledgements()) {
            Violation::Doubled { command, .. } => command.label,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_command_that_took_effect_twice_is_found() {
        let mut made = Made::default();
        made.command("twice", 1, 2)
            .saw("a", 0)
            .again()
            .saw("a", 1)
            .wrote(&["a"]);
        made.repeat("twice", true);
        assert_eq!(doubled(&made.history()), "twice");
    }

    #[test]
    fn a_command_of_unknown_outcome_that_took_effect_twice_is_found() {
        for new_ids in [false, true] {
            let mut made = Made::default();
            made.command("twice", 1, 2)
                .saw("a", 0)
                .wrote(&["a"])
                .outcome(Outcome::Unknown);
            made.repeat("twice", new_ids);
            assert_eq!(doubled(&made.history()), "twice");
        }
    }

    #[test]
    fn a_command_of_unknown_outcome_may_be_there_or_not() {
        let mut made = Made::default();
        made.command("there", 1, 2)
            .saw("a", 0)
            .wrote(&["a", "b"])
            .outcome(Outcome::Unknown);
        made.command("not there", 3, 4)
            .saw("a", 1)
            .outcome(Outcome::Unknown);
        made.history().check().unwrap();
    }

    #[test]
    fn a_part_of_a_command_is_found() {
        let mut made = Made::default();
        made.command("half", 1, 2)
            .saw("a", 0)
            .saw("b", 0)
            .wrote(&["a", "b"]);
        made.commands[0].record.outcome = Outcome::Unknown;
        let mut history = made.history();
        history.log.pop();
        let violation = only(history.check());
        assert!(matches!(violation, Violation::Torn { .. }), "{violation}");
    }

    #[test]
    fn a_command_with_others_between_its_events_is_found() {
        let mut made = Made::default();
        made.command("wide", 1, 9)
            .saw("a", 0)
            .saw("b", 0)
            .wrote(&["a", "b"]);
        made.command("between", 2, 8).saw("c", 0).wrote(&["c"]);
        let history = made.with_positions(&[1, 3, 2]);
        history.check_log().unwrap();
        let violation = only(history.check_acknowledgements());
        assert!(matches!(violation, Violation::Torn { .. }), "{violation}");
    }

    #[test]
    fn an_effect_of_a_command_that_was_told_to_have_none_is_found() {
        for outcome in [Outcome::Rejected, Outcome::Failed("busy".into())] {
            let mut made = Made::default();
            made.command("denied", 1, 2)
                .saw("a", 0)
                .wrote(&["a"])
                .outcome(outcome);
            let violation = only(made.history().check());
            assert!(matches!(violation, Violation::Denied { .. }), "{violation}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_the_whole_command() {
    let mut made = Made::default();
    made.command("one", 1, 4).saw("a", 0).wrote(&["a"]);
    made.command("transfer 5 from a to b", 2, 5)
        .saw("a", 0)
        .saw("b", 0)
        .wrote(&["a", "b"]);
    let history = made.history();
    let ids: Vec<String> = history
        .log
        .iter()
        .map(|event| event.id.to_string())
        .collect();
    assert_eq!(
        history.check().unwrap_err().to_string(),
        format!(
            "broken promises: 1
- a command took effect at position 2, when `a` was at version 1, which it had not seen
    `transfer 5 from a to b` [2..5]
      attempt 1 saw a@0 b@0 and emitted 2 events
      acknowledged #2 a@2 ({}) #3 b@1 ({})",
            ids[1], ids[2]
        )
    );
}
