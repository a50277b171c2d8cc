//! One macro, one test per clause.

use std::{future::Future, time::Duration};

use eventcore::store::Capabilities;

use super::Harness;

/// Expands to a module with one `#[test]` per clause of the store contract.
///
/// `contract_suite!(name, factory, capabilities)`:
///
/// * `name`: the module; a test is then called `name::guarded::no_lost_updates...`, grouped by promise.
/// * `factory`: called once per test; an async closure that gives a fresh and empty store, or a
///   [`Harness`](crate::contract::Harness) when a folder must stay alive or the store can be opened again.
/// * `capabilities`: what the store is to claim, a [`Capabilities`](eventcore::store::Capabilities).
///
/// Both expressions see what the surrounding module sees. Every test runs in a Tokio runtime of its own with four
/// worker threads, and fails after two minutes. The using crate needs no other dependency for it.
///
/// ```
/// use eventcore::store::Capabilities;
/// use eventcore_memory::InMemoryEventStore;
///
/// eventcore_testing::contract_suite!(
///     memory,
///     async || InMemoryEventStore::new(),
///     Capabilities::none(),
/// );
/// # fn main() {}
/// ```
///
/// A store with a file:
///
/// ```ignore
/// eventcore_testing::contract_suite!(
///     file,
///     async || {
///         let folder = tempfile::tempdir().unwrap();
///         let path = folder.path().join("events.db");
///         let open = move || {
///             let path = path.clone();
///             async move { FileStore::open(path).await.unwrap() }
///         };
///         Harness::new(open().await).keep(folder).reopen_with(open)
///     },
///     Capabilities::none().durable(),
/// );
/// ```
#[macro_export]
macro_rules! contract_suite {
    ($name:ident, $factory:expr, $capabilities:expr $(,)?) => {
        $crate::__each_clause! { { $crate::__clause_tests } $name, $factory, $capabilities }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __clause_tests {
    (
        { $name:ident, $factory:expr, $capabilities:expr }
        $($promise:ident $group:ident { $($clause:ident: $says:literal,)* })*
    ) => {
        #[cfg(test)]
        mod $name {
            // In a module of its own, so that the groups below hide nothing from the expressions.
            mod __given {
                #[allow(unused_imports)]
                use super::super::*;

                pub(super) async fn __contract_harness() -> $crate::contract::Harness {
                    $crate::contract::harness($factory, $capabilities).await
                }
            }

            $(mod $group {
                $(
                    #[test]
                    fn $clause() {
                        $crate::contract::check(
                            stringify!($clause),
                            $says,
                            super::__given::__contract_harness(),
                            $crate::contract::$group::$clause,
                        );
                    }
                )*
            })*
        }
    };
}

/// Longer than any clause takes on a slow disk; a clause that is not done by then hangs.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// The harness that a factory gives.
#[doc(hidden)]
pub async fn harness<F, Fut, H>(factory: F, capabilities: Capabilities) -> Harness
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = H>,
    H: Into<Harness>,
{
    factory().await.into().declare(capabilities)
}

/// Runs a clause in a runtime of its own.
#[doc(hidden)]
pub fn check<Fut: Future<Output = ()>>(
    name: &str,
    says: &str,
    harness: impl Future<Output = Harness>,
    clause: impl FnOnce(Harness) -> Fut,
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
