use eventcore::prelude::*;

#[path = "support/bank.rs"]
mod bank;
#[allow(unused_imports)]
use bank::*;

#[derive(StreamName)]
#[stream_name("account:{0}")]
struct AccountName(u32);

#[derive(Command)]
struct Open {
    #[stream(fold = Account)]
    account: AccountName,
}

fn main() {}
