use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
#[discover(fold = Account)]
struct Open {
    #[stream(fold = Account)]
    account: StreamId,
}

#[derive(Command)]
#[discover]
struct Close {
    #[stream(fold = Account)]
    account: StreamId,
}

fn main() {}
