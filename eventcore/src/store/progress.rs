//! Waits for answers of a store's tasks and threads, which end in the caller.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Poll,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// What a task or thread of a store has done, as the sign of life for the callers that wait for it. Clones count
/// together.
///
/// A backend hands work to a task or thread of its own and waits for the answer. That wait must end in the caller, also
/// when the other side never runs: its runtime may be blocked, its disk may hang. A fixed limit would end long queues as
/// well, so a caller waits for as long as the other side makes progress, and no longer than `stall` without any.
///
/// A timer for each wait would wake the thread that waits for the network, which costs more than a short read. So the
/// waits of a process share one thread, which looks after them four times a second.
///
/// ```
/// use std::time::Duration;
/// use eventcore::store::Progress;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let progress = Progress::default();
/// progress.step();
/// let answer = progress.wait(async { 7 }, Duration::from_secs(1)).await;
/// assert_eq!(answer, Some(7));
/// let never = std::future::pending::<()>();
/// assert_eq!(progress.wait(never, Duration::from_millis(1)).await, None);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// A step was begun or finished.
    pub fn step(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Waits for an answer; `None` when no step was made for `stall`, or up to half a second longer.
    ///
    /// # Cancel safety
    ///
    /// As safe as `answer`.
    pub async fn wait<F: Future>(&self, answer: F, stall: Duration) -> Option<F::Output> {
        let mut answer = pin!(answer);
        // Most answers that are there at once need no watch.
        let ready = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        if let Poll::Ready(answer) = ready {
            return Some(answer);
        }
        let ticks = Ticks::get();
        let _waiting = ticks.watch();
        let (mut seen, mut since) = (self.0.load(Relaxed), Instant::now());
        loop {
            let mut tick = pin!(ticks.notify.notified());
            let answered = poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                tick.as_mut().poll(cx).map(|()| None)
            });
            if let Some(answer) = answered.await {
                return Some(answer);
            }
            let now = self.0.load(Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() >= stall {
                return None;
            }
        }
    }
}

const TICK: Duration = Duration::from_millis(250);

/// Ticks without a wait after which the thread sleeps.
const IDLE: u32 = 40;

/// The thread that looks after all waits.
struct Ticks {
    notify: Notify,
    waiting: AtomicUsize,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A wait that is looked after.
struct Watched<'t>(&'t Ticks);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Ticks {
    fn get() -> &'static Self {
        static TICKS: OnceLock<Ticks> = OnceLock::new();
        TICKS.get_or_init(|| Self {
            notify: Notify::new(),
            waiting: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
        })
    }

    fn watch(&'static self) -> Watched<'static> {
        self.waiting.fetch_add(1, SeqCst);
        let thread = self.thread.get_or_init(|| {
            let started = thread::Builder::new()
                .name("eventcore-waits".into())
                .spawn(move || self.run());
            // Without a thread the waits have no end of their own.
            started.map_or_else(|_| thread::current(), |handle| handle.thread().clone())
        });
        if self.asleep.load(SeqCst) {
            thread.unpark();
        }
        Watched(self)
    }

    fn run(&self) {
        let mut idle = 0;
        loop {
            if self.waiting.load(SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE {
                self.asleep.store(true, SeqCst);
                // A wait that began just now has seen that, or is seen here.
                while self.waiting.load(SeqCst) == 0 {
                    thread::park();
                }
                self.asleep.store(false, SeqCst);
                idle = 0;
            }
            thread::sleep(TICK);
            self.notify.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_nothing_is_done_and_not_before() {
        let progress = Progress::default();
        let (answer, answered) = oneshot::channel();
        let working = progress.clone();
        let worker = thread::spawn(move || {
            for _ in 0..12 {
                thread::sleep(Duration::from_millis(100));
                working.step();
            }
            answer.send(7).unwrap();
        });
        // Longer than the limit in all, and never that long without a step.
        let limit = Duration::from_secs(5);
        assert_eq!(progress.wait(answered, limit).await, Some(Ok(7)));
        worker.join().unwrap();
        let never = std::future::pending::<()>();
        let begun = Instant::now();
        assert_eq!(progress.wait(never, Duration::from_millis(300)).await, None);
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn a_wait_needs_no_runtime() {
        let (answer, answered) = oneshot::channel();
        thread::spawn(move || answer.send(1));
        let progress = Progress::default();
        let waiting = progress.wait(answered, Duration::from_mins(1));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(waiting), Some(Ok(1)));
    }
}
