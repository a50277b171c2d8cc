//! Leading a partition: events in, effects and checkpoint out, until told to stop or replaced.

mod apply;
mod letters;
mod opening;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::letters::Letters;
use super::{
    Checkpoint, Lease, ProjectionState, ProjectionStore,
    leader::{Ended, Leader, stopped},
    status::Speedometer,
    work::Work,
};
use crate::{
    EventStore, GlobalPosition, Timestamp,
    store::{Page, ReadError},
    subscription::{Subscription, log_end, subscribe},
};

/// How often to look after what no event reminds of.
const CHORES_EVERY: Duration = Duration::from_millis(200);
/// How often to look at the end of the log while behind it, and whether letters are to be replayed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longer than anybody waits, and short enough to be added to a time.
pub(super) const AGES: Duration = Duration::from_hours(24 * 365);

/// One term of office.
pub(super) struct Lead<'l, W, S, V> {
    leader: &'l mut Leader<W, S, V>,
    lease: Lease,
    checkpoint: Checkpoint,
    /// The checkpoint in the store is behind this one.
    unsaved: bool,
    moved: bool,
    /// Nothing was ever committed: the projection's preparation comes first.
    first: bool,
    renewed: Instant,
    looked: Instant,
    letters: Letters,
    /// Readers are to see this version as soon as all partitions have come to here.
    activation: Activation,
    speed: Speedometer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    /// It is active, or another is and stays.
    None,
    CatchingUp,
    WaitingFor(GlobalPosition),
}

