//! Tells other processes of commits.

use std::{sync::Arc, time::Duration};

use sqlx::Error;
use tokio::time::sleep;

use super::Bell;
use crate::sessions::Sessions;

/// Others are told at once when there was nothing to tell before, and this often at most.
const PAUSE: Duration = Duration::from_millis(10);

/// How long to leave a server alone that could not be told.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The task that tells.
pub(super) struct Notifier {
    sessions: Sessions,
    channel: String,
    own: String,
}

impl Notifier {
    pub(super) fn new(sessions: Sessions, channel: &str, own: &str) -> Self {
        Self {
            sessions,
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
        // One that no other call waits for.
        let Some(mut session) = self.sessions.take_spare().await? else {
            return Ok(false);
        };
        // It need not be on the disk: what is read after it was committed before.
        let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
        let statement = sqlx::query(sql).bind(&self.channel).bind(&self.own);
        let told = session.mode().write(&mut session, statement).await;
        self.sessions.done(session, &told);
        told.map(|_| true)
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
