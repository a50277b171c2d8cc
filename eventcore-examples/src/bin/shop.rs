//! `shop`: replays 69,659 real purchases; see [`eventcore_examples::shop`].

use std::process::ExitCode;

fn main() -> ExitCode {
    eventcore_examples::shop::main()
}
