//! Whether the files that are open are still the ones at their paths.
//!
//! A file that is deleted, moved or replaced stays readable and writable for those who have it open, so SQLite goes
//! on, and what it writes is in no file that can be opened again. The same holds for the write-ahead log beside it,
//! which another program unlinks when this process has lost its locks (POSIX drops them as soon as the process closes
//! any descriptor of the file, say after copying it). So device and inode of the three files are compared with those
//! at opening: by writers in every transaction, by readers now and then.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use eventcore::store::{StoreError, StoreErrorKind};

use crate::place::Place;

/// How often readers look, in milliseconds.
const EVERY: u64 = 50;

/// Where the files are, which files they were when they were opened, and whether they were found to be others since.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) place: Place,
    identity: FileIdentity,
    /// Why it cannot be used any more; it stays so until the store is opened again.
    replaced: OnceLock<String>,
    opened: Instant,
    /// When readers looked last, in milliseconds since it was opened.
    looked: AtomicU64,
}

/// The database file, and with their paths the two that belong to it: there is no `-wal` and no `-shm` when a file is
/// only read that is not in WAL mode.
#[derive(Debug)]
struct FileIdentity {
    database: FileId,
    beside: Vec<(PathBuf, FileId)>,
}

impl OpenFile {
    /// Takes the identity of files that SQLite has opened just now. `before` is what was there before that.
    pub(crate) fn opened(place: Place, before: Option<FileId>) -> Result<Self, StoreError> {
        const OPERATION: &str = "open the store";
        let access = |text: String| StoreError::new(OPERATION, StoreErrorKind::Access, text);
        let shown = place.asked.display();
        let unseen = |error: io::Error| access(format!("`{shown}`")).with_source(error);
        let found = FileId::of(&place.asked).map_err(unseen)?;
        let Some((database, links)) = found.filter(|(now, _)| before.is_none_or(|it| it == *now))
        else {
            let text = format!("`{shown}` was replaced while it was being opened; open it again");
            return Err(StoreError::new(OPERATION, StoreErrorKind::Replaced, text));
        };
        if links > 1 {
            return Err(access(format!(
                "`{shown}` has {links} names (hard links), and each name has a write-ahead log of its own, so what is \
                 written under one is lost under the other; copy the file instead, or remove the other names"
            )));
        }
        let mut beside = Vec::new();
        for path in [place.beside("-wal"), place.beside("-shm")] {
            if let Some((id, _)) = FileId::of(&path).map_err(unseen)? {
                beside.push((path, id));
            }
        }
        let identity = FileIdentity { database, beside };
        Ok(Self {
            identity,
            place,
            replaced: OnceLock::new(),
            opened: Instant::now(),
            looked: AtomicU64::new(0),
        })
    }

    /// Compares the files at the paths with those that are open.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.replaced.get().is_none() {
            match self.compare() {
                Ok(None) => return Ok(()),
                Ok(Some(text)) => drop(self.replaced.set(text)),
                // It may pass, and until then it is not known.
                Err(error) => {
                    let text = format!("`{}` cannot be looked at", self.place.asked.display());
                    let error = StoreError::new(operation, StoreErrorKind::Unavailable, text)
                        .with_source(error);
                    return Err(error);
                }
            }
        }
        self.still_good(operation)
    }

    /// The same, but not more often than every 50 milliseconds.
    pub(crate) fn check_now_and_then(&self, operation: &'static str) -> Result<(), StoreError> {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.looked.load(Ordering::Relaxed);
        if now.saturating_sub(last) < EVERY {
            return self.still_good(operation);
        }
        self.looked.store(now, Ordering::Relaxed);
        self.check(operation)
    }

    fn still_good(&self, operation: &'static str) -> Result<(), StoreError> {
        match self.replaced.get() {
            None => Ok(()),
            Some(text) => Err(StoreError::new(operation, StoreErrorKind::Replaced, text)),
        }
    }

    /// What is wrong, if something is.
    fn compare(&self) -> io::Result<Option<String>> {
        let asked = self.place.asked.display();
        let FileIdentity { database, beside } = &self.identity;
        let mut wrong = match FileId::of(&self.place.asked)? {
            Some((id, links)) if id == *database => (links > 1).then(|| {
                format!(
                    "`{asked}` was given a second name (a hard link), which has a write-ahead log of its own"
                )
            }),
            Some(_) => Some(format!("another file is at `{asked}` now")),
            None => Some(format!("`{asked}` was deleted or moved")),
        };
        for (path, was) in beside {
            if wrong.is_none() {
                let shown = path.display();
                wrong = match FileId::of(path)? {
                    Some((id, _)) if id == *was => None,
                    Some(_) => Some(format!("another file is at `{shown}` now")),
                    None => Some(format!("`{shown}` was deleted or moved")),
                };
            }
        }
        Ok(wrong.map(|what| {
            format!(
                "{what}, so what this store writes would be lost; close it, see that the right file is at its path \
                 under one name, and open it again"
            )
        }))
    }
}

/// What tells a file from every other one that exists at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
    /// Elsewhere the time of making it has to do, where the system knows that.
    #[cfg(not(unix))]
    made: Option<std::time::SystemTime>,
}

impl FileId {
    /// The file at a path, and how many names it has; `None` when there is no file.
    pub(crate) fn of(path: &Path) -> io::Result<Option<(Self, u64)>> {
        match Self::look(path) {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for the inode and the number of links only. After a question about the times of a file, Linux 6.13 and newer
    /// write them down more finely at the next write (multigrain timestamps), and every flush of the write-ahead log
    /// has to write the inode too: a third more time for an append that comes alone.
    #[cfg(target_os = "linux")]
    fn look(path: &Path) -> io::Result<(Self, u64)> {
        use rustix::{
            fs::{AtFlags, CWD, StatxFlags, makedev, statx},
            io::Errno,
        };
        match statx(
            CWD,
            path,
            AtFlags::empty(),
            StatxFlags::INO | StatxFlags::NLINK,
        ) {
            Ok(found) => {
                let device = makedev(found.stx_dev_major, found.stx_dev_minor);
                let device_and_inode = (device, found.stx_ino);
                Ok((Self { device_and_inode }, found.stx_nlink.into()))
            }
            // Some sandboxes and old kernels have no `statx`.
            Err(Errno::NOSYS | Errno::PERM) => Self::metadata(path),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn look(path: &Path) -> io::Result<(Self, u64)> {
        Self::metadata(path)
    }

    fn metadata(path: &Path) -> io::Result<(Self, u64)> {
        let metadata = std::fs::metadata(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let device_and_inode = (metadata.dev(), metadata.ino());
            Ok((Self { device_and_inode }, metadata.nlink()))
        }
        #[cfg(not(unix))]
        {
            let made = metadata.created().ok();
            Ok((Self { made }, 1))
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_looking_see_the_same_file() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        assert_eq!(FileId::of(&one)?, None);
        std::fs::write(&one, "")?;
        assert_eq!(FileId::of(&one)?, Some(FileId::metadata(&one)?));
        std::fs::hard_link(&one, &two)?;
        let (id, links) = FileId::look(&two)?;
        assert_eq!((id, links), FileId::metadata(&one)?);
        assert_eq!(links, 2);
        assert_eq!(FileId::of(&one.join("below"))?, None);
        Ok(())
    }
}
