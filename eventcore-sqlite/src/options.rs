//! What can be chosen when a store is opened.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use eventcore::projection::Inline;

/// How a store is opened.
///
/// ```
/// use std::time::Duration;
/// use eventcore_sqlite::SqliteOptions;
///
/// let options = SqliteOptions::new("bank.db").busy_timeout(Duration::from_secs(2)).readers(4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: usize,
    pub(crate) read_in_place: bool,
    pub(crate) queue: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) queue_timeout: Duration,
    pub(crate) stall_timeout: Duration,
    pub(crate) kept_folds: usize,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) inline: Vec<Inline>,
}

/// SQLite counts the milliseconds in 32 bits.
const LONGEST: Duration = Duration::from_hours(24 * 24);

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A power cut: every commit is flushed to the disk (`synchronous=FULL`).
    #[default]
    PowerCut,
    /// The end of the process, also a sudden one; a power cut may take the last commits, all or none of each
    /// (`synchronous=NORMAL`).
    ProcessCrash,
}

impl SqliteOptions {
    /// The defaults, for a file. A relative path counts from the current folder at the moment of opening.
    ///
    /// A path is a path, whatever characters it has. So the forms of other libraries are refused at opening: `:memory:`,
    /// the empty path, and URIs (`file:...`, `sqlite:...`).
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_path_buf(),
            create: true,
            read_only: false,
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            readers: 2,
            read_in_place: true,
            queue: 4096,
            queue_bytes: 64 << 20,
            queue_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_mins(1),
            kept_folds: 4096,
            max_bytes: None,
            inline: Vec::new(),
        }
    }

    /// Whether a file that is not there is made. Default: yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Only reads: appends fail with [`StoreErrorKind::ReadOnly`](eventcore::store::StoreErrorKind::ReadOnly), and
    /// nothing is created. The file may be in any journal mode.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// What an acknowledged append survives. Default: a power cut.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long an append waits while another process writes, before it fails as
    /// [`Busy`](eventcore::store::StoreErrorKind::Busy). Default: 5 seconds, at most 24 days.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(LONGEST);
        self
    }

    /// How many threads read at the same time. Default: 2, from 1 to 64.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers.clamp(1, 64);
        self
    }

    /// Whether a short read (a receipt, or at most 16 streams and of each the first chunk) may be done in the thread that asks, when no
    /// other such read is under way. Default: yes.
    ///
    /// That saves two changes of threads, which cost more than the read when its pages are in memory. When they are
    /// not, the thread waits for the disk; turn it off where a thread of the runtime must never do that.
    #[must_use]
    pub fn read_in_place(mut self, allowed: bool) -> Self {
        self.read_in_place = allowed;
        self
    }

    /// How many folded states are kept between commands. Default: 4,096; 0 keeps none. See
    /// [`Commons::keeping`](eventcore::Commons::keeping).
    #[must_use]
    pub fn kept_folds(mut self, states: usize) -> Self {
        self.kept_folds = states;
        self
    }

    /// How many appends, and how many reads, may wait before callers have to. Default: 4,096, at least 1.
    #[must_use]
    pub fn queue(mut self, operations: usize) -> Self {
        self.queue = operations.clamp(1, 1 << 20);
        self
    }

    /// How many bytes of payload and metadata may wait to be appended, or be under way, before callers have to wait. A
    /// larger append is let in when it is alone. Default: 64 MiB, at least 1 KiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes.clamp(1 << 10, 1 << 40);
        self
    }

    /// How long a call waits for room in a full queue, before it fails as
    /// [`Overloaded`](eventcore::store::StoreErrorKind::Overloaded), with nothing done. Default: 10 seconds.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = timeout.min(LONGEST);
        self
    }

    /// How long a call waits for a thread of the store that makes no progress, say because the disk does not answer.
    /// Then a read fails as [`Timeout`](eventcore::store::StoreErrorKind::Timeout), an append as
    /// [`OutcomeUnknown`](eventcore::store::AppendError::OutcomeUnknown), and closing returns. Default: 60 seconds. A
    /// time that is not longer than `busy_timeout` is taken as one second more than that.
    ///
    /// So a call without a deadline of its own ends: each chunk or page of a read within `queue_timeout` and the time of
    /// the reads before it in the queue; an append within `queue_timeout`, the time of the transactions before it in the
    /// queue, and twice `busy_timeout` for its own; and both `stall_timeout` after the last sign of progress at the latest,
    /// or half a second later. A short read in place ([`SqliteOptions::read_in_place`]) takes as long as the disk does.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout.min(LONGEST);
        self
    }

    /// The time that holds.
    pub(crate) fn stall(&self) -> Duration {
        self.stall_timeout
            .max(self.busy_timeout + Duration::from_secs(1))
    }

    /// A bound for the file, in bytes, rounded up to whole pages. Appends beyond it fail with
    /// [`Full`](eventcore::store::StoreErrorKind::Full).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// A read model that is changed in the transaction of each append: whoever sees the events sees the documents.
    /// They are in the file of the events; read them with [`SqliteProjections`](crate::SqliteProjections) on the same file.
    /// May be called several times, for several models of different names.
    ///
    /// ```
    /// use eventcore::projection::Inline;
    /// use eventcore_sqlite::{SqliteEventStore, SqliteOptions, SqliteProjections};
    ///
    /// async fn open(balances: Inline) -> Result<(SqliteEventStore, SqliteProjections), Box<dyn std::error::Error>> {
    ///     let options = SqliteOptions::new("bank.db").inline(balances);
    ///     let store = SqliteEventStore::open_with(options).await?;
    ///     let views = SqliteProjections::open("bank.db").await?;
    ///     Ok((store, views))
    /// }
    /// ```
    ///
    /// While it is inline no runner can lead the projection, also after the store was closed;
    /// [`SqliteProjections::give_back`](crate::SqliteProjections::give_back) ends that. Several processes may run it.
    /// Let all that append do so: what one without it appends is missing in the documents until the next append with
    /// it, which applies up to 1,000 missing events first and is refused when there are more. Then give the projection
    /// back, let a runner catch up, and open it inline again.
    ///
    /// On a log of more than 1,000 events a new model, or a new version of one, is built by a runner first, which is
    /// stopped before the store is opened. The version that is opened inline becomes the one that readers see.
    ///
    /// Opening the store fails, with what to do, when a runner leads the projection, it is divided, letters wait, it was
    /// built from another log, too much is missing, or the model cannot take what is missing. A store that only reads
    /// runs no models.
    #[must_use]
    pub fn inline(mut self, model: Inline) -> Self {
        self.inline.push(model);
        self
    }
}
