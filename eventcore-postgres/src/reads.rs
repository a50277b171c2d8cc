//! The task that reads. What waits at the same moment is read by one statement.

use eventcore::store::{ReadError, ReadFrom};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::{Held, Patience, is_broken},
    crowd::Crowd,
    errors::read_error,
    read_call::{Opened, ReadCall},
    row::Rows,
};

/// A reader that waits.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) streams: Vec<ReadFrom>,
    pub(crate) answer: oneshot::Sender<Result<Opened, ReadError>>,
}

/// The most readers, and streams, of one statement.
const MAX_GROUP: usize = 64;
const MAX_STREAMS: usize = 512;

/// Runs until the queue is closed and empty.
pub(crate) async fn run(pool: PgPool, call: ReadCall, mut queue: mpsc::Receiver<Open>) {
    let mut held = Held::new(pool);
    let mut rows = Rows::default();
    let mut crowd = Crowd::default();
    let mut patience = Patience::new(call.mode());
    loop {
        let group = take(&mut queue, &crowd).await;
        if group.is_empty() {
            return;
        }
        crowd.saw(group.len());
        let readers: Vec<&[ReadFrom]> = group.iter().map(|open| open.streams.as_slice()).collect();
        let result = match held.get().await {
            Ok(connection) => {
                let open = call.open(connection, &mut rows, &readers);
                patience.wait(open).await
            }
            Err(error) => Err(error),
        };
        held.done(result.as_ref().is_err_and(is_broken));
        match result {
            Ok(opened) => {
                for (open, opened) in group.into_iter().zip(opened) {
                    // Whoever gave up does not hear it.
                    let _ = open.answer.send(opened);
                }
            }
            Err(error) => {
                let error = read_error("read", error);
                for open in group {
                    let _ = open.answer.send(Err(crate::errors::read_again(&error)));
                }
            }
        }
    }
}

/// Waits for a reader and takes those behind it too; nothing at the end.
async fn take(queue: &mut mpsc::Receiver<Open>, crowd: &Crowd) -> Vec<Open> {
    let mut group = Vec::new();
    let mut streams = 0;
    while group.is_empty() {
        let Some(first) = queue.recv().await else {
            return group;
        };
        crowd.gather().await;
        let mut next = Some(first);
        while let Some(open) = next {
            if !open.answer.is_closed() {
                streams += open.streams.len();
                group.push(open);
            }
            let room = group.len() < MAX_GROUP && streams < MAX_STREAMS;
            next = if room { queue.try_recv().ok() } else { None };
        }
    }
    group
}
