//! A proxy between a client and a server, in which connections break, stall and tear at a chosen moment.
//!
//! It knows no protocol: it sees bursts of bytes, see [`When`], and does to them what a [`Fault`] says.
//!
//! | to provoke | arm |
//! |---|---|
//! | an acknowledgement that is lost after the commit | [`Fault::SwallowReply`] on a request |
//! | a request that never arrives | [`Fault::Close`] on a request |
//! | a request that arrives after its client has given up | [`Fault::ArriveLate`] |
//! | an answer that breaks off | [`Fault::CloseAfter`] on a reply |
//! | a server that is silent | [`Fault::Hold`], [`Fault::Delay`] |
//! | messages that arrive in pieces | [`Fault::Split`] |
//! | a network of bad temper | [`FaultProxy::at_random`] |
//! | a server that cannot be reached | [`FaultProxy::refuse`], [`FaultProxy::close_all`] |

mod connection;
mod fault;
mod rules;
mod upstream;
mod when;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use self::{
    connection::Connection,
    rules::{Choice, Rules},
    upstream::Counters,
};
pub use self::{
    fault::{Fault, Gate},
    rules::Armed,
    upstream::{Counts, Traffic, Upstream},
    when::{ConnectionId, Direction, When},
};

/// Stands between clients and a server, in this process. Its end is the end of all its connections and tasks.
///
/// ```
/// use eventcore_testing::fault_proxy::{Fault, FaultProxy, When};
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::{TcpListener, TcpStream},
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// // A server that says what it heard.
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = FaultProxy::start(server.local_addr()?).await?;
/// tokio::spawn(async move {
///     while let Ok((mut client, _)) = server.accept().await {
///         let (mut heard, mut said) = client.split();
///         let _ = tokio::io::copy(&mut heard, &mut said).await;
///     }
/// });
///
/// let armed = proxy.arm(When::request().containing("bad"), Fault::Close);
/// let mut client = TcpStream::connect(proxy.address()).await?;
/// let mut answer = [0; 4];
/// client.write_all(b"good").await?;
/// client.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"good");
///
/// client.write_all(b"bad!").await?;
/// assert!(client.read_exact(&mut answer).await.is_err());
/// assert_eq!(armed.times(), 1);
/// assert_eq!(proxy.counts().requests.bursts, 2);
/// proxy.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// How it is known that an answer is complete, when it is to be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyEnd {
    /// The server has begun to speak and was then silent for this time.
    Quiet(Duration),
    /// It ends with one of these, or the server has begun to speak and was then silent for a second.
    AnyOf(&'static [&'static [u8]]),
}

impl ReplyEnd {
    /// How an answer of PostgreSQL ends: `ReadyForQuery`, which outside of a transaction is sent after the commit.
    pub const POSTGRES: Self = Self::AnyOf(&[b"Z\0\0\0\x05I", b"Z\0\0\0\x05T", b"Z\0\0\0\x05E"]);
}

#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    reply_end: ReplyEnd,
    rules: Arc<Rules>,
    counters: Counters,
    refusing: AtomicBool,
    open: Mutex<BTreeMap<ConnectionId, Arc<Connection>>>,
    stop: Notify,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to the server, which need not be there yet. Answers that are
    /// thrown away end after 20 ms of silence.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn start(upstream: impl Into<Upstream>) -> io::Result<Self> {
        Self::start_with(upstream, ReplyEnd::Quiet(Duration::from_millis(20))).await
    }

    /// As [`FaultProxy::start`], with another end of answers: [`ReplyEnd::POSTGRES`] makes sure that the server has
    /// committed.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    ///
    /// # Cancel safety
    ///
    /// Safe at any point.
    pub async fn start_with(
        upstream: impl Into<Upstream>,
        reply_end: ReplyEnd,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.into(),
            reply_end,
            rules: Arc::default(),
            counters: Counters::default(),
            refusing: AtomicBool::new(false),
            open: Mutex::default(),
            stop: Notify::new(),
        });
        let accepting = tokio::spawn(accept(Arc::clone(&shared), listener));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Arms a fault that strikes once.
    pub fn arm(&self, when: When, fault: Fault) -> Armed {
        self.shared.rules.arm(when, true, Choice::Always(fault))
    }

    /// Arms a fault that strikes every time, until it is [disarmed](Armed::disarm).
    pub fn arm_always(&self, when: When, fault: Fault) -> Armed {
        self.shared.rules.arm(when, false, Choice::Always(fault))
    }

    /// Lets one of these faults, drawn by a seeded generator, strike in `percent` of a hundred such bursts, until it
    /// is [disarmed](Armed::disarm).
    pub fn at_random(
        &self,
        when: When,
        seed: u64,
        percent: u8,
        faults: impl IntoIterator<Item = Fault>,
    ) -> Armed {
        let choice = Choice::Dice {
            dice: fastrand::Rng::with_seed(seed),
            percent,
            faults: faults.into_iter().collect(),
        };
        self.shared.rules.arm(when, false, choice)
    }

    /// Disarms all. What has begun goes on.
    pub fn disarm_all(&self) {
        self.shared.rules.clear();
    }

    /// Whether new connections are closed as soon as they are made; not at first.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, SeqCst);
    }

    /// Closes a connection, both sides; says whether there was one.
    pub fn close(&self, connection: ConnectionId) -> bool {
        let open = self.shared.open();
        open.get(&connection).map(|open| open.close()).is_some()
    }

    /// Closes all connections, both sides, and gives their number.
    pub fn close_all(&self) -> usize {
        let open = self.shared.open();
        open.values().for_each(|connection| connection.close());
        open.len()
    }

    /// The connections that are open, in the order of arrival.
    pub fn connections(&self) -> Vec<ConnectionId> {
        self.shared.open().keys().copied().collect()
    }

    /// What has passed so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// Ends it: nothing listens any more, and all its connections and tasks are gone when this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does the same without waiting.
    pub async fn shutdown(mut self) {
        self.shared.stop.notify_one();
        // An error would be a panic of the task, which is gone then as well.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The task owns all others.
        self.accepting.abort();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.notified() => break,
            Some(_) = serving.join_next() => {}
            accepted = listener.accept() => {
                // An error is that of one client which has gone already.
                if let Ok((client, _)) = accepted {
                    take(&shared, &mut serving, client);
                }
            }
        }
    }
    serving.shutdown().await;
}

fn take(shared: &Arc<Shared>, serving: &mut JoinSet<()>, client: TcpStream) {
    let number = shared.counters.connections.fetch_add(1, Relaxed) + 1;
    if shared.refusing.load(SeqCst) {
        shared.counters.refused.fetch_add(1, Relaxed);
        return;
    }
    let id = ConnectionId(number);
    let connection = Arc::new(Connection::new(id, Arc::clone(shared)));
    shared.open().insert(id, Arc::clone(&connection));
    let listed = Listed {
        id,
        shared: Arc::clone(shared),
    };
    serving.spawn(async move {
        let _listed = listed;
        connection.serve(client).await;
    });
}

/// A connection in the list of those that are open, also when its task is aborted.
struct Listed {
    id: ConnectionId,
    shared: Arc<Shared>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.open().remove(&self.id);
    }
}
