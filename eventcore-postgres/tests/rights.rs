//! What each role can do and what not, and what the database refuses to all of them.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "rights/sums.rs"]
mod sums;
mod support;
#[path = "projections/views.rs"]
mod views;

use std::sync::OnceLock;

use eventcore::{
    EventStore, IdempotencyKey,
    projection::{DocumentKey, Inline, ProjectionName, ProjectionStore, UnitOfWork},
    store::{AppendError, StoreErrorKind},
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions, PostgresProjections};
use eventcore_testing::temp_postgres::{TempDatabase, TempPostgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use sums::Sums;
use support::{batch, log, migrated, open};
use views::{at, body, change, lead};

const PAGE: &str = include_str!("../../docs/postgres-roles.md");

/// The page's blocks of SQL.
fn blocks() -> Vec<String> {
    let blocks = PAGE.split("```sql\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// A server of this file's own, since roles belong to a server.
fn server() -> &'static TempPostgres {
    static SERVER: OnceLock<TempPostgres> = OnceLock::new();
    SERVER.get_or_init(|| TempPostgres::builder().start().unwrap())
}

/// A database in which the page's statements were run, under names of its own.
struct World {
    database: TempDatabase<'static>,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            database: server().database().unwrap(),
        };
        let [before, after] = &blocks()[..] else {
            panic!("the page has two blocks of SQL");
        };
        world.database.sql(&world.named(before)).unwrap();
        PostgresEventStore::migrate(&world.url("owner"), &PostgresOptions::new())
            .await
            .unwrap();
        world.run("owner", after).await.unwrap();
        // Once more changes nothing.
        world.run("owner", after).await.unwrap();
        world
    }

    fn role(&self, role: &str) -> String {
        format!("{}_{role}", self.database.name())
    }

    fn named(&self, sql: &str) -> String {
        sql.replace("shop_", &self.role(""))
    }

    fn url(&self, role: &str) -> String {
        let user = format!("{}@", self.role(role));
        self.database.url().replacen("postgres@", &user, 1)
    }

    /// Statements by a role.
    async fn run(&self, role: &str, sql: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url(role)).await?;
        let sql = AssertSqlSafe(self.named(sql));
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        connection.close().await
    }

    async fn refused(&self, role: &str, sql: &str) {
        // Some locks are only taken in a transaction.
        let error = self.run(role, &format!("BEGIN; {sql}")).await.unwrap_err();
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{role}: {sql}: {error}");
    }

    async fn store(&self, role: &str) -> PostgresEventStore {
        support::connect(&self.url(role)).await
    }
}

/// Everything that would change events, commands, or who comes when.
const CHANGES: [&str; 12] = [
    "INSERT INTO eventcore.events SELECT * FROM eventcore.events",
    "INSERT INTO eventcore.commands SELECT * FROM eventcore.commands",
    "COPY eventcore.events FROM STDIN",
    "UPDATE eventcore.events SET version = 0",
    "DELETE FROM eventcore.events",
    "DELETE FROM eventcore.commands",
    "TRUNCATE eventcore.events, eventcore.commands",
    "LOCK TABLE eventcore.append_order IN SHARE UPDATE EXCLUSIVE MODE",
    "LOCK TABLE eventcore.append_order IN ROW EXCLUSIVE MODE",
    "LOCK TABLE eventcore.events IN SHARE MODE",
    "UPDATE eventcore.migrations SET version = 1",
    "SELECT eventcore.grant_access(current_user, 'append')",
];

const APPENDS: [&str; 2] = [
    "SELECT eventcore.append_one('a', 1, 2, 't', 1, gen_random_uuid(), '', NULL, NULL, NULL, gen_random_uuid(),
        NULL, 0, NULL)",
    "SELECT eventcore.lock_order()",
];

