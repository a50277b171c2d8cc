//! Several models, and several processes.

use std::sync::Arc;

use eventcore::projection::Inline;

use super::{
    Place,
    kit::{
        Counts, PANICS, append, counts, each, expect_counts, expect_highest, highest, join, open,
        refused_by_model, said, stream, ticks, try_append,
    },
};

/// Clause: of two models both have an append or neither.
pub async fn two_models_move_together<P: Place>(place: P) {
    let views = place.views().await;
    for models in [vec![highest(), counts()], vec![counts(), highest()]] {
        let store = open(&place, models).await;
        append(&store, "a", ticks(&[5, 3])).await;
        expect_highest(&views, "a", Some(5)).await;
        // The one could take it, the other cannot.
        let verdict = try_append(&store, &stream("a"), ticks(&[7, PANICS])).await;
        refused_by_model(verdict, "an event at which one of two models panics");
        expect_highest(&views, "a", Some(5)).await;
        expect_counts(&views, &store, 1).await;
    }
}

/// Clause: a name is run once.
pub async fn two_models_of_one_name_are_refused<P: Place>(place: P) {
    let second = Inline::new(Counts::<2>).expect("the suite's names are valid");
    for other in [counts(), second] {
        match place.open(vec![counts(), other]).await {
            Err(error) => assert!(said(&error).contains("counts"), "it names it: {error}"),
            Ok(_) => panic!("two models of one name are refused"),
        }
    }
    let store = open(&place, vec![counts(), highest()]).await;
    append(&store, "a", ticks(&[1])).await;
}

/// Clause: processes that all run the model count each event once.
pub async fn two_handles_run_one_model<P: Place>(place: P) {
    let views = place.views().await;
    let stores = [
        open(&place, vec![counts(), highest()]).await,
        open(&place, vec![counts()]).await,
        open(&place, vec![]).await,
    ];
    let writing = each(6, |writer| {
        let store = Arc::clone(&stores[writer % 3]);
        async move {
            for round in 0..15 {
                append(&store, &format!("s:{}", round % 4), ticks(&[1, round])).await;
            }
        }
    });
    join(writing).await;
    append(&stores[0], "last", ticks(&[99])).await;
    expect_counts(&views, &stores[1], 1).await;
    expect_highest(&views, "last", Some(99)).await;
    expect_highest(&views, "s:2", Some(14)).await;
}
