use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Opened,
    #[event(alias = "account.opened")]
    Reopened,
}

fn main() {}