const PROJECTS: [&str; 4] = [
    "SELECT eventcore.remove_projection('sums', 1)",
    "SELECT eventcore.lock_projection('sums')",
    "UPDATE eventcore.projection_partitions SET epoch = 0",
    "INSERT INTO eventcore.documents VALUES (1, '', '')",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_appends_can_append_and_read_and_nothing_else() {
    let world = World::new().await;
    let store = world.store("api").await;
    let first = batch(&[("a", 0)], "1");
    let key = first.idempotency().unwrap().key.clone();
    store.append(first).await.unwrap();
    store
        .append(batch(&[("a", 1), ("b", 0)], "2"))
        .await
        .unwrap();
    assert!(
        store
            .append(batch(&[("a", 1)], "3"))
            .await
            .unwrap_err()
            .is_conflict()
    );
    assert!(store.find_receipt(&key).await.unwrap().is_some());
    assert_eq!(log(&store).await.len(), 3);
    for change in CHANGES.iter().chain(&PROJECTS) {
        world.refused("api", change).await;
    }
    store.append(batch(&[("a", 2)], "4")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_reads_reads_everything_and_changes_nothing() {
    let world = World::new().await;
    world
        .store("api")
        .await
        .append(batch(&[("a", 0)], "1"))
        .await
        .unwrap();
    let store = world.store("reports").await;
    assert_eq!(log(&store).await.len(), 1);
    assert!(
        store
            .find_receipt(&IdempotencyKey::generate())
            .await
            .unwrap()
            .is_none()
    );
    world
        .run(
            "reports",
            "SELECT * FROM eventcore.log; SELECT * FROM eventcore.views",
        )
        .await
        .unwrap();
    let views = PostgresProjections::connect(&world.url("reports"), PostgresOptions::new())
        .await
        .unwrap();
    assert!(views.names().await.unwrap().is_empty());
    let AppendError::Store(error) = store.append(batch(&[("b", 0)], "1")).await.unwrap_err() else {
        panic!("not an error of the store");
    };
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    for change in CHANGES.iter().chain(&APPENDS).chain(&PROJECTS) {
        world.refused("reports", change).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_projects_runs_projections_and_touches_no_event() {
    let world = World::new().await;
    world
        .store("api")
        .await
        .append(batch(&[("a", 0)], "1"))
        .await
        .unwrap();
    let views = PostgresProjections::connect(&world.url("views"), PostgresOptions::new())
        .await
        .unwrap();
    let lease = lead(&views).await;
    let mut unit = views.begin(&lease).await.unwrap();
    unit.put(vec![change("k", "1")]).await.unwrap();
    unit.commit(at(1)).await.unwrap();
    views.renew(&lease).await.unwrap();
    assert_eq!(body(&views, "k").await.as_deref(), Some("1"));
    assert_eq!(views.replay(&lease.projection).await.unwrap(), 0);
    views.release(&lease).await.unwrap();
    views.reset(&lease.projection).await.unwrap();

    // Tables of its own are written with its own rights.
    world
        .database
        .sql("CREATE TABLE public.own (what text)")
        .unwrap();
    let lease = lead(&views).await;
    let mut unit = views.begin(&lease).await.unwrap();
    let write = "INSERT INTO public.own VALUES (current_user)";
    let denied = sqlx::query(write)
        .execute(unit.connection().await.unwrap())
        .await;
    assert!(
        denied
            .unwrap_err()
            .to_string()
            .contains("permission denied")
    );
    drop(unit);
    world
        .database
        .sql(&world.named("GRANT INSERT ON public.own TO shop_views"))
        .unwrap();
    let mut unit = views.begin(&lease).await.unwrap();
    sqlx::query(write)
        .execute(unit.connection().await.unwrap())
        .await
        .unwrap();
    unit.commit(at(2)).await.unwrap();
    assert_eq!(
        world.database.sql("SELECT what FROM public.own").unwrap(),
        world.role("views")
    );

    views.remove(&lease.projection).await.unwrap();
    let locks = [
        "SELECT eventcore.lock_projection('sums')",
        "SELECT * FROM eventcore.projection_locks FOR UPDATE",
    ];
    for change in CHANGES.iter().chain(&APPENDS).chain(&locks) {
        world.refused("views", change).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_read_models_need_both_and_no_more() {
    let world = World::new().await;
    let options = || PostgresOptions::new().inline(Inline::new(Sums).unwrap());
    let error = PostgresEventStore::connect(&world.url("api"), options())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Access, "{error}");
    world
        .run(
            "owner",
            "SELECT eventcore.grant_access('shop_api', 'project')",
        )
        .await
        .unwrap();
    let store = PostgresEventStore::connect(&world.url("api"), options())
        .await
        .unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    store
        .append(batch(&[("a", 1), ("b", 0)], "2"))
        .await
        .unwrap();
    let all = [DocumentKey::try_new("all").unwrap()];
    let name = ProjectionName::try_new("sums").unwrap();
    assert_eq!(
        store.projections().documents(&name, &all).await.unwrap(),
        [Some("3".into())]
    );
    for change in CHANGES {
        world.refused("api", change).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_connect_is_in_no_writers_way() {
    let world = World::new().await;
    let store = world.store("api").await;
    world
        .database
        .sql(&world.named("CREATE ROLE shop_stranger LOGIN"))
        .unwrap();
    let mut stranger = PgConnection::connect(&world.url("stranger")).await.unwrap();
    // The lock that it was before.
    let hold = "SELECT pg_advisory_lock(hashtextextended('eventcore.order.eventcore', 0))";
    sqlx::query(hold).execute(&mut stranger).await.unwrap();
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    store
        .append(batch(&[("a", 1), ("b", 0)], "1"))
        .await
        .unwrap();
    for change in CHANGES.iter().chain(&APPENDS).chain(&PROJECTS) {
        world.refused("stranger", change).await;
    }
}

/// An event by hand, with values in places.
fn insert(position: &str, version: &str, schema: &str) -> String {
    format!(
        "INSERT INTO eventcore.events SELECT {position}, 'forged', {version}, 't', {schema}, gen_random_uuid(),
            gen_random_uuid(), NULL, 0, NULL, ''"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_inserted_that_no_append_wrote_whoever_asks() {
    let database = migrated();
    let store = open(&database).await;
    store.append(batch(&[("a", 0)], "1")).await.unwrap();
    let command = "INSERT INTO eventcore.commands SELECT gen_random_uuid(), 'k', gen_random_uuid(), gen_random_uuid(), 2, 1";
    for by_hand in [insert("2", "1", "1").as_str(), command] {
        let forms = [
            by_hand.to_owned(),
            format!("{by_hand} WHERE false"),
            format!("SET search_path = pg_catalog, pg_temp; {by_hand}"),
            format!("SET search_path = ''; {by_hand}"),
            format!("SET eventcore.log = 'mine'; {by_hand}"),
            format!("WITH x AS ({by_hand} RETURNING 1) SELECT * FROM x"),
        ];
        for sql in forms {
            let error = database.sql(&sql).unwrap_err().to_string();
            assert!(
                error.contains("append and append_one only"),
                "{sql}: {error}"
            );
        }
    }
    store.append(batch(&[("a", 1)], "2")).await.unwrap();
    assert_eq!(log(&store).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn also_an_owner_that_forges_is_held_to_the_bounds() {
    let database = migrated();
    let store = open(&database).await;
    store.append(batch(&[("forged", 0)], "1")).await.unwrap();
    let id = database
        .sql("SELECT replace(eventcore.log_id()::text, '-', '')")
        .unwrap();
    for (position, version, schema) in [
        ("0", "2", "1"),
        ("-5", "2", "1"),
        ("9223372036854775807", "2", "1"),
        ("4611686018427387904", "2", "1"),
        ("2", "0", "1"),
        ("2", "2", "0"),
        ("1", "2", "1"),
        ("2", "1", "1"),
    ] {
        let forged = format!(
            "SET search_path = pg_catalog, pg_temp, pg_eventcore_{id}; {}",
            insert(position, version, schema)
        );
        let error = database.sql(&forged).unwrap_err().to_string();
        assert!(
            error.contains("constraint"),
            "{position} {version} {schema}: {error}"
        );
    }
    store.append(batch(&[("forged", 1)], "2")).await.unwrap();
    assert_eq!(log(&store).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_superuser_migrates_belongs_to_the_owner_all_the_same() {
    let world = World::new().await;
    let drop = "DROP FUNCTION eventcore.append_one; DROP FUNCTION eventcore.commit_unit";
    world.database.sql(drop).unwrap();
    let options = PostgresOptions::new();
    PostgresEventStore::migrate(&world.database.url(), &options)
        .await
        .unwrap();
    let owners = "SELECT DISTINCT r.rolname FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.pronamespace = 'eventcore'::regnamespace
        UNION SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.relnamespace = 'eventcore'::regnamespace";
    assert_eq!(world.database.sql(owners).unwrap(), world.role("owner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_access_is_named() {
    for access in ["'write'", "NULL", "''"] {
        let sql = format!("SELECT eventcore.grant_access('postgres', {access})");
        let error = migrated().sql(&sql).unwrap_err().to_string();
        assert!(error.contains("`read`, `append` or `project`"), "{error}");
    }
}
