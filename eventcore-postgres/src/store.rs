//! The store as its users hold it.

use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use eventcore::{
    Commons, EventFilter, EventStore, GlobalPosition, IdempotencyKey, RecordedEvent,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, EventChunks, KeptReceipt, Page,
        PageSize, ReadError, ReadFrom, StoreError, StoreErrorKind, StreamRead,
    },
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Mutex;

use crate::{
    PostgresOptions, PostgresProjections,
    append_call::AppendCall,
    appends::{self, Appends},
    errors::{read_error, store_error},
    inline::Inlines,
    log_page::{PageCall, ReceiptCall},
    mode::Mode,
    options::{SchemaName, server_millis},
    queue::{Limits, Queue, Unanswered},
    read_call::{Cursor, Opened, ReadCall},
    reads,
    schema::{self, Surroundings},
    sessions::Sessions,
    wakeups::{Bell, Wakeups},
};

/// Events in a PostgreSQL database. Clones share their connections and tasks.
///
/// Needs PostgreSQL 15 or newer.
#[derive(Clone, Debug)]
pub struct PostgresEventStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: Sessions,
    own_pool: bool,
    appends: Queue<appends::Job>,
    reads: Queue<reads::Open>,
    read_call: ReadCall,
    page_call: PageCall,
    receipt_call: ReceiptCall,
    commons: Arc<Commons>,
    wakeups: Wakeups,
    survives_power_cut: bool,
    schema: SchemaName,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl PostgresEventStore {
    /// Makes the tables, or brings them up to this version. Idempotent, and safe to run from many processes at once.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] whose kind and text say what is wrong: server not reached, rights missing, a schema from a
    /// newer version.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the schema as it was: everything is one transaction.
    pub async fn migrate(url: &str, options: &PostgresOptions) -> Result<(), StoreError> {
        let (pool, schema) = (connect(url, options)?, options.schema.clone());
        let result = in_a_task("migrate", {
            let pool = pool.clone();
            async move { schema::migrate(&pool, &schema).await }
        });
        let result = result.await;
        pool.close().await;
        result
    }

    /// As [`PostgresEventStore::migrate`], over a pool of the application's.
    ///
    /// # Errors
    ///
    /// As [`PostgresEventStore::migrate`].
    ///
    /// # Cancel safety
    ///
    /// As [`PostgresEventStore::migrate`].
    pub async fn migrate_pool(pool: &PgPool, options: &PostgresOptions) -> Result<(), StoreError> {
        let (pool, schema) = (pool.clone(), options.schema.clone());
        in_a_task(
            "migrate",
            async move { schema::migrate(&pool, &schema).await },
        )
        .await
    }

    /// Connects to a database whose schema was made by [`PostgresEventStore::migrate`].
    ///
    /// # Errors
    ///
    /// A [`StoreError`]: a wrong URL, user or password, a server that is not there, a schema that is missing, too old or
    /// too new; each says what to do.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn connect(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let pool = connect(url, &options)?;
        Self::start(pool, options, true).await
    }

    /// Uses a pool of the application's. A pool of one connection will do; three or more let appends and reads keep one
    /// each, with four or more, processes tell each other of commits ([`PostgresOptions::wakeups`]). Turn its `test_before_acquire` off to save a round trip.
    ///
    /// # Errors
    ///
    /// As [`PostgresEventStore::connect`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn from_pool(pool: PgPool, options: PostgresOptions) -> Result<Self, StoreError> {
        Self::start(pool, options, false).await
    }

    async fn start(
        pool: PgPool,
        options: PostgresOptions,
        own_pool: bool,
    ) -> Result<Self, StoreError> {
        let (sessions, found) = open_sessions(pool, &options, own_pool).await?;
        let inlines = open_inline(&sessions, &options).await?;
        let schema = &options.schema;
        let read_call = ReadCall::new(schema);
        let receipt_call = ReceiptCall::new(schema);
        let limits = limits(&sessions, &options);
        let (appends, append_jobs) = Queue::new(limits);
        let (reads, read_jobs) = Queue::new(limits);
        let commons = Arc::new(Commons::keeping(options.kept_folds));
        let bell = Arc::new(Bell::new(Arc::clone(&commons)));
        let wakeups = Wakeups::start(&bell, &sessions, schema, options.wakeups);
        let appending = Appends {
            sessions: sessions.clone(),
            inlines,
            call: AppendCall::new(schema, found.log),
            receipts: receipt_call.clone(),
            lock: schema.fill("SELECT {schema}.lock_order()"),
            bell: Arc::clone(&bell),
        };
        let tasks = vec![
            tokio::spawn(appending.run(append_jobs)),
            tokio::spawn(reads::run(sessions.clone(), read_call.clone(), read_jobs)),
        ];
        Ok(Self {
            shared: Arc::new(Shared {
                sessions,
                own_pool,
                appends,
                reads,
                read_call,
                page_call: PageCall::new(schema),
                receipt_call,
                commons,
                wakeups,
                survives_power_cut: found.survives_power_cut,
                schema: options.schema,
                tasks: Mutex::new(tasks),
            }),
        })
    }

    /// Finishes the appends that wait and gives the connections back, for all clones; later calls fail as
    /// [`Closed`](StoreErrorKind::Closed). A pool of the application's stays open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the closing.
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.reads.shut();
        let told = shared.appends.close(appends::Job::Close).await;
        let mut tasks = shared.tasks.lock().await;
        if let Some(appending) = tasks.first_mut()
            && !(told && shared.appends.ended(appending).await)
        {
            appending.abort();
        }
        shared.wakeups.close().await;
        for task in tasks.drain(..).skip(1) {
            task.abort();
        }
        if shared.own_pool {
            let closing = shared.sessions.pool().close();
            let _ = tokio::time::timeout(LAST_CALLS, closing).await;
        }
    }

    /// Projections in the same database and schema, over the same connections: of those the store keeps up to three for
    /// itself, and a projection with SQL of its own holds one for each of its partitions while it writes.
    pub fn projections(&self) -> PostgresProjections {
        let shared = &self.shared;
        PostgresProjections::over(shared.sessions.clone(), shared.schema.clone(), false)
    }

    /// The rest of a long read, chunk by chunk.
    fn rest(
        self,
        cursor: Cursor,
    ) -> impl futures_core::Stream<Item = Result<Vec<RecordedEvent>, ReadError>> + use<> {
        futures_util::stream::unfold((self, Some(cursor)), |(store, cursor)| async move {
            let cursor = cursor?;
            let (sessions, call) = (
                store.shared.sessions.clone(),
                store.shared.read_call.clone(),
            );
            let chunk = in_a_task("read", async move {
                let mut session = sessions.take().await.map_err(|e| read_error("read", e))?;
                let read = call.go_on(&mut session, cursor).await;
                sessions.done(session, &read);
                read.map_err(|e| read_error("read", e))?
            });
            match chunk.await {
                Ok((chunk, rest)) => Some((Ok(chunk), (store, rest))),
                Err(error) => Some((Err(error), (store, None))),
            }
        })
    }
}

