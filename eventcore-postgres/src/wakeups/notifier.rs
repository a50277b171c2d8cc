//! Tells other processes of commits.

use std::{sync::Arc, time::Duration};

use sqlx::{Error, PgPool, Postgres, pool::PoolConnection};
use tokio::time::sleep;

use super::Bell;
use crate::connection::{self, Mode};

/// Others are told at once when there was nothing to tell before, and this often at most.
const PAUSE: Duration = Duration::from_millis(10);

/// How long to leave a server alone that could not be told.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The task that tells.
pub(super) struct Notifier {
    pool: PgPool,
    mode: Mode,
    channel: String,
    own: String,
}

impl Notifier {
    pub(super) fn new(pool: PgPool, mode: Mode, channel: &str, own: &str) -> Self {
        Self {
            pool,
            mode,
            channel: channel.to_owned(),
            own: own.to_owned(),
        }
    }

    /// Runs until the bell is closed.
    pub(super) async fn run(self, bell: Arc<Bell>) {
        while bell.next().await {
            match self.tell().await {
                Ok(true) => bell.rest(PAUSE).await,
                // Nothing was free.
                Ok(false) => {
                    bell.ring_again();
                    sleep(PAUSE).await;
                }
                Err(Error::PoolClosed) => return,
                Err(error) => {
                    tracing::debug!(%error, "other processes were not told of a commit yet");
                    if bell.is_closing() {
                        return;
                    }
                    bell.ring_again();
                    bell.rest(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn tell(&self) -> Result<bool, Error> {
        let Some(mut connection) = self.connection().await? else {
            return Ok(false);
        };
        // Nobody waits for this to be on the disk: whoever is told reads what was committed before.
        let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
        let statement = sqlx::query(sql).bind(&self.channel).bind(&self.own);
        let told = self.mode.append(&mut connection, statement).await;
        connection::done(&self.pool, connection, &told);
        told.map(|_| true)
    }

    /// One that nobody has to wait for.
    async fn connection(&self) -> Result<Option<PoolConnection<Postgres>>, Error> {
        if let Some(connection) = self.pool.try_acquire() {
            return Ok(Some(connection));
        }
        if self.pool.size() < self.pool.options().get_max_connections() {
            return self.pool.acquire().await.map(Some);
        }
        Ok(None)
    }
}

impl Bell {
    /// Others were not told after all: once more, next time round.
    fn ring_again(&self) {
        self.untold.store(true, super::Release);
    }

    /// Waits this long, or until the store is closed.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.closed() => {}
        }
    }
}
