//! Each fault does what it says, at the moment that was chosen.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use eventcore_testing::fault_proxy::{Fault, FaultProxy, Gate, ReplyEnd, When};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A server that answers each line with `did LINE.` and remembers it.
struct Server {
    address: SocketAddr,
    did: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let did = Arc::<Mutex<Vec<String>>>::default();
        let server = Self {
            address: listener.local_addr().unwrap(),
            did: Arc::clone(&did),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, Arc::clone(&did)));
            }
        });
        server
    }

    fn did(&self) -> Vec<String> {
        self.did.lock().unwrap().clone()
    }

    async fn has_done(&self, wanted: &str) {
        while !self.did().iter().any(|done| done == wanted) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn serve(
    client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    did: Arc<Mutex<Vec<String>>>,
) {
    let (requests, mut answers) = tokio::io::split(client);
    let requests = BufReader::new(requests);
    let mut requests = std::pin::pin!(requests);
    let mut line = String::new();
    while requests
        .read_line(&mut line)
        .await
        .is_ok_and(|read| read > 0)
    {
        let request = line.trim_end().to_owned();
        line.clear();
        did.lock().unwrap().push(request.clone());
        let answer = format!("did {request}.");
        if answers.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Client(TcpStream);

impl Client {
    async fn to(proxy: &FaultProxy) -> Self {
        Self(TcpStream::connect(proxy.address()).await.unwrap())
    }

    async fn say(&mut self, request: &str) {
        self.0
            .write_all(format!("{request}\n").as_bytes())
            .await
            .unwrap();
    }

    /// An answer, which ends with a dot; what came before an end is lost with it.
    async fn hear(&mut self) -> io::Result<String> {
        let mut answer = Vec::new();
        while answer.last() != Some(&b'.') {
            answer.push(self.0.read_u8().await?);
        }
        Ok(String::from_utf8(answer).unwrap())
    }

    async fn ask(&mut self, request: &str) -> io::Result<String> {
        self.say(request).await;
        self.hear().await
    }
}

async fn both() -> (Server, FaultProxy) {
    let server = Server::start().await;
    let end = ReplyEnd::AnyOf(&[b"!", b"."]);
    let proxy = FaultProxy::start_with(server.address, end).await.unwrap();
    (server, proxy)
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_is_counted() {
    let (server, proxy) = both().await;
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.ask("a").await.unwrap(), "did a.");
    assert_eq!(client.ask("bc").await.unwrap(), "did bc.");
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.refused), (1, 0));
    assert_eq!((counts.requests.bursts, counts.requests.bytes), (2, 5));
    assert_eq!((counts.replies.bursts, counts.replies.bytes), (2, 13));
    assert_eq!(proxy.connections().len(), 1);
    assert_eq!(server.did(), ["a", "bc"]);
}

#[tokio::test]
async fn a_request_is_lost_at_the_chosen_words_and_not_before() {
    let (server, proxy) = both().await;
    let armed = proxy.arm(When::request().containing("append"), Fault::Close);
    let mut client = Client::to(&proxy).await;
    client.ask("read").await.unwrap();
    assert_eq!(armed.times(), 0);
    client.ask("append").await.unwrap_err();
    armed.struck().await;
    assert_eq!(server.did(), ["read"]);
    // It strikes once.
    Client::to(&proxy).await.ask("append").await.unwrap();
    assert_eq!(armed.times(), 1);
}

#[tokio::test]
async fn a_request_is_lost_by_its_number() {
    let (server, proxy) = both().await;
    let _ = proxy.arm(When::request().nth(3), Fault::Close);
    let mut client = Client::to(&proxy).await;
    client.ask("1").await.unwrap();
    client.ask("2").await.unwrap();
    client.ask("3").await.unwrap_err();
    assert_eq!(server.did(), ["1", "2"]);
}

#[tokio::test]
async fn a_burst_that_comes_in_packets_counts_once_and_is_matched_over_their_seams() {
    let (_server, proxy) = both().await;
    let counted = proxy.arm_always(When::request().containing("append"), Fault::Pass);
    let mut client = Client::to(&proxy).await;
    for part in ["ap", "pe", "nd app", "end\n"] {
        client.0.write_all(part.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.hear().await.unwrap();
    assert_eq!(proxy.counts().requests.bursts, 1);
    assert_eq!(counted.times(), 1);
}

#[tokio::test]
async fn a_swallowed_reply_is_of_work_that_was_done() {
    let (server, proxy) = both().await;
    let armed = proxy.arm(When::request().nth(2), Fault::SwallowReply);
    let mut client = Client::to(&proxy).await;
    client.ask("1").await.unwrap();
    client.ask("2").await.unwrap_err();
    assert_eq!(armed.times(), 1);
    assert_eq!(
        server.did(),
        ["1", "2"],
        "done before the client saw the end"
    );
    assert_eq!(
        proxy.counts().replies.bytes,
        6,
        "only the first answer passed"
    );
}

#[tokio::test]
async fn a_swallowed_reply_of_unknown_end_ends_with_silence() {
    let server = Server::start().await;
    let proxy = FaultProxy::start(server.address).await.unwrap();
    let _ = proxy.arm(When::request(), Fault::SwallowReply);
    Client::to(&proxy).await.ask("1").await.unwrap_err();
    assert_eq!(server.did(), ["1"]);
}

#[tokio::test]
async fn a_late_request_arrives_long_after_its_client_has_seen_the_end() {
    let (server, proxy) = both().await;
    let gate = Gate::new();
    let _ = proxy.arm(
        When::request().containing("slow"),
        Fault::ArriveLate(gate.clone()),
    );
    Client::to(&proxy).await.ask("slow").await.unwrap_err();
    Client::to(&proxy).await.ask("quick").await.unwrap();
    assert_eq!(server.did(), ["quick"]);
    gate.open();
    server.has_done("slow").await;
}

#[tokio::test]
async fn a_reply_breaks_off_after_so_many_bytes() {
    let (server, proxy) = both().await;
    let _ = proxy.arm(When::reply(), Fault::CloseAfter(4));
    let mut client = Client::to(&proxy).await;
    client.say("abc").await;
    let mut heard = Vec::new();
    let _ = client.0.read_to_end(&mut heard).await;
    assert_eq!(heard, b"did ");
    assert_eq!(server.did(), ["abc"]);
}

#[tokio::test]
async fn a_request_breaks_off_after_so_many_bytes_over_several_requests() {
    let (server, proxy) = both().await;
    let _ = proxy.arm(When::request(), Fault::CloseAfter(7));
    let mut client = Client::to(&proxy).await;
    client.ask("abc").await.unwrap();
    client.ask("defg").await.unwrap_err();
    assert_eq!(proxy.counts().requests.bytes, 7);
    server.has_done("def").await;
}

#[tokio::test]
async fn a_held_request_waits_for_the_gate_and_others_do_not() {
    let (server, proxy) = both().await;
    let gate = Gate::new();
    let armed = proxy.arm(When::request(), Fault::Hold(gate.clone()));
    let mut held = Client::to(&proxy).await;
    held.say("held").await;
    armed.struck().await;
    Client::to(&proxy).await.ask("free").await.unwrap();
    assert_eq!(server.did(), ["free"]);
    gate.open();
    assert_eq!(held.hear().await.unwrap(), "did held.");
}

#[tokio::test]
async fn a_delayed_reply_takes_its_time() {
    let (_server, proxy) = both().await;
    let time = Duration::from_millis(60);
    let _ = proxy.arm(When::reply(), Fault::Delay(time));
    let mut client = Client::to(&proxy).await;
    let begin = Instant::now();
    client.ask("a").await.unwrap();
    assert!(begin.elapsed() >= time);
}

#[tokio::test]
async fn split_bytes_arrive_one_by_one_and_unchanged() {
    let (server, proxy) = both().await;
    let split = proxy.arm_always(When::any(), Fault::Split(1));
    let mut client = Client::to(&proxy).await;
    client.say("abc").await;
    let mut buffer = [0; 64];
    let mut pieces = 0;
    let mut heard = Vec::new();
    while heard.last() != Some(&b'.') {
        let read = client.0.read(&mut buffer).await.unwrap();
        heard.extend_from_slice(&buffer[..read]);
        pieces += 1;
    }
    assert_eq!(heard, b"did abc.");
    assert!(pieces > 1, "it came in one piece");
    assert_eq!(server.did(), ["abc"]);
    assert_eq!(split.times(), 2);
    split.disarm();
    client.ask("d").await.unwrap();
    assert_eq!(split.times(), 2);
}

#[tokio::test]
async fn a_fault_on_one_connection_leaves_the_others_alone() {
    let (_server, proxy) = both().await;
    let mut first = Client::to(&proxy).await;
    first.ask("1").await.unwrap();
    let mut second = Client::to(&proxy).await;
    second.ask("2").await.unwrap();
    let [a, b] = proxy.connections()[..] else {
        panic!("two connections were made")
    };
    let armed = proxy.arm(When::request().on(b), Fault::Close);
    first.ask("3").await.unwrap();
    second.ask("4").await.unwrap_err();
    assert_eq!(armed.struck().await, b);
    assert!(proxy.close(a));
    first.hear().await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_looks_like_an_end() {
    let (server, proxy) = both().await;
    let mut client = Client::to(&proxy).await;
    client.ask("1").await.unwrap();
    proxy.refuse(true);
    assert_eq!(proxy.close_all(), 1);
    client.hear().await.unwrap_err();
    let mut refused = Client::to(&proxy).await;
    refused.hear().await.unwrap_err();
    assert_eq!(proxy.counts().refused, 1);
    proxy.refuse(false);
    Client::to(&proxy).await.ask("2").await.unwrap();
    assert_eq!(server.did(), ["1", "2"]);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_requests() {
    let mut lost = Vec::new();
    for seed in [7, 7, 8] {
        let (_server, proxy) = both().await;
        let armed = proxy.at_random(When::request(), seed, 30, [Fault::Close]);
        let mut ends = Vec::new();
        for number in 0..40 {
            let ended = Client::to(&proxy).await.ask("a").await.is_err();
            ends.extend(ended.then_some(number));
        }
        assert_eq!(armed.times(), ends.len() as u64);
        lost.push(ends);
    }
    assert_eq!(lost[0], lost[1]);
    assert_ne!(lost[0], lost[2]);
    assert!((3..25).contains(&lost[0].len()), "{:?} of 40", lost[0]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_in_the_file_system_is_a_server_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        serve(client, Arc::default()).await;
    });
    let proxy = FaultProxy::start(path).await.unwrap();
    assert_eq!(Client::to(&proxy).await.ask("a").await.unwrap(), "did a.");
}

#[test]
fn after_the_end_no_connection_and_no_task_is_left() {
    // The clients and the server are in another runtime, so that the proxy's tasks can be counted.
    let mut around = tokio::runtime::Builder::new_multi_thread();
    let around = around.worker_threads(1).enable_all().build().unwrap();
    let mut proxied = tokio::runtime::Builder::new_current_thread();
    let proxied = proxied.enable_all().build().unwrap();
    let tasks = || proxied.metrics().num_alive_tasks();
    for drop_only in [false, true] {
        let server = around.block_on(Server::start());
        let proxy = proxied.block_on(FaultProxy::start(server.address)).unwrap();
        let address = proxy.address();
        let silence = Fault::Hold(Gate::new());
        let held = proxy.arm(When::request().containing("held"), silence);
        let never = Fault::ArriveLate(Gate::new());
        let _ = proxy.arm(When::request().containing("late"), never);
        let clients = around.spawn(async move {
            let client = async || Client(TcpStream::connect(address).await.unwrap());
            let (mut idle, mut held, mut late) = (client().await, client().await, client().await);
            idle.ask("a").await.unwrap();
            held.say("held").await;
            late.ask("late").await.unwrap_err();
            [idle, held]
        });
        let clients = proxied.block_on(async {
            held.struck().await;
            clients.await.unwrap()
        });
        assert_eq!(tasks(), 4, "one accepts and three serve");
        if drop_only {
            drop(proxy);
            proxied.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        } else {
            proxied.block_on(proxy.shutdown());
        }
        assert_eq!(tasks(), 0);
        around.block_on(async {
            for mut client in clients {
                client.hear().await.unwrap_err();
            }
            TcpStream::connect(address).await.unwrap_err();
        });
    }
}
