//! What can happen to bytes on their way.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

/// What happens to the burst that a [`When`](super::When) names, or to its connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing. Shields a burst from what was armed later.
    Pass,
    /// Both sides are closed and nothing of the burst is forwarded: a request is lost, or an answer is.
    Close,
    /// So many bytes more go in this direction, counted from the beginning of the burst and over later ones; then both
    /// sides are closed.
    CloseAfter(usize),
    /// The request is forwarded, the server works and answers; the answer is thrown away and the client's side closed.
    /// The client sees the same as with [`Fault::Close`]. For an answer it is [`Fault::Close`].
    SwallowReply,
    /// The client's side is closed at once, and the request still reaches the server, when the gate opens. The answer
    /// is thrown away. For an answer it is [`Fault::Close`].
    ArriveLate(Gate),
    /// The burst, and what follows it in this direction, is held for this time.
    Delay(Duration),
    /// The burst, and what follows it in this direction, is held until the gate opens.
    Hold(Gate),
    /// The burst is delivered in pieces of so many bytes, each by itself; 0 counts as 1.
    Split(usize),
}

/// Closed at first, then open for good; clones are the same gate.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use eventcore_testing::fault_proxy::Gate;
///
/// let gate = Gate::new();
/// let other = gate.clone();
/// let waiting = tokio::spawn(async move { other.opened().await });
/// gate.open();
/// waiting.await.expect("it was opened");
/// # }
/// ```
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Opens it for all who wait and for all who come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is open.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn opened(&self) {
        // An error would mean that the sender is gone, and we hold it.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() {
            "Gate(open)"
        } else {
            "Gate(closed)"
        })
    }
}
