use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "account.opened")]
enum AccountEvent {
    Opened,
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account", name = "account.closed")]
struct Closed;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum Wrapping {
    #[event(nested, name = "account.inner")]
    Inner(Closed),
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "account.closed", nested)]
struct Reopened;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum Wrong {
    #[event(nested)]
    Inner { closed: Closed },
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum Unknown {
    #[event(rename = "account.inner")]
    Inner,
}

fn main() {}
