use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct Open {
    #[stream(fold = Account, readonly)]
    account: StreamId,
}

#[derive(Command)]
#[command(retries = 3)]
struct Close {
    #[stream(fold = Account)]
    account: StreamId,
}

#[derive(Command)]
struct Reopen {
    #[stream(Account)]
    account: StreamId,
}

fn main() {}
