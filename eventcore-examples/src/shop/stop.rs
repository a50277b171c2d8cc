//! Ctrl-C: the first one asks to stop after what is on its way, the second one stops at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::watch;

/// The exit code of a run that was stopped, as shells have it for Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Hears Ctrl-C, and the polite kill of Unix.
#[derive(Debug)]
pub(crate) struct Stop {
    requested: watch::Receiver<bool>,
    gently: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// What the system says when signals cannot be had.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (request, requested) = watch::channel(false);
        let gently = Arc::new(AtomicBool::new(true));
        let may_wait = Arc::clone(&gently);
        let mut signals = Signals::listen()?;
        tokio::spawn(async move {
            loop {
                signals.next().await;
                if !may_wait.load(Relaxed) || request.send_replace(true) {
                    // Safe at any moment: what was acknowledged is stored, the rest is not, the next run goes on.
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        Ok(Self { requested, gently })
    }

    /// Completes when somebody has asked to stop.
    pub(crate) async fn requested(&mut self) {
        if self
            .requested
            .wait_for(|requested| *requested)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Nothing is on its way any more: from now on a signal stops at once.
    pub(crate) fn at_once(&self) {
        self.gently.store(false, Relaxed);
    }
}

/// The signals that ask to stop. Held over the whole run, so that none slips between two waits.
#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self([signal(SignalKind::interrupt())?, terminate]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// The signals that ask to stop.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
