use eventcore::{UnknownEvent, prelude::*};

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "task")]
enum TaskEvent {
    Created,
    #[event(catch_all)]
    Unknown(UnknownEvent),
}

#[derive(Serialize, Deserialize, Event)]
#[event(prefix = "user")]
enum UserEvent {
    Invited,
}

#[derive(Serialize, Deserialize, Event)]
enum SystemEvent {
    #[event(nested)]
    Task(TaskEvent),
    #[event(nested)]
    User(UserEvent),
}

fn main() {
    let stored = TaskEvent::Created.encode().unwrap();
    let _ = SystemEvent::decode(&stored);
}
