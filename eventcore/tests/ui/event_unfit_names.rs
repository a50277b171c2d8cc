use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "bank account")]
enum AccountEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "")]
struct Closed;

fn main() {}
