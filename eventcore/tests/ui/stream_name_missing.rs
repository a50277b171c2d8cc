use eventcore::prelude::*;

#[derive(StreamName)]
struct AccountName {
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{0}")]
enum OtherName {
    A,
}

fn main() {}
