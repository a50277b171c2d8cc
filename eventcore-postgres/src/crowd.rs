//! Whether it pays to wait for others.

/// How many travelled together lately.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// How many more times to wait although nobody came.
    hope: u8,
}

/// After so many lonely calls nobody is waited for.
const PATIENCE: u8 = 8;

impl Crowd {
    /// A call of this many.
    pub(crate) fn saw(&mut self, together: usize) {
        self.hope = if together > 1 {
            PATIENCE
        } else {
            self.hope.saturating_sub(1)
        };
    }

    /// Lets tasks that are about to join do so: cheaper than another call. Whoever was alone all the time goes at
    /// once, since giving way costs a turn of the whole scheduler.
    pub(crate) async fn gather(&self) {
        if self.hope > 0 {
            tokio::task::yield_now().await;
        }
    }
}
