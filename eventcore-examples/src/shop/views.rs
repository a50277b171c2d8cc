//! The read models at work: started, waited for, read, stopped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use eventcore::{
    EventFilter,
    prelude::*,
    projection::{
        DocumentQuery, Documents, ProjectionError, ProjectionId, ProjectionName, ProjectionState,
        ProjectionStore, ReadModel, RunningProjection, project,
    },
    store::{PageSize, ReadError},
};

use super::{Books, Customers, Figures, MonthSheet, Months, ShopError, progress::say};

/// How long a process that was killed still counts as the leader. Short, so that the next run does not wait long.
const LEASE: Duration = Duration::from_secs(2);
/// How long the read models may stand still before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many documents are read at once.
const PAGE: usize = 10_000;

/// The read models of a store, kept up to date while this lives: by this process, or by another that leads at the moment.
pub(crate) struct Views<V> {
    store: String,
    events: Arc<dyn EventStore>,
    documents: V,
    running: Vec<RunningProjection<V>>,
    /// Up to where they were made when this began.
    from: GlobalPosition,
}

impl<V: ProjectionStore + Clone> Views<V> {
    /// Starts them, from their beginning if they are to be rebuilt.
    ///
    /// # Errors
    ///
    /// [`ShopError::OtherLog`] when they were made from another log than this one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops them.
    pub(crate) async fn start(
        store: String,
        events: &Arc<dyn EventStore>,
        views: &V,
        rebuild: bool,
    ) -> Result<Self, ShopError> {
        if rebuild {
            views.reset(&id::<Customers>()?).await?;
            views.reset(&id::<Months>()?).await?;
        }
        let mut this = Self {
            store,
            events: Arc::clone(events),
            documents: views.clone(),
            running: Vec::new(),
            from: GlobalPosition::START,
        };
        this.from = this
            .checkpoint::<Customers>()
            .await?
            .min(this.checkpoint::<Months>().await?);
        this.running = vec![
            project(Customers, events, views).lease(LEASE).start()?,
            project(Months, events, views).lease(LEASE).start()?,
        ];
        this.wait_for_leaders().await?;
        Ok(this)
    }

