//! Hears of commits by other processes.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use eventcore::Commons;
use sqlx::{
    Executor, PgPool, Row,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

/// How long to keep listening after the last who waited has gone: another may come.
const LINGER: Duration = Duration::from_secs(5);

/// How often to see whether a connection that says nothing is there yet, and how long that may take.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// How long to wait before another try, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A setting that a session has from the beginning when nothing is between it and the server. A pooler may hand the
/// session to somebody else, and notifications with it, whom they would surprise.
const DIRECT: &str = "eventcore.direct";

/// Why listening ended.
enum Ended {
    Lost(sqlx::Error),
    /// It is of no use.
    Useless(&'static str),
}

impl From<sqlx::Error> for Ended {
    fn from(error: sqlx::Error) -> Self {
        Self::Lost(error)
    }
}

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
            let ended = tokio::select! {
                ended = self.listen(&commons, &mut wait) => ended,
                () = deserted(&commons) => continue,
                () = self.pool.close_event() => return,
            };
            match ended {
                Ended::Useless(why) => {
                    tracing::debug!(why, "not listening to other processes");
                    return;
                }
                Ended::Lost(error) => {
                    tracing::debug!(%error, "not listening to other processes just now");
                }
            }
            sleep(wait.mul_f64(0.5 + jitter())).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn listen(&self, commons: &Commons, wait: &mut Duration) -> Ended {
        let Err(ended) = self.try_listen(commons, wait).await;
        ended
    }

    /// Listens until the connection is lost.
    async fn try_listen(
        &self,
        commons: &Commons,
        wait: &mut Duration,
    ) -> Result<Infallible, Ended> {
        let own = self.pool.connect_options().as_ref().clone();
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(own.options([(DIRECT, "on")]));
        let mut listener = PgListener::connect_with(&own).await?;
        listener.eager_reconnect(false);
        let direct = sqlx::raw_sql("SELECT current_setting('eventcore.direct', true)");
        let direct = listener.fetch_one(direct).await?;
        if direct.try_get::<Option<&str>, _>(0)? != Some("on") {
            return Err(Ended::Useless("there is a pooler in between"));
        }
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
                Ok(Ok(None)) => return Err(lost(io::ErrorKind::UnexpectedEof)),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let asked = listener.execute("SELECT 1");
                    let answer = timeout(ANSWER, asked).await;
                    answer.map_err(|_| lost(io::ErrorKind::TimedOut))??;
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

fn lost(how: io::ErrorKind) -> Ended {
    Ended::Lost(sqlx::Error::Io(how.into()))
}

/// Something from 0 to 1, so that processes do not come back all at once after a restart.
fn jitter() -> f64 {
    let random = uuid::Uuid::now_v7().as_u128() & 0xffff;
    f64::from(u16::try_from(random).unwrap_or_default()) / f64::from(u16::MAX)
}
