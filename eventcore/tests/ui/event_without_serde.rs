use eventcore::prelude::*;

#[derive(Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Opened,
}

fn main() {}
