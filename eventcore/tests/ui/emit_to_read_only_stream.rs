use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct OpenAccount {
    #[stream(fold = Account)]
    account: StreamId,
    #[stream(fold = Limits, read_only)]
    limits: StreamId,
    #[stream(fold = Account)]
    more: Vec<StreamId>,
    #[stream(fold = Account)]
    perhaps: Option<StreamId>,
    other: StreamId,
}

impl CommandLogic for OpenAccount {
    fn handle(&self, streams: &Streams<Self>, events: &mut NewEvents<Self>) -> Result<(), CommandError> {
        emit!(events, streams.limits => LimitsEvent::Set);
        Ok(())
    }
}

fn main() {}
