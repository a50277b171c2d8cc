//! A store behind a proxy, one beside it, and what commands saw.

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use eventcore::{
    CommandError, CommandReceipt, EventStore, IdempotencyKey, Metadata, RecordedEvent, RetryPolicy,
    execute,
};
use eventcore_postgres::{PostgresEventStore, PostgresOptions};
use eventcore_testing::{
    fault_proxy::{FaultProxy, ReplyEnd, Upstream},
    history::{Recorded, Recorder},
    temp_postgres::{TempDatabase, TempPostgres},
};

use crate::{
    bank::Transfer,
    support::{self, stream},
};

pub(crate) struct World<'s> {
    pub(crate) database: TempDatabase<'s>,
    pub(crate) proxy: FaultProxy,
    /// Over the proxy.
    pub(crate) store: PostgresEventStore,
    /// Not over the proxy.
    pub(crate) direct: PostgresEventStore,
    pub(crate) recorder: Recorder,
}

/// A server that these tests share: proxies reach it over TCP.
fn server() -> &'static TempPostgres {
    static SERVER: OnceLock<TempPostgres> = OnceLock::new();
    SERVER.get_or_init(|| TempPostgres::builder().tcp().start().unwrap())
}

/// Where it can be reached. A socket in its folder is still its own after a restart; a port may be somebody else's.
fn socket(server: &TempPostgres) -> Upstream {
    if let Some(address) = server.tcp_address() {
        return address.into();
    }
    let files = std::fs::read_dir(server.folder().unwrap()).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let is_socket = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")
    };
    paths.find(is_socket).unwrap().into()
}

/// Nobody waits for a connection, or an answer, for as long as people would.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions::new()
        .acquire_timeout(Duration::from_millis(500))
        .statement_timeout(Duration::from_secs(3))
        // A fault is meant for the command, and not for what tells others of it.
        .wakeups(false)
}

impl World<'static> {
    pub(crate) async fn new() -> Self {
        World::on(server(), options()).await
    }

    pub(crate) async fn with(options: PostgresOptions) -> Self {
        World::on(server(), options).await
    }
}

impl<'s> World<'s> {
    pub(crate) async fn on(server: &'s TempPostgres, options: PostgresOptions) -> Self {
        let database = support::migrated_on(server);
        let proxy = FaultProxy::start_with(socket(server), ReplyEnd::POSTGRES)
            .await
            .unwrap();
        let address = proxy.address();
        let url = format!("postgres://postgres@{address}/{}", database.name());
        Self {
            store: PostgresEventStore::connect(&url, options).await.unwrap(),
            direct: support::open(&database).await,
            database,
            proxy,
            recorder: Recorder::new(),
        }
    }

    /// Another store over the proxy, with connections of its own.
    pub(crate) async fn another(&self) -> PostgresEventStore {
        self.another_with(options()).await
    }

    pub(crate) async fn another_with(&self, options: PostgresOptions) -> PostgresEventStore {
        let (address, name) = (self.proxy.address(), self.database.name());
        let url = format!("postgres://postgres@{address}/{name}");
        PostgresEventStore::connect(&url, options).await.unwrap()
    }

    pub(crate) fn transfer(&self, from: &str, to: &str) -> Transfer {
        Transfer {
            from: stream(from),
            to: stream(to),
            limit: stream("limit"),
            coins: 1,
            noted: self.recorder.begin(format!("{from} to {to}")),
        }
    }

    /// A coin from `a` to `b`.
    pub(crate) async fn pay(&self) -> Result<CommandReceipt, CommandError> {
        self.run(self.transfer("a", "b"), RetryPolicy::default())
            .await
    }

    pub(crate) async fn run(
        &self,
        command: Transfer,
        retry: RetryPolicy,
    ) -> Result<CommandReceipt, CommandError> {
        let noted = command.noted.clone();
        let result = execute(command, &self.store)
            .retry(retry)
            .metadata(carrying(&noted))
            .await;
        noted.told(&result);
        result
    }

    /// A coin past the proxy.
    pub(crate) async fn pay_directly(&self, from: &str, to: &str) {
        let command = self.transfer(from, to);
        let noted = command.noted.clone();
        let result = execute(command, &self.direct)
            .metadata(carrying(&noted))
            .await;
        noted.told(&result);
        result.unwrap();
    }

    /// Prepares the statements of the connections that commands use.
    pub(crate) async fn warm(&self) {
        self.pay().await.unwrap();
    }

    /// Everything that was promised holds; gives the log.
    pub(crate) async fn check(&self) -> Vec<RecordedEvent> {
        let log = support::log(&self.direct).await;
        let history = self.recorder.history(&log);
        history
            .check()
            .unwrap_or_else(|violations| panic!("{violations}"));
        assert_eq!(history.foreign_events(), 0, "events came from nowhere");
        log
    }

    /// How often the last command that began has decided.
    pub(crate) fn decisions(&self) -> usize {
        let history = self.recorder.history([]);
        history.commands.last().unwrap().decisions.len()
    }

    /// What the server says when asked for the receipt, once it can be asked.
    pub(crate) async fn truth(&self, key: &IdempotencyKey) -> Option<Vec<eventcore::EventId>> {
        for _ in 0..20 {
            match self.store.find_receipt(key).await {
                Ok(kept) => {
                    let events = kept.map(|kept| kept.receipt.events)?;
                    return Some(events.iter().map(|event| event.id).collect());
                }
                Err(error) => assert!(error.is_retriable(), "{error}"),
            }
        }
        panic!("the store does not heal");
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        tokio::task::block_in_place(|| self.database.sql(sql)).unwrap()
    }

    /// Waits until SQL says so.
    pub(crate) async fn until(&self, sql: &str, answer: &str) {
        while self.sql(sql) != answer {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn carrying(noted: &Recorded) -> Metadata {
    Metadata::new().correlation_id(noted.correlation_id())
}

/// The key to ask with.
pub(crate) fn unknown(result: Result<CommandReceipt, CommandError>) -> IdempotencyKey {
    match result {
        Err(CommandError::OutcomeUnknown { key, .. }) => key.unwrap(),
        other => panic!("an unknown outcome was expected: {other:?}"),
    }
}
