use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Default, Clone)]
struct Balance;

#[derive(Command)]
struct Open {
    #[stream(fold = Balance)]
    account: StreamId,
}

fn main() {}
