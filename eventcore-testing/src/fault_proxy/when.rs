//! Choosing the moment.

use std::{fmt, sync::Arc};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Reply,
}

/// A connection of a proxy, numbered from 1 in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

impl ConnectionId {
    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}

type Test = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The moment at which a fault strikes: a burst, by direction, content, connection and number.
///
/// A *burst* is what one side sends until the other side speaks: in a protocol of questions and answers, one request
/// or one answer, however many packets it takes.
///
/// A PostgreSQL client that prepares its statements sends their text once per connection; later requests carry a short
/// name and the arguments. So look for an argument that only the wanted request has, such as the type of an event, or
/// count requests with [`When::nth`].
///
/// ```
/// use eventcore_testing::fault_proxy::When;
///
/// let third_append = When::request().containing("account.deposited").nth(3);
/// let big = When::reply().matching(|bytes| bytes.len() > 100_000);
/// ```
#[derive(Clone)]
pub struct When {
    direction: Option<Direction>,
    connection: Option<ConnectionId>,
    tests: Vec<Test>,
    pub(super) nth: u64,
}

impl When {
    /// Every burst of either direction.
    pub fn any() -> Self {
        Self {
            direction: None,
            connection: None,
            tests: Vec::new(),
            nth: 1,
        }
    }

    /// What clients send.
    pub fn request() -> Self {
        Self {
            direction: Some(Direction::Request),
            ..Self::any()
        }
    }

    /// What the server sends.
    pub fn reply() -> Self {
        Self {
            direction: Some(Direction::Reply),
            ..Self::any()
        }
    }

    /// Only bursts with these bytes in them.
    #[must_use]
    pub fn containing(self, bytes: impl AsRef<[u8]>) -> Self {
        let wanted = bytes.as_ref().to_vec();
        self.matching(move |burst| {
            wanted.is_empty() || burst.windows(wanted.len()).any(|part| part == wanted)
        })
    }

    /// Only bursts that pass this test. It sees the burst as far as it has come, which is all of it where it came in
    /// one packet, and at most its first 4 MiB.
    #[must_use]
    pub fn matching(mut self, test: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Arc::new(test));
        self
    }

    /// Only on this connection.
    #[must_use]
    pub fn on(mut self, connection: ConnectionId) -> Self {
        self.connection = Some(connection);
        self
    }

    /// Only from the n-th of such bursts on, counted from the arming; 1, the next, if not set.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = n.max(1);
        self
    }

    pub(super) fn matches(&self, burst: &Burst) -> bool {
        self.direction
            .is_none_or(|wanted| wanted == burst.direction)
            && self
                .connection
                .is_none_or(|wanted| wanted == burst.connection)
            && self.tests.iter().all(|test| test(&burst.bytes))
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("direction", &self.direction)
            .field("connection", &self.connection)
            .field("tests", &self.tests.len())
            .field("nth", &self.nth)
            .finish()
    }
}

/// A burst, as far as it has come.
pub(super) struct Burst {
    pub(super) connection: ConnectionId,
    pub(super) direction: Direction,
    bytes: Vec<u8>,
    /// The rules that it has met already: each counts a burst once.
    pub(super) met: Vec<u64>,
}

/// How much of a burst is looked at.
const MAX_LOOKED_AT: usize = 4 << 20;

impl Burst {
    pub(super) fn new(connection: ConnectionId, direction: Direction) -> Self {
        Self {
            connection,
            direction,
            bytes: Vec::new(),
            met: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.met.clear();
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LOOKED_AT - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
