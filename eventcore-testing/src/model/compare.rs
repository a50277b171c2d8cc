//! A store and the model side by side.

use std::fmt::Debug;

use eventcore::{
    EventFilter, EventStore, GlobalPosition, IdempotencyKey, RecordedEvent,
    store::{AppendError, Page, PageSize, ReadFrom},
};

use super::{
    Model,
    reference::Refusal,
    steps::{Plan, Step},
};

/// The store and the model, which have seen the same steps. No store while it is closed.
pub(super) struct Compared<S> {
    store: Option<S>,
    model: Model,
}

/// What differs.
type Difference = String;

impl<S: EventStore> Compared<S> {
    pub(super) fn new(store: S) -> Self {
        Self {
            store: Some(store),
            model: Model::default(),
        }
    }

    pub(super) fn close(&mut self) {
        self.store = None;
    }

    pub(super) fn reopen(&mut self, store: S) {
        self.store = Some(store);
    }

    fn store(&self) -> Result<&S, Difference> {
        self.store
            .as_ref()
            .ok_or_else(|| "the store is closed".to_owned())
    }

    pub(super) async fn step(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Append(plan) => {
                self.append(plan).await?;
                // Also after a refusal: what it left behind would show here.
                self.whole_log().await
            }
            Step::Read(streams) => self.read(streams).await,
            Step::Page(after, filter, limit) => self.page(*after, filter, *limit).await.map(drop),
            Step::Follow(after, filter, limit) => self.follow(*after, filter, *limit).await,
            Step::FindReceipt(key) => self.find_receipt(key).await,
            Step::Reopen => Ok(()),
        }
    }

    async fn append(&mut self, plan: &Plan) -> Result<(), Difference> {
        let batch = plan
            .batch(&self.model)
            .map_err(|e| format!("no batch: {e}"))?;
        let expected = self.model.append(&batch);
        let found = match self.store()?.append(batch).await {
            Ok(receipt) => Ok(receipt),
            Err(AppendError::Conflict(conflict)) => Err(Refusal::Conflict(conflict)),
            Err(AppendError::IdempotencyConflict { key }) => Err(Refusal::IdempotencyConflict(key)),
            Err(error) => return Err(failed(&expected, &error)),
        };
        same("", &expected, &found)
    }

    async fn read(&self, streams: &[ReadFrom]) -> Result<(), Difference> {
        let (versions, events) = self.model.read(streams);
        let read = self.store()?.read(streams).await;
        let read = read.map_err(|error| failed(&events, &error))?;
        same("versions: ", &versions, &read.versions)?;
        let found = read.events.collect().await;
        let found = found.map_err(|error| failed(&events, &error))?;
        same("events: ", &events, &found)
    }

    /// A page, checked as far as a page is determined: a store may stop early.
    async fn page(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<Page, Difference> {
        let page = self.store()?.read_all(after, filter, limit).await;
        let page = page.map_err(|error| failed(&"a page", &error))?;
        if page.next < after {
            return Err(format!("the page leads back from {after} to {}", page.next));
        }
        if page.events.len() > usize::from(limit) {
            return Err(format!("{} events on a page of {limit}", page.events.len()));
        }
        let expected = self.model.between(after, page.next, filter);
        same("events: ", &expected, &page.events)?;
        same("at_end: ", &(page.next >= self.model.end()), &page.at_end)?;
        if page.next == after && !page.at_end {
            return Err(format!("the page after {after} leads nowhere"));
        }
        Ok(page)
    }

    async fn follow(
        &self,
        after: GlobalPosition,
        filter: &EventFilter,
        limit: PageSize,
    ) -> Result<(), Difference> {
        let (mut all, mut next) = (Vec::<RecordedEvent>::new(), after);
        loop {
            let page = self.page(next, filter, limit).await?;
            all.extend(page.events);
            next = page.next;
            if page.at_end {
                break;
            }
        }
        let expected = self.model.between(after, self.model.end(), filter);
        same("all pages: ", &expected, &all)
    }

    pub(super) async fn whole_log(&self) -> Result<(), Difference> {
        let limit = PageSize::try_from(1000).map_err(|e| e.to_string())?;
        self.follow(GlobalPosition::START, &EventFilter::all(), limit)
            .await
            .map_err(|difference| format!("the whole log afterwards: {difference}"))
    }

    async fn find_receipt(&self, key: &IdempotencyKey) -> Result<(), Difference> {
        let expected = self.model.find_receipt(key);
        let found = self.store()?.find_receipt(key).await;
        let found = found.map_err(|error| failed(&expected, &error))?;
        same("", &expected, &found)
    }
}

fn same<T: Debug + PartialEq>(what: &str, expected: &T, found: &T) -> Result<(), Difference> {
    if expected == found {
        return Ok(());
    }
    Err(format!(
        "{what}expected\n  {expected:?}\nfound\n  {found:?}"
    ))
}

fn failed(expected: &impl Debug, error: &dyn std::error::Error) -> Difference {
    let mut text = format!("expected\n  {expected:?}\nfound the error\n  {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
