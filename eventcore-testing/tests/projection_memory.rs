//! The memory store of projections keeps the whole contract.

use eventcore_memory::InMemoryProjections;
use eventcore_testing::projection_contract::Harness;

eventcore_testing::projection_suite!(memory, async || {
    let data = InMemoryProjections::<()>::new();
    let again = data.clone();
    Harness::new(data).reopen_with(move || {
        let again = again.clone();
        async move { again }
    })
});
