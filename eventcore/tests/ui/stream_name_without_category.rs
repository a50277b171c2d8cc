use eventcore::prelude::*;

#[derive(StreamName)]
#[stream_name("{id}")]
struct AccountName {
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account{id}")]
struct OtherName {
    id: u32,
}

fn main() {}