/// How long the last calls on other connections may take when a store is closed.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// Connections to a schema that is found to be as this crate needs it, and what was found.
pub(crate) async fn open_sessions(
    pool: PgPool,
    options: &PostgresOptions,
    own_pool: bool,
) -> Result<(Sessions, Surroundings), StoreError> {
    let (checked, name) = (pool.clone(), options.schema.clone());
    let found = in_a_task("open the store", async move {
        schema::check(&checked, &name).await
    });
    let found = found.await?;
    // What another session of a shared pool has says nothing.
    let statement_timeout = if own_pool {
        found.statement_timeout
    } else {
        options.statement_timeout.unwrap_or(Duration::from_secs(30))
    };
    let mode = Mode {
        prepared: options.prepared_statements,
        read_committed: found.read_committed,
        shared: !own_pool,
        statement_timeout,
        patience: Mode::patience(statement_timeout),
    };
    Ok((Sessions::new(pool, mode), found))
}

/// How long callers wait. A task makes progress with each call, which takes a connection and up to two statements, or
/// the transaction of inline read models.
fn limits(sessions: &Sessions, options: &PostgresOptions) -> Limits {
    let acquire = sessions.pool().options().get_acquire_timeout();
    let statements = if options.inline.is_empty() { 2 } else { 6 };
    let work = sessions.mode().patience.saturating_mul(statements);
    Limits {
        operations: options.queue,
        room: options.queue_timeout,
        stall: acquire.saturating_add(work),
    }
}

/// What the options say is run inline, made so.
async fn open_inline(
    sessions: &Sessions,
    options: &PostgresOptions,
) -> Result<Option<Inlines>, StoreError> {
    if options.inline.is_empty() {
        return Ok(None);
    }
    let (schema, mode) = (&options.schema, sessions.mode());
    let inlines = Inlines::new(options.inline.clone(), schema, mode, mode.statement_timeout);
    let sessions = sessions.clone();
    in_a_task("open the store", async move {
        inlines.open(&sessions).await?;
        Ok(Some(inlines))
    })
    .await
}

/// What the store's own sessions are set to unless the URL says otherwise.
const DEFAULTS: [(&str, &str); 4] = [
    // The functions' plans do not depend on their arguments; planning anew for each would cost more than running.
    ("plan_cache_mode", "force_generic_plan"),
    // Everything has its index; a plan that was made while the tables were small must not outlive that.
    ("enable_seqscan", "off"),
    ("statement_timeout", "30000"),
    // A session that is cut off in the midst of a transaction must not keep its locks from all others.
    (IDLE, "30000"),
];

const IDLE: &str = "idle_in_transaction_session_timeout";

/// In milliseconds: the way to the server and back is no standing still.
pub(crate) const LEAST_IDLE: i32 = 1000;

