//! One macro, one test per clause.

use std::{future::Future, time::Duration};

use eventcore::projection::ProjectionStore;

use super::Harness;

/// Expands to a module with one `#[test]` per clause on subscriptions and running projections.
///
/// `following_suite!(name, factory)`:
///
/// * `name`: the module; a test is then called `name::order::nothing_appears_below_a_place_already_read`, by group.
/// * `factory`: called once per test; an async closure that gives a [`Harness`](crate::following::Harness) with a fresh
///   and empty event store and a store of projections. Give it a way to open the data again
///   ([`reopen_with`](crate::following::Harness::reopen_with)) and a way to a fresh log
///   ([`fresh_log_with`](crate::following::Harness::fresh_log_with)), or some clauses ask for less.
///
/// The factory sees what the surrounding module sees. Every test runs in a Tokio runtime of its own with four worker
/// threads, and fails after two minutes. The using crate needs no other dependency for it.
///
/// ```
/// use eventcore_memory::{InMemoryEventStore, InMemoryProjections};
/// use eventcore_testing::following::Harness;
///
/// eventcore_testing::following_suite!(memory, async || {
///     let (events, views) = (InMemoryEventStore::new(), InMemoryProjections::<()>::new());
///     let again = (events.clone(), views.clone());
///     Harness::new(events, views)
///         .reopen_with(move || { let again = again.clone(); async move { again } })
///         .fresh_log_with(async || InMemoryEventStore::new())
/// });
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! following_suite {
    ($name:ident, $factory:expr $(,)?) => {
        $crate::__each_following_clause! { { $crate::__following_clause_tests } $name, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __following_clause_tests {
    (
        { $name:ident, $factory:expr }
        $($group:ident { $($clause:ident: $says:literal,)* })*
    ) => {
        #[cfg(test)]
        mod $name {
            // In a module of its own, so that the groups below hide nothing from the expression.
            mod __given {
                #[allow(unused_imports)]
                use super::super::*;

                pub(super) async fn __harness() -> $crate::following::Harness<
                    impl $crate::following::__ProjectionStore,
                > {
                    ($factory)().await
                }
            }

            $(mod $group {
                $(
                    #[test]
                    fn $clause() {
                        $crate::following::check(
                            stringify!($clause),
                            $says,
                            super::__given::__harness(),
                            $crate::following::$group::$clause,
                        );
                    }
                )*
            })*
        }
    };
}

/// Longer than any clause takes on a slow disk; a clause that is not done by then hangs.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// Runs a clause in a runtime of its own.
#[doc(hidden)]
pub fn check<V: ProjectionStore, Fut: Future<Output = ()>>(
    name: &str,
    says: &str,
    harness: impl Future<Output = Harness<V>>,
    clause: impl FnOnce(Harness<V>) -> Fut,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test can start threads");
    let work = async { clause(harness.await).await };
    let outcome = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, work).await });
    assert!(
        outcome.is_ok(),
        "`{name}` ({says}) was not done after {TIME_LIMIT:?}: some operation does not come back"
    );
}