impl<'l, W, S, V> Lead<'l, W, S, V>
where
    W: Work<V::Unit>,
    S: EventStore + Clone + 'static,
    V: ProjectionStore + Clone,
{
    pub(super) fn new(leader: &'l mut Leader<W, S, V>, lease: Lease) -> Self {
        let checkpoint = lease.checkpoint;
        let first = checkpoint == Checkpoint::default() && lease.divisions.is_empty();
        let now = Instant::now();
        Self {
            leader,
            lease,
            checkpoint,
            unsaved: false,
            moved: false,
            first,
            renewed: now,
            looked: now,
            letters: Letters::default(),
            activation: Activation::None,
            speed: Speedometer::new(checkpoint.position),
        }
    }

    /// Whether anything was committed.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    pub(super) async fn run(&mut self) -> Ended {
        let ended = match self.lead().await {
            Ok(()) => Ended::Stopped,
            Err(ended) => ended,
        };
        if let Ended::Stopped | Ended::Failed(_) = ended {
            if let Ended::Stopped = ended
                && self.unsaved
                && let Err(Ended::Failed(error) | Ended::Again(error)) = self.save(false).await
            {
                tracing::warn!(%error, "the last place was not saved; some events are looked at again");
            }
            if let Err(error) = self.leader.views.release(&self.lease).await {
                tracing::debug!(%error, "the lease was not released; it runs out");
            }
        }
        ended
    }

    async fn lead(&mut self) -> Result<(), Ended> {
        self.check_the_log().await?;
        self.take_office().await?;
        self.wait_for_preparation().await?;
        let mut events = subscribe(
            self.leader.store.clone(),
            // From the last event that concerned it, since a log that was replaced differs behind it at the earliest.
            self.checkpoint
                .witness
                .map_or(GlobalPosition::START, |witness| witness.position),
            self.leader.work.filter(),
        )
        .page_size(self.leader.settings.page_size)
        .poll_every(self.leader.settings.poll_every)
        .patience(Duration::ZERO);
        let mut chores = tokio::time::interval(CHORES_EVERY.min(self.lease.ttl / 4));
        chores.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = self.leader.stopping.clone();
        let mut rested = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return Ok(()),
                _ = chores.tick() => {
                    self.chores().await?;
                    // However long they took, events get their turn before the next.
                    chores.reset();
                }
                page = next_page(&mut events, rested) => {
                    let page = page?;
                    let live = page.at_end;
                    self.page(page).await?;
                    // While events keep coming, they share transactions.
                    let rest = if live { self.leader.settings.gather } else { Duration::ZERO };
                    rested = Instant::now() + rest;
                }
            }
        }
    }

    /// Waits, and does not lose the lease over it.
    async fn pause(&mut self, wait: Duration) -> Result<(), Ended> {
        let end = Instant::now() + wait.min(AGES);
        let mut stopping = self.leader.stopping.clone();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = stopped(&mut stopping) => return Err(Ended::Stopped),
                () = sleep(left.min(self.lease.ttl / 4)) => self.renew().await?,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Ended> {
        if self.renewed.elapsed() >= self.lease.ttl / 4 {
            self.leader.views.renew(&self.lease).await?;
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// What no event reminds of.
    async fn chores(&mut self) -> Result<(), Ended> {
        self.renew().await?;
        if self.looked.elapsed() >= LOOK_EVERY {
            if self.replay_letters().await? {
                self.looked = Instant::now();
            }
            if self.activation == Activation::CatchingUp
                || self.checkpoint.position < self.log_end()
            {
                let end = log_end(&self.leader.store).await?;
                self.leader.tell(|status| status.log_end = end);
                self.show();
            }
        }
        if self.unsaved {
            self.save(false).await?;
        }
        self.activate().await
    }

    fn log_end(&self) -> GlobalPosition {
        self.leader.status.borrow().log_end
    }

    fn at_end(&mut self) {
        if self.activation == Activation::CatchingUp {
            self.activation = Activation::WaitingFor(self.checkpoint.position);
        }
    }

    /// Lets readers see this version, once all its partitions have caught up.
    async fn activate(&mut self) -> Result<(), Ended> {
        let Activation::WaitingFor(position) = self.activation else {
            return Ok(());
        };
        let standings = self
            .leader
            .views
            .standings(&self.lease.projection.name)
            .await?;
        let newer = standings.iter().any(|standing| {
            standing.active && standing.projection.version > self.lease.projection.version
        });
        if newer {
            // Another version was faster; readers do not go back.
            self.activation = Activation::None;
            self.show();
            return Ok(());
        }
        let behind = standings.iter().any(|standing| {
            standing.projection == self.lease.projection
                && standing.partition != self.lease.partition
                && standing.checkpoint.position < position
        });
        if behind {
            return Ok(());
        }
        self.save(true).await?;
        self.activation = Activation::None;
        self.show();
        tracing::info!(projection = %self.lease.projection, "caught up, and seen by readers from now on");
        Ok(())
    }

    /// Commits the checkpoint alone.
    async fn save(&mut self, activate: bool) -> Result<(), Ended> {
        let unit = self.begin().await?;
        self.commit(unit, self.checkpoint, activate).await
    }

    /// Tells whoever watches.
    fn show(&self) {
        let position = self.checkpoint.position;
        let seen = self.activation == Activation::None;
        self.leader.tell(|status| {
            status.position = position;
            status.log_end = status.log_end.max(position);
            status.waiting_letters = self.letters.len();
            status.last_error = None;
            status.state = if position >= status.log_end && seen {
                status.lag = Duration::ZERO;
                ProjectionState::Live
            } else {
                ProjectionState::CatchingUp
            };
        });
    }

    fn show_page(&mut self, page: &Page) {
        let rate = self.speed.at(self.checkpoint.position);
        let lag = page.events.last().map(|event| age(event.recorded_at()));
        self.leader.tell(|status| {
            status.rate = rate;
            if page.at_end {
                status.log_end = page.next;
            } else {
                // There is more, even if it is not known how much.
                status.log_end = status.log_end.max(page.next.advanced(1));
                status.lag = lag.unwrap_or(status.lag);
            }
        });
        self.show();
    }
}

/// The next page, not before a time. Dropping it loses nothing.
async fn next_page(events: &mut Subscription<'_>, not_before: Instant) -> Result<Page, ReadError> {
    if Instant::now() < not_before {
        tokio::time::sleep_until(not_before).await;
    }
    events.next_page().await
}

/// How old an event is.
fn age(recorded_at: Timestamp) -> Duration {
    let age = Timestamp::now().unix_micros() - recorded_at.unix_micros();
    Duration::from_micros(u64::try_from(age).unwrap_or_default())
}
