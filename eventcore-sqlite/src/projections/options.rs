//! What can be chosen when a store of projections is opened.

use std::{path::Path, time::Duration};

use crate::{Durability, SqliteOptions};

/// How a store of projections is opened.
///
/// ```
/// use std::time::Duration;
/// use eventcore_sqlite::SqliteProjectionsOptions;
///
/// let options = SqliteProjectionsOptions::new("views.db").busy_timeout(Duration::from_secs(2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteProjectionsOptions {
    pub(crate) file: SqliteOptions,
}

impl SqliteProjectionsOptions {
    /// The defaults, for a file.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            file: SqliteOptions::new(path),
        }
    }

    /// Whether a file that is not there is made. Default: yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.file = self.file.create(create);
        self
    }

    /// What a committed unit survives. Default: a power cut.
    ///
    /// Whatever is chosen, documents and checkpoint survive together, so with
    /// [`ProcessCrash`](Durability::ProcessCrash) a power cut only means that the last events are applied once more.
    /// That saves a flush per unit, and is a fair choice for a file that holds nothing but projections.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.file = self.file.durability(durability);
        self
    }

    /// How long a unit waits to begin while another connection writes to the file, before it fails as
    /// [`Busy`](eventcore::store::StoreErrorKind::Busy). Default: 5 seconds.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.file = self.file.busy_timeout(timeout);
        self
    }

    /// How long a call waits for a thread of the store that makes no progress, say because the disk does not answer. Then
    /// a read fails as [`Timeout`](eventcore::store::StoreErrorKind::Timeout), and a claim or a unit as
    /// [`Other`](eventcore::store::StoreErrorKind::Other), since it may still take effect. Default: 60 seconds. A time that
    /// is not longer than `busy_timeout` is taken as one second more than that.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.file = self.file.stall_timeout(timeout);
        self
    }

    /// How many threads read at the same time. Default: 2, from 1 to 64.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.file = self.file.readers(readers);
        self
    }

    /// Whether a short read (at most 16 documents by key) may be done in the thread that asks, when no other such
    /// read is under way. Default: yes. See [`SqliteOptions::read_in_place`].
    #[must_use]
    pub fn read_in_place(mut self, allowed: bool) -> Self {
        self.file = self.file.read_in_place(allowed);
        self
    }

    /// A bound for the file, in bytes, rounded up to whole pages. Units beyond it fail with
    /// [`Full`](eventcore::store::StoreErrorKind::Full).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.file = self.file.max_bytes(bytes);
        self
    }
}
