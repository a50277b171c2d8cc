use eventcore::prelude::*;

struct Opened;

#[derive(Default, Clone)]
struct Account;

impl Fold for Account {
    type Event = Opened;
    fn apply(&mut self, _: &StoredEvent<Opened>) {}
}

fn main() {}
