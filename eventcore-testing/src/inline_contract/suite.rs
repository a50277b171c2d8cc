//! One macro, one test per clause.

use std::{future::Future, time::Duration};

/// Expands to a module with one `#[test]` per clause on inline read models.
///
/// `inline_suite!(name, factory)`:
///
/// * `name`: the module; a test is then called `name::together::documents_are_there_when_an_append_returns`, by group.
/// * `factory`: called once per test; an async closure that gives a fresh and empty
///   [`Place`](crate::inline_contract::Place), where you find an example.
///
/// The factory sees what the surrounding module sees. Every test runs in a Tokio runtime of its own with four worker
/// threads, and fails after two minutes. The using crate needs no other dependency for it than `async-trait`.
///
/// ```ignore
/// eventcore_testing::inline_suite!(memory, async || InMemory::default());
/// ```
#[macro_export]
macro_rules! inline_suite {
    ($name:ident, $factory:expr $(,)?) => {
        $crate::__each_inline_clause! { { $crate::__inline_clause_tests } $name, $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __inline_clause_tests {
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

                pub(super) async fn __place() -> impl $crate::inline_contract::Place {
                    ($factory)().await
                }
            }

            $(mod $group {
                $(
                    #[test]
                    fn $clause() {
                        $crate::inline_contract::check(
                            stringify!($clause),
                            $says,
                            super::__given::__place(),
                            $crate::inline_contract::$group::$clause,
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
pub fn check<P, Fut: Future<Output = ()>>(
    name: &str,
    says: &str,
    place: impl Future<Output = P>,
    clause: impl FnOnce(P) -> Fut,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test can start threads");
    let work = async { clause(place.await).await };
    let outcome = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, work).await });
    assert!(
        outcome.is_ok(),
        "`{name}` ({says}) was not done after {TIME_LIMIT:?}: some operation does not come back"
    );
}
