use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
#[stream(fold = Account)]
struct Open {
    account: StreamId,
}

fn main() {}
