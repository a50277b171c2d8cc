use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    #[event(version = 3, upcast_from(1 => OpenedV1))]
    Opened { owner: String },
}

#[derive(Deserialize)]
struct OpenedV1 {}

impl From<OpenedV1> for AccountEvent {
    fn from(_: OpenedV1) -> Self {
        Self::Opened { owner: String::new() }
    }
}

fn main() {}
