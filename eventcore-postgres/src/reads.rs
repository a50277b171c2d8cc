//! The task that reads. What waits at the same moment is read by one statement.

use eventcore::store::{ReadError, ReadFrom};
use tokio::sync::{mpsc, oneshot};

use crate::{
    crowd::Crowd,
    errors::{is_of_one, read_again, read_error},
    held::{Held, Patience},
    queue::Jobs,
    read_call::{Opened, ReadCall},
    row::Rows,
    sessions::{Sessions, is_broken},
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

/// What the task works with.
struct Reads {
    call: ReadCall,
    held: Held,
    rows: Rows,
    patience: Patience,
}

/// Runs until the queue is closed and empty.
pub(crate) async fn run(sessions: Sessions, call: ReadCall, mut jobs: Jobs<Open>) {
    let mut crowd = Crowd::default();
    let mut reads = Reads {
        call,
        patience: Patience::new(sessions.mode()),
        held: Held::new(sessions),
        rows: Rows::default(),
    };
    loop {
        let group = take(&mut jobs.queue, &crowd).await;
        if group.is_empty() {
            return;
        }
        jobs.progress.step();
        crowd.saw(group.len());
        // Parts of a group that failed as a whole, for the fault of one of it.
        let mut parts = vec![group];
        while let Some(part) = parts.pop() {
            parts.extend(reads.answer(part).await.into_iter().flatten());
            jobs.progress.step();
        }
    }
}

impl Reads {
    /// Answers readers by one statement, or gives them back in two halves, when it failed for one of them: each is to
    /// have its own verdict, and what one stream is damaged by is no matter of others.
    async fn answer(&mut self, mut group: Vec<Open>) -> Option<[Vec<Open>; 2]> {
        group.retain(|open| !open.answer.is_closed());
        let readers: Vec<&[ReadFrom]> = group.iter().map(|open| open.streams.as_slice()).collect();
        let result = match self.held.get().await {
            Ok(session) => {
                let open = self.call.open(session, &mut self.rows, &readers);
                self.patience.wait(open).await
            }
            Err(error) => Err(error),
        };
        self.held.done(result.as_ref().is_err_and(is_broken));
        match result {
            Ok(opened) => {
                for (open, opened) in group.into_iter().zip(opened) {
                    // A reader that gave up does not hear it.
                    let _ = open.answer.send(opened);
                }
                None
            }
            Err(error) if group.len() > 1 && is_of_one(&error) => {
                let half = group.split_off(group.len() / 2);
                Some([half, group])
            }
            Err(error) => {
                let error = read_error("read", error);
                for open in group {
                    let _ = open.answer.send(Err(read_again(&error)));
                }
                None
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
