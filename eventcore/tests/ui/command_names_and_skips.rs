use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
enum AccountEvent {
    Opened,
}

#[derive(Default, Clone)]
struct Account;

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, _: &StoredEvent<AccountEvent>) {}
}

#[derive(Command)]
#[command(name = "open account")]
struct Blank {
    #[stream(fold = Account)]
    account: StreamId,
}

#[derive(Command)]
#[command(name = open)]
struct NoText {
    #[stream(fold = Account)]
    account: StreamId,
}

#[derive(Command)]
struct SkippedStream {
    #[stream(fold = Account)]
    #[command(skip)]
    account: StreamId,
}

#[derive(Command)]
struct SkippedWrongly {
    #[stream(fold = Account)]
    account: StreamId,
    #[command(ignore)]
    today: u64,
}

fn main() {}
