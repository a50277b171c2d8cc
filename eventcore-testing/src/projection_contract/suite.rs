//! One macro, one test per clause.

use std::{future::Future, time::Duration};

use super::{Harness, IntoHarness};

/// Expands to a module with one `#[test]` per clause of the contract of stores of projections.
///
/// `projection_suite!(name, factory)`:
///
/// * `name`: the module; a test is then called `name::fencing::a_replaced_leader_commits_nothing`, by group.
/// * `factory`: called once per test; an async closure that gives a fresh and empty
///   [`ProjectionStore`](eventcore::projection::ProjectionStore), or a [`Harness`](crate::projection_contract::Harness)
///   when a folder must stay alive or the store can be opened again.
///
/// The factory sees what the surrounding module sees. Every test runs in a Tokio runtime of its own with four worker
/// threads, and fails after two minutes. The using crate needs no other dependency for it.
///
/// ```
/// use eventcore_memory::InMemoryProjections;
///
/// eventcore_testing::projection_suite!(memory, async || InMemoryProjections::<()>::new());
/// # fn main() {}
/// ```
///
/// A store with a file:
///
/// ```ignore
/// eventcore_testing::projection_suite!(file, async || {
///     let folder = tempfile::tempdir().unwrap();
///     let path = folder.path().join("projections.db");
///     let open = move || {
///         let path = path.clone();
///         async move { FileProjections::open(path).await.unwrap() }
///     };
///     Harness::new(open().await).keep(folder).reopen_with(open)
/// });
/// ```
#[macro_export]
macro_rules! projection_suite {
    ($name:ident, $factory:expr $(,)?) => {
        $crate::__each_projection_clause! { { $crate::__projection_clause_tests } $name, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __projection_clause_tests {
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

                pub(super) async fn __harness() -> impl $crate::projection_contract::IntoHarness {
                    ($factory)().await
                }
            }

            $(mod $group {
                $(
                    #[test]
                    fn $clause() {
                        $crate::projection_contract::check(
                            stringify!($clause),
                            $says,
                            super::__given::__harness(),
                            $crate::projection_contract::$group::$clause,
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
pub fn check<H: IntoHarness, Fut: Future<Output = ()>>(
    name: &str,
    says: &str,
    harness: impl Future<Output = H>,
    clause: impl FnOnce(Harness<H::Store>) -> Fut,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test can start threads");
    let work = async { clause(harness.await.into_harness()).await };
    let outcome = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, work).await });
    assert!(
        outcome.is_ok(),
        "`{name}` ({says}) was not done after {TIME_LIMIT:?}: some operation does not come back"
    );
}
