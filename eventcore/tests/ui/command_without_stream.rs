use eventcore::prelude::*;

#[derive(Command)]
struct Open {
    account: StreamId,
}

fn main() {}
