use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(Command)]
struct Open {
    #[stream(fold = Account)]
    account: StreamId,
}

impl CommandLogic for Open {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

async fn run(command: Open) {
    let _ = execute(command, "bank.db").await;
}

fn main() {}
