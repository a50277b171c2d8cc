//! How those who wait for events are woken.

use std::time::Duration;

use tokio::sync::{Notify, watch};

/// Tells those who wait that there may be something to read. It carries no data, so losing a call only costs time.
#[derive(Debug)]
pub(crate) struct Wake {
    ticks: watch::Sender<()>,
    first: Notify,
}

impl Wake {
    pub(crate) fn new() -> Self {
        Self {
            ticks: watch::Sender::new(()),
            first: Notify::new(),
        }
    }

    pub(crate) fn wake(&self) {
        // Writers do not pay for readers that are not there.
        if self.ticks.receiver_count() > 0 {
            self.ticks.send_replace(());
        }
    }

    pub(crate) fn waiter(&self) -> Waiter {
        let waiter = Waiter(self.ticks.subscribe());
        self.first.notify_waiters();
        waiter
    }

    pub(crate) async fn watched(&self) {
        loop {
            let first = self.first.notified();
            if self.ticks.receiver_count() > 0 {
                return;
            }
            first.await;
        }
    }

    pub(crate) async fn unwatched(&self) {
        self.ticks.closed().await;
    }
}

/// Somebody who waits for events; see [`Commons::waiter`](crate::Commons::waiter).
#[derive(Debug)]
pub struct Waiter(watch::Receiver<()>);

impl Waiter {
    /// Forgets the calls so far. Say this before reading: what comes while reading then ends the next wait at once.
    pub fn arm(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a call since [`Waiter::arm`], at most this long.
    ///
    /// # Cancel safety
    ///
    /// A call that came is not forgotten when the future is dropped before it resolves.
    pub async fn wait(&mut self, at_most: Duration) {
        match tokio::time::timeout(at_most, self.0.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            // The store is gone, and nobody will ever call; not a reason to turn in circles.
            Ok(Err(_)) => tokio::time::sleep(at_most).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_call_between_arming_and_waiting_is_not_lost() {
        let wake = Wake::new();
        let mut waiter = wake.waiter();
        waiter.arm();
        wake.wake();
        let start = tokio::time::Instant::now();
        waiter.wait(LONG).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        waiter.wait(LONG).await;
        assert_eq!(start.elapsed(), LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_learns_when_somebody_begins_to_wait_and_when_nobody_does() {
        let wake = Wake::new();
        let watched = async {
            wake.watched().await;
            wake.unwatched().await;
        };
        let waits = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let waiter = wake.waiter();
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(waiter);
        };
        tokio::time::timeout(LONG, async { tokio::join!(watched, waits) })
            .await
            .unwrap();
    }
}
