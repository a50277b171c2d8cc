//! The connection that a task keeps from call to call, and the time that it watches.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Error, PgConnection, Row};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    mode::{Mode, clear, silent},
    options::server_millis,
    sessions::{Session, Sessions},
};

/// As [`Mode::patiently`], for a task that sends one statement after the other.
///
/// Its one timer is left as it is until it goes off, and then set to the end of the statement that is under way: a new
/// timer for each statement would wake the thread that waits for the network, which costs more than reading a row.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

/// Longer than any statement, and short enough to be added to a time.
const AGES: Duration = Duration::from_hours(24 * 365);

impl Patience {
    pub(crate) fn new(mode: Mode) -> Self {
        let limit = mode.patience.min(AGES);
        Self {
            limit,
            timer: Box::pin(sleep(limit)),
        }
    }

    pub(crate) async fn wait<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        let end = Instant::now() + self.limit;
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return done,
                () = self.timer.as_mut() => {}
            }
            if Instant::now() >= end {
                return Err(silent());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

/// The connection of one task. Kept from call to call where the pool has enough of them, so that no ping and no wait
/// stands between; given back at once where it has not.
#[derive(Debug)]
pub(crate) struct Held {
    sessions: Sessions,
    keep: bool,
    session: Option<Session>,
}

impl Held {
    pub(crate) fn new(sessions: Sessions) -> Self {
        // One for appends, one for reads, and one at least for all other calls.
        let keep = sessions.pool().options().get_max_connections() >= 3;
        Self {
            sessions,
            keep,
            session: None,
        }
    }

    /// A session: the one that is kept, or a new one.
    pub(crate) async fn get(&mut self) -> Result<&mut Session, Error> {
        if self.session.is_none() {
            self.session = Some(self.take().await?);
        }
        self.session.as_mut().ok_or(Error::PoolClosed)
    }

    /// A session of a shared pool that is kept is looked at once. It belongs to this task from then on, so its
    /// statements need no frame.
    async fn take(&self) -> Result<Session, Error> {
        let mut session = self.sessions.take().await?;
        let mode = session.mode();
        if self.keep && mode.shared && mode.prepared {
            match mode.patiently(inspect(&mut session, mode)).await {
                Ok(Some(read_committed)) => session.keep(read_committed),
                Ok(None) => {}
                // Its limits are so narrow that it cannot even tell them.
                Err(error) if is_timeout(&error) => {}
                Err(error) => {
                    session.discard();
                    return Err(error);
                }
            }
        }
        Ok(session)
    }

    /// After a call: a connection that failed is not used again.
    pub(crate) fn done(&mut self, failed: bool) {
        if failed {
            if let Some(session) = self.session.take() {
                session.discard();
            }
            self.sessions.forget_idle();
        } else if !self.keep {
            self.session = None;
        }
    }
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Database(error) if error.code().is_some_and(|code| code == "57014"))
}

/// Ends what was left open in a session; says whether its statements run at READ COMMITTED. `None` for a session with
/// narrower limits than the store's: it stays framed.
async fn inspect(connection: &mut PgConnection, mode: Mode) -> Result<Option<bool>, Error> {
    clear(connection).await?;
    let limit = server_millis(mode.statement_timeout);
    let look = format!(
        "SELECT current_setting('default_transaction_isolation') = 'read committed',
             current_setting('lock_timeout') = '0' AND (current_setting('statement_timeout') = '0' OR (
                 {limit} > 0 AND current_setting('statement_timeout')::interval >= interval '{limit} ms'
             ))"
    );
    let look = sqlx::raw_sql(AssertSqlSafe(look));
    let row = look.fetch_one(connection).await?;
    let (read_committed, wide): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    Ok(wide.then_some(read_committed))
}
