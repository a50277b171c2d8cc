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

impl CommandState for Settle {
    type Event = AccountEvent;
    type State = u32;
    fn apply(&self, _: &mut u32, _: &StoredEvent<AccountEvent>) {}
}

impl CommandLogic for Settle {
    fn handle(&self, streams: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        let _ = streams.ledger.state();
        Ok(())
    }
}

fn main() {}
