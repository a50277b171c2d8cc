use eventcore::prelude::*;

#[derive(Command)]
enum Change {
    Open { account: StreamId },
}

fn main() {}
