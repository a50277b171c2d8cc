use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct Survey {
    #[stream(fold = Account, read_only)]
    accounts: Vec<StreamId>,
}

impl CommandLogic for Survey {
    fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
        for account in &streams.accounts {
            emit!(events, account => AccountEvent::Opened);
        }
        Ok(())
    }
}

fn main() {}
