//! Subscriptions and running projections on the memory stores keep every clause.

use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
use eventcore_testing::following::Harness;

eventcore_testing::following_suite!(memory, async || {
    let (events, views) = (InMemoryEventStore::new(), InMemoryProjections::<()>::new());
    let again = (events.clone(), views.clone());
    Harness::new(events, views)
        .reopen_with(move || {
            let again = again.clone();
            async move { again }
        })
        .fresh_log_with(async || InMemoryEventStore::new())
});
