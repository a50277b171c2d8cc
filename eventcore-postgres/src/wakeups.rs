//! Who waits for events learns of commits: in this process at once, in others by LISTEN and NOTIFY.
//!
//! All of it is beside the path of an append and may fail in every way: whoever waits looks for events by itself from
//! time to time, so a call that is lost only costs time.

mod listener;
mod notifier;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    time::Duration,
};

use eventcore::Commons;
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use uuid::Uuid;

use self::{listener::Listener, notifier::Notifier};
use crate::{options::SchemaName, sessions::Sessions};

/// Appends and reads keep a connection each, one tells, and one at least is for everybody else.
const LEAST_CONNECTIONS: u32 = 4;

/// How long the last call may take when a store is closed.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Rung after each commit.
pub(crate) struct Bell {
    commons: Arc<Commons>,
    /// There was a commit that other processes were not told of.
    untold: AtomicBool,
    rung: Notify,
    closing: watch::Sender<bool>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("untold", &self.untold)
            .finish_non_exhaustive()
    }
}

impl Bell {
    pub(crate) fn new(commons: Arc<Commons>) -> Self {
        Self {
            commons,
            untold: AtomicBool::new(false),
            rung: Notify::new(),
            closing: watch::Sender::new(false),
        }
    }

    /// Something was committed. Costs an append next to nothing.
    pub(crate) fn ring(&self) {
        self.commons.wake();
        if !self.untold.swap(true, AcqRel) {
            self.rung.notify_one();
        }
    }

    /// Waits for a commit; says whether there was one, and not the end.
    async fn next(&self) -> bool {
        loop {
            if self.untold.swap(false, AcqRel) {
                return true;
            }
            if self.is_closing() {
                return false;
            }
            tokio::select! {
                () = self.rung.notified() => {}
                () = self.closed() => {}
            }
        }
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    async fn closed(&self) {
        // The sender is in this very value.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// The tasks that tell and listen; they end with this value.
#[derive(Debug)]
pub(crate) struct Wakeups {
    bell: Arc<Bell>,
    listening: Option<AbortHandle>,
    telling: Mutex<Option<JoinHandle<()>>>,
}

impl Wakeups {
    /// Starts the tasks, where the pool has connections for them and nobody has turned them off.
    pub(crate) fn start(
        bell: &Arc<Bell>,
        sessions: &Sessions,
        schema: &SchemaName,
        wanted: bool,
    ) -> Self {
        let pool = sessions.pool();
        let wanted = wanted && pool.options().get_max_connections() >= LEAST_CONNECTIONS;
        let channel = schema.fill("eventcore.{schema_text}");
        let own = Uuid::now_v7().simple().to_string();
        let telling = wanted.then(|| {
            let notifier = Notifier::new(sessions.clone(), &channel, &own);
            tokio::spawn(notifier.run(Arc::clone(bell)))
        });
        let listening = wanted.then(|| {
            let listener = Listener::new(pool.clone(), channel, own);
            tokio::spawn(listener.run(Arc::clone(&bell.commons))).abort_handle()
        });
        Self {
            bell: Arc::clone(bell),
            listening,
            telling: Mutex::new(telling),
        }
    }

    /// Tells of the last commits, and ends.
    pub(crate) async fn close(&self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        let telling = self.take_telling();
        if let Some(mut telling) = telling {
            self.bell.close();
            if timeout(LAST_CALL, &mut telling).await.is_err() {
                telling.abort();
            }
        }
    }

    fn take_telling(&self) -> Option<JoinHandle<()>> {
        let mut telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        telling.take()
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        if let Some(telling) = self.take_telling() {
            telling.abort();
        }
    }
}
