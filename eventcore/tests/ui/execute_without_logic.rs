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

async fn run(command: Open, store: &dyn EventStore) {
    let _ = execute(command, store).await;
}

fn main() {}
