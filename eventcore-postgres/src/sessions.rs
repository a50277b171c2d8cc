//! Where connections come from, and what becomes of them after a call.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::{Connection, Error, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::timeout;

use crate::mode::Mode;

/// The connections of a store. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    pool: PgPool,
    mode: Mode,
    /// The server could not be reached when a connection was wanted last. The pool tries for its whole time-out and
    /// then cannot say why; it is asked again only after a connection could be made.
    outage: Arc<AtomicBool>,
}

/// How long one connection may take to be made during an outage.
const PROBE: Duration = Duration::from_secs(1);

impl Sessions {
    pub(crate) fn new(pool: PgPool, mode: Mode) -> Self {
        Self {
            pool,
            mode,
            outage: Arc::default(),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A connection for one call, or for several of one task.
    pub(crate) async fn take(&self) -> Result<Session, Error> {
        if self.outage.load(Relaxed) {
            self.probe().await?;
            self.outage.store(false, Relaxed);
        }
        match self.acquire().await {
            Ok(connection) => Ok(self.session(connection)),
            Err(timed_out @ Error::PoolTimedOut) => {
                let Err(reason) = self.probe().await else {
                    // All connections are in use.
                    return Err(timed_out);
                };
                self.outage.store(true, Relaxed);
                Err(reason)
            }
            Err(error) => Err(error),
        }
    }

    /// A connection that sqlx does not hold to be in a transaction: it begins no other within one that was forgotten.
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        loop {
            let connection = self.pool.acquire().await?;
            if !connection.is_in_transaction() {
                return Ok(connection);
            }
            drop(connection.detach());
        }
    }

    /// A connection that no other call waits for, if there is one.
    pub(crate) async fn take_spare(&self) -> Result<Option<Session>, Error> {
        if let Some(connection) = self.pool.try_acquire()
            && !connection.is_in_transaction()
        {
            return Ok(Some(self.session(connection)));
        }
        if self.pool.size() < self.pool.options().get_max_connections() {
            return self.take().await.map(Some);
        }
        Ok(None)
    }

    fn session(&self, connection: PoolConnection<Postgres>) -> Session {
        Session {
            connection,
            mode: self.mode,
        }
    }

    /// Whether a connection can be made, outside of the pool: what is in the way, else.
    async fn probe(&self) -> Result<(), Error> {
        let limit = PROBE.min(self.pool.options().get_acquire_timeout());
        let options = self.pool.connect_options();
        match timeout(limit, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => {
                // In the background: the server notices a closed socket, too.
                tokio::spawn(connection.close());
                Ok(())
            }
            Ok(Err(reason)) => Err(reason),
            Err(_) => {
                let text = "the server does not answer";
                Err(Error::Io(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
        }
    }

    /// When a server is gone, so are the connections that wait in the pool, and each would cost a call an error.
    pub(crate) fn forget_idle(&self) {
        while let Some(idle) = self.pool.try_acquire() {
            drop(idle.detach());
        }
    }

    /// After a call. A connection that failed is not given back: the pool would ask it whether it is there, and keep
    /// its place for as long as it is silent.
    pub(crate) fn done<T>(&self, session: Session, result: &Result<T, Error>) {
        if result.as_ref().is_err_and(is_broken) {
            session.discard();
            self.forget_idle();
        }
    }
}

/// A connection that was taken, and how statements travel on it. Goes back to the pool when dropped.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PoolConnection<Postgres>,
    mode: Mode,
}

impl Session {
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The session is the store's alone from now on.
    pub(crate) fn keep(&mut self, read_committed: bool) {
        self.mode = self.mode.alone(read_committed);
    }

    pub(crate) fn into_connection(self) -> PoolConnection<Postgres> {
        self.connection
    }

    /// Closes the connection.
    pub(crate) fn discard(self) {
        drop(self.connection.detach());
    }
}

impl Deref for Session {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Whether the connection itself is to blame, or the server ended the session.
pub(crate) fn is_broken(error: &Error) -> bool {
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            code.starts_with("57P") || code.starts_with("08") || code.starts_with("25")
        }
        Error::PoolTimedOut | Error::PoolClosed => false,
        _ => true,
    }
}
