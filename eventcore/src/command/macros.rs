//! The two words that decisions are written with.

/// Rejects the command unless a condition holds.
///
/// `require!(condition, "format {}", args)` rejects with a message, `require!(condition, MyError::Kind)` with an
/// error of the application's own, which [`Rejection::downcast_ref`](crate::Rejection::downcast_ref) gives back.
///
/// ```
/// use eventcore::{CommandError, require};
///
/// fn check(balance: u32, amount: u32) -> Result<(), CommandError> {
///     require!(balance >= amount, "insufficient funds: have {balance}");
///     Ok(())
/// }
/// assert_eq!(check(1, 2).unwrap_err().to_string(), "rejected: insufficient funds: have 1");
/// ```
#[macro_export]
macro_rules! require {
    ($condition:expr $(,)?) => {
        ::core::compile_error!("say why the command is refused: `require!(condition, \"message\")`")
    };
    ($condition:expr, $message:literal $(, $($argument:tt)*)?) => {
        if !$condition {
            return ::core::result::Result::Err($crate::CommandError::rejected(::std::format!(
                $message $(, $($argument)*)?
            )));
        }
    };
    ($condition:expr, $error:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err($crate::CommandError::rejected_with($error));
        }
    };
}

/// Emits an event to a stream of the command: `emit!(events, from => AccountEvent::Closed)`.
///
/// The stream is a view from the command's `Streams`, or a reference to one. Others do not compile: an undeclared
/// stream, a read-only one, another command's, or an event of another type than the stream's.
#[macro_export]
macro_rules! emit {
    ($events:expr, $stream:expr => $event:expr $(,)?) => {
        $crate::NewEvents::emit($events, &$stream, $event)
    };
}
