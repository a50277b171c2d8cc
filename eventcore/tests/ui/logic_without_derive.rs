use eventcore::prelude::*;

struct Open {
    account: StreamId,
}

impl CommandLogic for Open {
    fn handle(&self, _: &Streams<Self>, _: &mut NewEvents<Self>) -> Result<(), CommandError> {
        Ok(())
    }
}

fn main() {}
