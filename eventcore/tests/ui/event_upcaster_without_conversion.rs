use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    #[event(version = 2, upcast_from(1 => OpenedV1))]
    Opened { owner: String },
}

#[derive(Deserialize)]
struct OpenedV1 {}

fn main() {}
