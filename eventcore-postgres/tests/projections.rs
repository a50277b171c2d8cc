//! The contract of stores of projections, on servers of this machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

mod support;
#[path = "projections/views.rs"]
mod views;

use eventcore::projection::{DocumentQuery, ProjectionStore, UnitOfWork};
use eventcore_testing::{
    projection_contract::{self as contract, Harness},
    temp_postgres::TempPostgres,
};
use support::{migrated, migrated_on};
use views::connect;

eventcore_testing::projection_suite!(postgres, async || {
    let database = migrated();
    let url = database.url();
    let open = move || {
        let url = url.clone();
        async move { connect(&url).await }
    };
    Harness::new(open().await).keep(database).reopen_with(open)
});

/// Where the versions of PostgreSQL may differ: JSON, order, locks, times.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgresql_18_keeps_the_contract() {
    let server = match TempPostgres::builder().version(18).start() {
        Ok(server) => server,
        Err(error) => return println!("skipped: {error}"),
    };
    assert_eq!(server.version(), Some(18));
    macro_rules! clauses {
        ($($group:ident :: $clause:ident),* $(,)?) => {$(
            let database = migrated_on(&server);
            let store = connect(&database.url()).await;
            contract::$group::$clause(Harness::new(store)).await;
        )*};
    }
    clauses![
        leases::epochs_rise_with_every_grant,
        leases::of_many_claimants_one_is_granted,
        terms::renewing_gives_the_whole_time_again,
        fencing::a_unit_that_is_overtaken_commits_nothing,
        units::a_unit_sees_its_own_changes,
        units::readers_never_see_part_of_a_unit,
        values::documents_come_back_byte_for_byte,
        letters::letters_come_back_as_they_were_buried,
        division::divisions_are_remembered_over_divisions,
        division::of_two_divisions_one_is_led,
        queries::conditions_compare_what_is_written,
        queries::texts_are_compared_byte_for_byte,
        queries::paths_lead_through_objects,
        sorting::kinds_of_values_come_one_after_the_other,
        sorting::numbers_are_sorted_by_value,
        sorting::texts_are_sorted_by_bytes,
        cancel::a_dropped_commit_is_whole_or_nothing,
    ];
}

/// What PostgreSQL cannot read as JSON is no obstacle to the rest.
#[tokio::test(flavor = "multi_thread")]
async fn no_document_makes_a_query_fail() {
    let database = migrated();
    let store = connect(&database.url()).await;
    let lease = views::lead(&store).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        ("fine", r#"{"a":1,"t":"x"}"#),
        ("nul", r#"{"a":1,"t":"\\\u0000\"\\"}"#),
        ("half", r#"{"a":1,"t":"\ud800","u":{"v":[1,"\"]}"]}}"#),
        ("no-json", r#"{"a":1,"t":"x""#),
        ("bare", "a"),
        ("empty", ""),
        ("huge", r#"{"a":1,"t":1e4000}"#),
        ("tiny", r#"{"a":1,"t":-1e-4000}"#),
        (
            "long",
            r#"{"a":1,"t":-123456789012345678901234567890123456789012345678901234567890}"#,
        ),
        ("deep", &deep),
    ];
    let mut unit = store.begin(&lease).await.unwrap();
    let changes = bodies.iter().map(|(key, body)| views::change(key, body));
    unit.put(changes.collect()).await.unwrap();
    unit.commit(views::at(1)).await.unwrap();
    let keys = async |query: DocumentQuery| {
        let found = store.query(&views::name(), &query).await.unwrap();
        let keys = found.iter().map(|document| document.key.to_string());
        keys.collect::<Vec<_>>().join(" ")
    };
    let all = DocumentQuery::all;
    assert_eq!(
        keys(all().field_is("a", 1).unwrap()).await,
        "fine half huge long nul tiny"
    );
    let quoted = all().field_is("t", "\\\0\"\\").unwrap();
    assert_eq!(keys(quoted).await, "nul");
    assert_eq!(
        keys(all().sort_ascending("t").unwrap()).await,
        "bare deep empty no-json long tiny huge nul half fine"
    );
    assert_eq!(
        store.query(&views::name(), &all()).await.unwrap().len(),
        bodies.len()
    );
}

/// People may look, too.
#[tokio::test(flavor = "multi_thread")]
async fn documents_can_be_read_in_sql() {
    let database = migrated();
    let store = connect(&database.url()).await;
    let lease = views::lead(&store).await;
    let mut unit = store.begin(&lease).await.unwrap();
    let change = views::change("a", r#"{"owner":"ann","n":[1]}"#);
    unit.put(vec![change]).await.unwrap();
    unit.commit(views::at(1)).await.unwrap();
    let sql = "SELECT name, version, active, key, body::json ->> 'owner', eventcore.field(body, '{owner}')
        FROM eventcore.views";
    assert_eq!(database.sql(sql).unwrap(), "balances|1|t|a|ann|\"ann\"");
    let plan = "SET enable_seqscan = off;
        CREATE INDEX by_owner ON eventcore.documents (projection, eventcore.field(body, '{owner}'));
        EXPLAIN SELECT * FROM eventcore.documents d
        WHERE d.projection = 1 AND eventcore.field(d.body, '{owner}') = '\"ann\"'";
    let plan = database.sql(plan).unwrap();
    assert!(plan.contains("by_owner"), "{plan}");
    let query = DocumentQuery::all().field_is("owner", "ann").unwrap();
    assert_eq!(store.query(&views::name(), &query).await.unwrap().len(), 1);
}
