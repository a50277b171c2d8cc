use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
#[serde(tag = "type")]
enum AccountEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum ShortEvent {
    #[serde(untagged)]
    Opened { owner: String },
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum SkippedEvent {
    #[serde(skip)]
    Opened,
}

fn main() {}
