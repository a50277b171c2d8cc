use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    #[event(upcast_from(1 => OpenedV1))]
    Opened { owner: String },
}

fn main() {}
