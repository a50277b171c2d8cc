use std::sync::Arc;

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

fn forge(id: StreamId) -> View<Open, Account> {
    View::new(0, id, StreamVersion::EMPTY, Arc::new(Account))
}

fn copy(view: &View<Open, Account>) -> View<Open, Account> {
    view.clone()
}

fn build(id: StreamId) -> View<Open, Account> {
    View { slot: 0, id, version: StreamVersion::EMPTY, state: Account }
}

fn main() {}
