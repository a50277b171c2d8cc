use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct Settle {
    #[stream]
    ledger: StreamId,
    #[stream(fold = Account)]
    state: StreamId,
}

fn main() {}