    /// Whether they fit the log is found out when somebody begins to lead, before anything else is done.
    async fn wait_for_leaders(&mut self) -> Result<(), ShopError> {
        let begun = Instant::now();
        loop {
            self.check().await?;
            let partitions: Vec<_> = self
                .running
                .iter()
                .flat_map(|running| running.status().partitions)
                .collect();
            if partitions.iter().all(|p| p.leader.is_some()) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let reason = partitions.into_iter().find_map(|p| p.last_error);
                return Err(ShopError::NotLed {
                    store: self.store.clone(),
                    reason: reason.unwrap_or_else(|| "nobody leads them".into()),
                });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Up to where they were made when this began.
    pub(crate) fn from(&self) -> GlobalPosition {
        self.from
    }

    /// Up to where they are made now.
    pub(crate) async fn position(&self) -> Result<GlobalPosition, ShopError> {
        let mut least = None;
        for running in &self.running {
            let status = running.status();
            let led_here = status
                .partitions
                .iter()
                .all(|p| p.state != ProjectionState::StandingBy);
            let position = if led_here {
                status.position()
            } else {
                self.stored_position(running.projection()).await?
            };
            least = Some(least.map_or(position, |least: GlobalPosition| least.min(position)));
        }
        Ok(least.unwrap_or_default())
    }

    /// Where the log ends.
    pub(crate) async fn log_end(&self) -> Result<GlobalPosition, ReadError> {
        // A filter that lets nothing through goes to the end at once.
        let (nothing, size) = (EventFilter::all().types([]), PageSize::default());
        let mut after = GlobalPosition::START;
        loop {
            let page = self.events.read_all(after, &nothing, size).await?;
            if page.at_end {
                return Ok(page.next);
            }
            after = page.next;
        }
    }

    /// All figures at the end of the log, and where that is. Tried again while another process moves the end, since the
    /// documents are read page by page.
    ///
    /// # Errors
    ///
    /// [`ShopError::Restless`] when it does not stop doing so.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub(crate) async fn figures(&mut self) -> Result<(Figures, GlobalPosition), ShopError> {
        let (begun, mut told) = (Instant::now(), false);
        let mut end = self.log_end().await?;
        loop {
            self.wait_until(end).await?;
            let figures = Figures::of(self.all(Customers).await?, self.sheets().await?);
            let before = std::mem::replace(&mut end, self.log_end().await?);
            if before == end {
                return Ok((figures, end));
            }
            if begun.elapsed() > PATIENCE {
                return Err(ShopError::Restless {
                    store: self.store.clone(),
                });
            }
            if begun.elapsed() > Duration::from_secs(1) && !std::mem::replace(&mut told, true) {
                say("another process writes to the store; waiting for it to pause");
            }
        }
    }

    /// All figures, and the books at the same position.
    ///
    /// # Errors
    ///
    /// As [`Views::figures`].
    ///
    /// # Cancel safety
    ///
    /// Safe at any point; the books stand at the end of a page.
    pub(crate) async fn figures_with(
        &mut self,
        books: &mut Books,
    ) -> Result<(Figures, GlobalPosition), ShopError> {
        loop {
            let (figures, position) = self.figures().await?;
            books.catch_up(&self.events).await?;
            // If not, somebody was faster.
            if books.position() == position {
                return Ok((figures, position));
            }
        }
    }

    /// What is known about the months: few documents, which move with every sale.
    pub(crate) async fn sheets(&self) -> Result<Vec<MonthSheet>, ShopError> {
        self.all(Months).await
    }

    async fn all<M: ReadModel>(&self, _: M) -> Result<Vec<M::Document>, ShopError> {
        let documents = Documents::<M, V>::new(&self.documents)?;
        let mut all = Vec::new();
        loop {
            let page = DocumentQuery::all().page(all.len(), PAGE);
            let page = page.map_err(|_| ShopError::Bug("the page of documents"))?;
            let found = documents.find(&page).await?;
            let last = found.len() < PAGE;
            all.extend(found.into_iter().map(|(_, document)| document));
            if last {
                return Ok(all);
            }
        }
    }

    /// Waits as long as they move.
    async fn wait_until(&mut self, position: GlobalPosition) -> Result<(), ShopError> {
        for index in 0..self.running.len() {
            let mut furthest = GlobalPosition::START;
            loop {
                match self.running[index].wait_until(position, PATIENCE).await {
                    Ok(()) => break,
                    Err(ProjectionError::TimedOut { reached, .. }) if reached > furthest => {
                        furthest = reached;
                    }
                    Err(error) => {
                        self.check().await?;
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// Fails if one of them has.
    pub(crate) async fn check(&mut self) -> Result<(), ShopError> {
        let failed = |running: &RunningProjection<V>| {
            let partitions = running.status().partitions;
            partitions
                .iter()
                .any(|p| p.state == ProjectionState::Failed)
        };
        let Some(index) = self.running.iter().position(failed) else {
            return Ok(());
        };
        match self.running.swap_remove(index).stop().await {
            Ok(()) => Err(ShopError::Bug("a read model failed without an error")),
            Err(
                source @ (ProjectionError::AnotherLog { .. }
                | ProjectionError::Read(ReadError::LogBehind { .. })),
            ) => Err(ShopError::OtherLog {
                store: self.store.clone(),
                source,
            }),
            Err(other) => Err(other.into()),
        }
    }

    /// Stops them; their places are saved.
    pub(crate) async fn stop(self) -> Result<(), ShopError> {
        for running in self.running {
            running.stop().await?;
        }
        Ok(())
    }

    async fn checkpoint<M: ReadModel>(&self) -> Result<GlobalPosition, ShopError> {
        self.stored_position(&id::<M>()?).await
    }

    async fn stored_position(&self, id: &ProjectionId) -> Result<GlobalPosition, ShopError> {
        let standings = self.documents.standings(&id.name).await?;
        let own = standings.into_iter().find(|s| s.projection == *id);
        Ok(own.map_or(GlobalPosition::START, |s| s.checkpoint.position))
    }
}

fn id<M: ReadModel>() -> Result<ProjectionId, ShopError> {
    Ok(ProjectionId {
        name: ProjectionName::try_new(M::NAME)?,
        version: M::VERSION,
    })
}
