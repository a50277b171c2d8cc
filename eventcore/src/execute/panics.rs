//! The application's code may panic; the command fails then, and nothing else does.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::CommandError;

/// Runs a piece of the application's code and turns a panic into an error.
///
/// Unwind safety: whatever the code was working on belongs to this attempt alone and is dropped with it.
pub(super) fn guarded<T, E>(
    phase: &'static str,
    code: impl FnOnce() -> Result<T, E>,
) -> Result<T, CommandError>
where
    CommandError: From<E>,
{
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Ok(result?),
        Err(panic) => Err(CommandError::Panicked {
            phase,
            message: message(&*panic),
        }),
    }
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no message)".to_owned()
    }
}
