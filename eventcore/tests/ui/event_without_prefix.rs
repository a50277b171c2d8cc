use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
enum AccountEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Event)]
struct Closed;

fn main() {}
