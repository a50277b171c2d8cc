use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct Settle {
    #[stream]
    ledger: StreamId,
}

impl CommandLogic for Settle {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

fn main() {}
