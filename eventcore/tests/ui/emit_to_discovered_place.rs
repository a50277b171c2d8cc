use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
#[discover(others, fold = Account)]
struct OpenAll {
    #[stream(fold = Account)]
    account: StreamId,
}

impl CommandLogic for OpenAll {
    fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
        emit!(events, streams.others => AccountEvent::Opened);
        Ok(())
    }
}

fn main() {}
