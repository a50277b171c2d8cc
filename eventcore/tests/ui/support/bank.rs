use eventcore::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "account")]
pub enum AccountEvent {
    Opened,
}

#[derive(Default, Clone)]
pub struct Account;

impl Fold for Account {
    type Event = AccountEvent;
    fn apply(&mut self, _: &StoredEvent<AccountEvent>) {}
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "limits")]
pub enum LimitsEvent {
    Set,
}

#[derive(Default, Clone)]
pub struct Limits;

impl Fold for Limits {
    type Event = LimitsEvent;
    fn apply(&mut self, _: &StoredEvent<LimitsEvent>) {}
}
