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

#[derive(Command)]
struct Close {
    #[stream(fold = Account)]
    account: StreamId,
}

fn smuggle(view: &View<Open, Account>, events: &mut NewEvents<Close>) {
    emit!(events, view => AccountEvent::Opened);
}

fn main() {}
