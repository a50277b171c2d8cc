use eventcore::prelude::*;

#[derive(StreamName)]
#[stream_name("account:{number}")]
struct Unknown {
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{bank}{id}")]
struct RunTogether {
    bank: u32,
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{bank}-{id}")]
struct Dashed {
    bank: u32,
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{bank}")]
struct Forgotten {
    bank: u32,
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{id")]
struct Unclosed {
    id: u32,
}

#[derive(StreamName)]
#[stream_name("account:{id}:{name}")]
struct TooMany {
    id: u32,
}

fn main() {}
