use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
#[discover(others, fold = Account)]
struct Open {
    #[stream(fold = Account)]
    account: StreamId,
}

impl CommandLogic for Open {
    fn discover(&self, streams: &Streams<Self>, found: &mut Discovery<Self>) -> Result<(), CommandError> {
        found.read(&streams.account, "account:2")
    }

    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

fn main() {}