pub(crate) fn connect(url: &str, options: &PostgresOptions) -> Result<PgPool, StoreError> {
    let mut connect =
        PgConnectOptions::from_str(url).map_err(|error| store_error("open the store", error))?;
    if connect.get_application_name().is_none() {
        connect = connect.application_name("eventcore");
    }
    let said = settings_of(connect.get_options().unwrap_or_default());
    let unsaid = |(name, _): &&(&str, &str)| !said.iter().any(|said| said == name);
    connect = connect.options(DEFAULTS.iter().filter(unsaid).copied());
    if let Some(timeout) = options.statement_timeout {
        let timeout = server_millis(timeout);
        // Of two that say the same, the last one counts.
        connect = connect.options([("statement_timeout", timeout)]);
        if timeout != 0 && !said.iter().any(|said| said == IDLE) {
            connect = connect.options([(IDLE, timeout.max(LEAST_IDLE))]);
        }
    }
    // Appends need it, and a transaction around each would cost three round trips.
    connect = connect.options([("default_transaction_isolation", "read committed")]);
    if !options.prepared_statements {
        connect = connect.statement_cache_capacity(0);
    }
    Ok(PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .connect_lazy_with(connect))
}

/// The names of the settings in the `options` of a URL: `-c name=value` or `--name=value`.
fn settings_of(options: &str) -> Vec<String> {
    let words = options.split_whitespace();
    let name = |word: &str| {
        let word = word
            .strip_prefix("--")
            .or_else(|| word.strip_prefix("-c"))
            .unwrap_or(word);
        let (name, _) = word.split_once('=')?;
        Some(name.replace('-', "_").to_ascii_lowercase())
    };
    words.filter_map(name).collect()
}

/// Work on a connection goes on when whoever waits for it is dropped, so no connection is left half way.
pub(crate) async fn in_a_task<T, E>(
    operation: &'static str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|stopped| {
        let text = "the task was stopped";
        Err(StoreError::new(operation, StoreErrorKind::Other, text)
            .with_source(stopped)
            .into())
    })
}

#[async_trait]
impl EventStore for PostgresEventStore {
    fn capabilities(&self) -> Capabilities {
        let claimed = Capabilities::none()
            .durable()
            .multi_process()
            .outcome_can_be_unknown();
        if self.shared.survives_power_cut {
            return claimed.survives_power_cut();
        }
        claimed
    }

    fn commons(&self) -> &Commons {
        &self.shared.commons
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
        if streams.is_empty() {
            return Ok(StreamRead {
                versions: Vec::new(),
                witnesses: Vec::new(),
                events: EventChunks::ready(Vec::new()),
            });
        }
        let open = |_, answer| reads::Open {
            streams: streams.to_vec(),
            answer,
        };
        let opened = self.shared.reads.ask("read", 0, open).await;
        let Opened {
            versions,
            witnesses,
            first,
            rest,
        } = opened.map_err(StoreError::from)??;
        let events = match rest {
            None => EventChunks::ready(first),
            Some(cursor) => EventChunks::streaming(first, self.clone().rest(cursor)),
        };
        Ok(StreamRead {
            versions,
            witnesses,
            events,
        })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let bytes = batch.stored_bytes();
        let job = |room, verdict| {
            appends::Job::Append(appends::Append {
                batch,
                verdict,
                _room: room,
            })
        };
        match self.shared.appends.ask("append", bytes, job).await {
            Ok(verdict) => verdict,
            Err(Unanswered::NotSent(error)) => Err(error.into()),
            Err(Unanswered::Lost(error)) => Err(AppendError::OutcomeUnknown(error)),
        }
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        let job = |_, answer| {
            let key = key.clone();
            appends::Job::Receipt(appends::Ask { key, answer })
        };
        let asked = self.shared.appends.ask("find a receipt", 0, job).await;
        asked.map_err(StoreError::from)?
    }

    async fn committed_receipt(
        &self,
        key: &IdempotencyKey,
    ) -> Result<Option<KeptReceipt>, ReadError> {
        const OPERATION: &str = "find a receipt";
        self.shared.appends.check(OPERATION)?;
        let (sessions, call, key) = (
            self.shared.sessions.clone(),
            self.shared.receipt_call.clone(),
            key.clone(),
        );
        in_a_task(OPERATION, async move {
            let failed = |error| read_error(OPERATION, error);
            let mut session = sessions.take().await.map_err(failed)?;
            let found = call.run(&mut session, key.as_str()).await;
            sessions.done(session, &found);
            found.map_err(failed)
        })
        .await
    }

    async fn read_all(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, ReadError> {
        const OPERATION: &str = "read the log";
        self.shared.appends.check(OPERATION)?;
        let (sessions, call, filter) = (
            self.shared.sessions.clone(),
            self.shared.page_call.clone(),
            filter.clone(),
        );
        in_a_task(OPERATION, async move {
            let failed = |error| read_error(OPERATION, error);
            let mut session = sessions.take().await.map_err(failed)?;
            let page = call.run(&mut session, after, &filter, limit.into()).await;
            sessions.done(session, &page);
            page.map_err(failed)?
        })
        .await
    }
}
