//! Notices what other processes append, while somebody waits for events.
//!
//! SQLite tells nobody of a commit. So a thread asks, 50 times a second and only while somebody waits, whether the
//! file has changed: a look at shared memory, some microseconds. Only if it has, it asks for the end of the log.

use std::{pin::pin, sync::Arc, thread, time::Duration};

use eventcore::{
    Commons, GlobalPosition,
    store::{StoreError, StoreErrorKind},
};
use futures_util::future::{Either, select};
use rusqlite::Connection;
use tokio::sync::{Mutex, oneshot};

use crate::{
    SqliteOptions, append::last_position, connection, errors::store_error, identity::OpenFile,
};

const EVERY: Duration = Duration::from_millis(20);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    /// Dropping it is the signal.
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Watch {
    pub(crate) fn start(
        options: &SqliteOptions,
        file: Arc<OpenFile>,
        commons: Arc<Commons>,
    ) -> Result<Self, StoreError> {
        let failed = |text| StoreError::new("open the store", StoreErrorKind::Other, text);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| failed("cannot start a timer").with_source(error))?;
        let (stop, mut stopped) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let options = options.clone();
        let body = move || {
            runtime.block_on(async {
                select(pin!(watch(&options, &file, &commons)), &mut stopped).await;
            });
            // Nobody may be waiting for the end.
            let _ = done.send(());
        };
        thread::Builder::new()
            .name("eventcore-sqlite-watch".into())
            .spawn(body)
            .map_err(|error| failed("cannot start a thread").with_source(error))?;
        let running = Running { stop, ended };
        Ok(Self(Mutex::new(Some(running))))
    }

    /// Ends the thread and waits for its end.
    pub(crate) async fn close(&self) {
        if let Some(Running { stop, ended }) = self.0.lock().await.take() {
            drop(stop);
            let _ = ended.await;
        }
    }
}

/// For ever: waits until somebody waits for events, then looks until nobody does.
async fn watch(options: &SqliteOptions, file: &Arc<OpenFile>, commons: &Commons) {
    loop {
        commons.watched().await;
        let looking = async {
            loop {
                let error = look(options, file, commons).await;
                // Those who wait poll, too, so this costs them time and nothing else.
                tracing::debug!(%error, "other processes cannot be watched for now");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        // What looks never ends by itself.
        let (Either::Left(((), _)) | Either::Right(((), _))) =
            select(pin!(commons.unwatched()), pin!(looking)).await;
    }
}

/// Wakes those who wait whenever the log has grown, until something fails.
async fn look(options: &SqliteOptions, file: &Arc<OpenFile>, commons: &Commons) -> StoreError {
    let failed = |error| store_error("watch the file", error);
    let connection = match connection::reader(options, file) {
        Ok(connection) => connection,
        Err(error) => return error,
    };
    let (mut change, mut end) = (None, GlobalPosition::START);
    loop {
        match glance(&connection, &mut change, &mut end) {
            Ok(true) => commons.wake(),
            Ok(false) => {}
            Err(error) => return failed(error),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether the log has grown since the last time.
fn glance(
    connection: &Connection,
    change: &mut Option<i64>,
    end: &mut GlobalPosition,
) -> Result<bool, rusqlite::Error> {
    let mut version = connection.prepare_cached("PRAGMA data_version")?;
    let now: i64 = version.query_row([], |row| row.get(0))?;
    if change.replace(now) == Some(now) {
        return Ok(false);
    }
    let now = last_position(connection)?;
    Ok(std::mem::replace(end, now) < now)
}
