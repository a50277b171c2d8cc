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
use tokio::sync::{Mutex, oneshot};

use crate::{
    PostgresOptions, PostgresProjections,
    append_call::AppendCall,
    appends::{self, Appends},
    connection::{self, Mode},
    errors::{closed, read_error, store_error},
    inline::Inlines,
    log_page::{PageCall, ReceiptCall},
    options::{SchemaName, server_millis},
    queue::Queue,
    read_call::{Cursor, Opened, ReadCall},
    reads, schema,
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
    pool: PgPool,
    own_pool: bool,
    appends: Queue<appends::Job>,
    reads: Queue<reads::Open>,
    read_call: ReadCall,
    page_call: PageCall,
    receipt_call: ReceiptCall,
    commons: Arc<Commons>,
    wakeups: Wakeups,
    mode: Mode,
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
        let (checked, name) = (pool.clone(), options.schema.clone());
        let found = in_a_task("open the store", async move {
            schema::check(&checked, &name).await
        })
        .await?;
        let mode = Mode {
            prepared: options.prepared_statements,
            read_committed: found.read_committed,
            patience: Mode::patience(found.statement_timeout),
        };
        let inlines = open_inline(&pool, &options, mode, found.statement_timeout).await?;
        let schema = &options.schema;
        let read_call = ReadCall::new(schema, mode);
        let receipt_call = ReceiptCall::new(schema, mode);
        let (appends, append_queue) = Queue::new(options.queue, options.queue_timeout);
        let (reads, read_queue) = Queue::new(options.queue, options.queue_timeout);
        let commons = Arc::new(Commons::keeping(options.kept_folds));
        let bell = Arc::new(Bell::new(Arc::clone(&commons)));
        let wakeups = Wakeups::start(&bell, &pool, schema, mode, options.wakeups);
        let appending = Appends {
            pool: pool.clone(),
            inlines,
            call: AppendCall::new(schema, found.log, mode),
            receipts: receipt_call.clone(),
            bell: Arc::clone(&bell),
        };
        let tasks = vec![
            tokio::spawn(appending.run(append_queue)),
            tokio::spawn(reads::run(pool.clone(), read_call.clone(), read_queue)),
        ];
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                own_pool,
                appends,
                reads,
                read_call,
                page_call: PageCall::new(schema, mode),
                receipt_call,
                commons,
                wakeups,
                mode,
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
        self.shared.appends.put_last(appends::Job::Close).await;
        let mut tasks = self.shared.tasks.lock().await;
        if let Some(appending) = tasks.first_mut() {
            let _ = appending.await;
        }
        self.shared.wakeups.close().await;
        for task in tasks.drain(..).skip(1) {
            task.abort();
        }
        if self.shared.own_pool {
            self.shared.pool.close().await;
        }
    }

    /// Projections in the same database and schema, over the same connections: of those the store keeps up to three for
    /// itself, and a projection with SQL of its own holds one for each of its partitions while it writes.
    pub fn projections(&self) -> PostgresProjections {
        let shared = &self.shared;
        PostgresProjections::over(
            shared.pool.clone(),
            shared.schema.clone(),
            shared.mode,
            false,
        )
    }

    /// A pool of the application's is open even after the store was closed.
    fn open_for(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.shared.appends.is_closed() {
            return Err(closed(operation));
        }
        Ok(())
    }

    /// The rest of a long read, chunk by chunk.
    fn rest(
        self,
        cursor: Cursor,
    ) -> impl futures_core::Stream<Item = Result<Vec<RecordedEvent>, ReadError>> + use<> {
        futures_util::stream::unfold((self, Some(cursor)), |(store, cursor)| async move {
            let cursor = cursor?;
            let (pool, call) = (store.shared.pool.clone(), store.shared.read_call.clone());
            let chunk = in_a_task("read", async move {
                let mut connection = pool.acquire().await.map_err(|e| read_error("read", e))?;
                let read = call.go_on(&mut connection, cursor).await;
                connection::done(&pool, connection, &read);
                read.map_err(|e| read_error("read", e))?
            });
            match chunk.await {
                Ok((chunk, rest)) => Some((Ok(chunk), (store, rest))),
                Err(error) => Some((Err(error), (store, None))),
            }
        })
    }
}

/// What the options say is run inline, made so.
async fn open_inline(
    pool: &PgPool,
    options: &PostgresOptions,
    mode: Mode,
    timeout: Duration,
) -> Result<Option<Inlines>, StoreError> {
    if options.inline.is_empty() {
        return Ok(None);
    }
    let inlines = Inlines::new(options.inline.clone(), &options.schema, mode, timeout);
    let pool = pool.clone();
    in_a_task("open the store", async move {
        inlines.open(&pool).await?;
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
                events: EventChunks::ready(Vec::new()),
            });
        }
        let (answer, answered) = oneshot::channel();
        let open = reads::Open {
            streams: streams.to_vec(),
            answer,
        };
        self.shared.reads.put("read", open).await?;
        let Opened {
            versions,
            first,
            rest,
        } = answered.await.map_err(|_| closed("read"))??;
        let events = match rest {
            None => EventChunks::ready(first),
            Some(cursor) => EventChunks::streaming(first, self.clone().rest(cursor)),
        };
        Ok(StreamRead { versions, events })
    }

    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
        let (verdict, judged) = oneshot::channel();
        let job = appends::Job::Append(appends::Append { batch, verdict });
        self.shared.appends.put("append", job).await?;
        // The verdict is lost only if the writer is: then nobody knows.
        judged
            .await
            .unwrap_or_else(|_| Err(AppendError::OutcomeUnknown(closed("append"))))
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<Option<KeptReceipt>, ReadError> {
        const OPERATION: &str = "find a receipt";
        self.open_for(OPERATION)?;
        let (pool, call, key) = (
            self.shared.pool.clone(),
            self.shared.receipt_call.clone(),
            key.clone(),
        );
        in_a_task(OPERATION, async move {
            let mut connection = pool.acquire().await.map_err(|e| read_error(OPERATION, e))?;
            let found = call.run(&mut connection, key.as_str()).await;
            connection::done(&pool, connection, &found);
            found.map_err(|e| read_error(OPERATION, e))
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
        self.open_for(OPERATION)?;
        let (pool, call, filter) = (
            self.shared.pool.clone(),
            self.shared.page_call.clone(),
            filter.clone(),
        );
        in_a_task(OPERATION, async move {
            let mut connection = pool.acquire().await.map_err(|e| read_error(OPERATION, e))?;
            let page = call
                .run(&mut connection, after, &filter, limit.into())
                .await;
            connection::done(&pool, connection, &page);
            page.map_err(|e| read_error(OPERATION, e))?
        })
        .await
    }
}
