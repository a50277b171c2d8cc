//! The application's code may panic; that is a failure like another.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::execute::panic_message;

/// Runs a future to its end, or to its panic, whose text is returned.
///
/// Unwind safety: what the future works on must be dropped by the caller when this fails, or not be touched by the
/// application's code.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(format!("it panicked: {}", panic_message(&*panic)))),
        },
    )
    .await
}
