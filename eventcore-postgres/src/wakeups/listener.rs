//! Hears of commits by other processes.

use std::{io, sync::Arc, time::Duration};

use eventcore::Commons;
use sqlx::{Error, PgPool, postgres::PgListener};
use tokio::time::{sleep, timeout};

/// How long to keep listening after the last who waited has gone: another may come.
const LINGER: Duration = Duration::from_secs(5);

/// How often to see whether a connection that says nothing is there yet, and how long that may take.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// How long to wait before another try, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The task that listens.
pub(super) struct Listener {
    pool: PgPool,
    channel: String,
    /// What this process says itself: who waits here has been woken already.
    own: String,
}

impl Listener {
    pub(super) fn new(pool: PgPool, channel: String, own: String) -> Self {
        Self { pool, channel, own }
    }

    /// Runs until it is aborted, or the pool is closed.
    pub(super) async fn run(self, commons: Arc<Commons>) {
        let mut wait = FIRST_WAIT;
        loop {
            commons.watched().await;
            let lost = tokio::select! {
                lost = self.listen(&commons, &mut wait) => lost,
                () = deserted(&commons) => continue,
            };
            match lost {
                Err(Error::PoolClosed) => return,
                Ok(()) => tracing::debug!("the connection that listens was lost"),
                Err(error) => tracing::debug!(%error, "not listening to other processes just now"),
            }
            sleep(wait.mul_f64(0.5 + jitter())).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Listens until the connection is lost.
    async fn listen(&self, commons: &Commons, wait: &mut Duration) -> Result<(), Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await?;
        *wait = FIRST_WAIT;
        // Nobody knows what was said before.
        commons.wake();
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(said))) => {
                    // It is read at once, whoever says it and how often: what is left lying would fill the server's queue.
                    if said.payload() != self.own {
                        commons.wake();
                    }
                }
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let asked = sqlx::query("SELECT 1").execute(&mut listener);
                    timeout(ANSWER, asked).await.map_err(|_| silent())??;
                }
            }
        }
    }
}

/// Resolves when nobody has waited for a while.
async fn deserted(commons: &Commons) {
    loop {
        commons.unwatched().await;
        if timeout(LINGER, commons.watched()).await.is_err() {
            return;
        }
    }
}

fn silent() -> Error {
    Error::Io(io::Error::from(io::ErrorKind::TimedOut))
}

/// Something from 0 to 1, so that processes do not come back all at once after a restart.
fn jitter() -> f64 {
    let random = uuid::Uuid::now_v7().as_u128() & 0xffff;
    f64::from(u16::try_from(random).unwrap_or_default()) / f64::from(u16::MAX)
}
