use eventcore::prelude::*;

#[derive(StreamName)]
#[stream_name("account:{id}")]
struct AccountName {
    id: Vec<u8>,
}

fn main() {}
