//! A copy of the file while it is open.
//!
//! The pages are copied from one snapshot, to a name of their own, and only a copy that is complete and on the disk
//! gets the name that was asked for. So a backup that was interrupted is never taken for one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use eventcore::{
    GlobalPosition,
    store::{StoreError, StoreErrorKind},
};
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use uuid::Uuid;

use crate::{
    SqliteOptions, append::last_position, connection, errors::store_error, identity::OpenFile,
    place::Place,
};

const OPERATION: &str = "back the store up";

/// Pages between two looks at whether the copy is still wanted.
const STEP: i32 = 1024;

/// A file that is removed, unless it was given its name.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "a half-made backup was not removed");
        }
    }
}

/// Copies the file, and says up to which event.
pub(crate) fn copy(
    options: &SqliteOptions,
    file: &Arc<OpenFile>,
    target: &Path,
    gave_up: &dyn Fn() -> bool,
) -> Result<GlobalPosition, StoreError> {
    file.check(OPERATION)?;
    let target = Place::of(target, OPERATION)?;
    refuse_existing(&target)?;
    let failed = |error| io_error(&target.asked, error);
    let folder = target
        .file
        .parent()
        .ok_or_else(|| access(&target, "has no folder"))?;
    let path = folder.join(format!(".eventcore-{}.partial", Uuid::now_v7()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(failed)?;
    let mut partial = Partial(Some(path.clone()));
    let rights = fs::metadata(&file.place.file).map_err(failed)?;
    fs::set_permissions(&path, rights.permissions()).map_err(failed)?;

    let source = connection::reader(options, file)?;
    let position = pages(&source, &path, options.busy_timeout, gave_up)?;
    file.check(OPERATION)?;
    File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    // It may have come meanwhile.
    refuse_existing(&target)?;
    fs::rename(&path, &target.file).map_err(failed)?;
    partial.0 = None;
    // The name is on the disk as well; only Unix has folders that can be flushed.
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    Ok(position)
}

/// Copies all pages of one snapshot.
fn pages(
    source: &Connection,
    path: &Path,
    patience: Duration,
    gave_up: &dyn Fn() -> bool,
) -> Result<GlobalPosition, StoreError> {
    let failed = |error| store_error(OPERATION, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(path, flags).map_err(failed)?;
    // What is interrupted is thrown away, and what is complete is flushed afterwards.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        .map_err(failed)?;
    // Reading begins the snapshot, and the backup goes on in it.
    let snapshot = source.unchecked_transaction().map_err(failed)?;
    let position = last_position(&snapshot).map_err(failed)?;
    let backup = Backup::new(&snapshot, &mut copy).map_err(failed)?;
    let until = Instant::now() + patience;
    loop {
        match backup.step(STEP).map_err(failed)? {
            StepResult::Done => break,
            _ if gave_up() => {
                let text = "it is not wanted any more";
                return Err(StoreError::new(OPERATION, StoreErrorKind::Other, text));
            }
            StepResult::Busy | StepResult::Locked if Instant::now() > until => {
                let text = "the file, or its copy, is held by another connection; try again";
                return Err(StoreError::new(OPERATION, StoreErrorKind::Busy, text));
            }
            StepResult::Busy | StepResult::Locked => thread::sleep(Duration::from_millis(10)),
            _ => {}
        }
    }
    drop(backup);
    copy.close().map_err(|(_, error)| failed(error))?;
    Ok(position)
}

/// Refuses a name that is taken, also by what would be taken for the log of the copy.
fn refuse_existing(target: &Place) -> Result<(), StoreError> {
    // Also a link that leads nowhere.
    if target.asked.symlink_metadata().is_ok() {
        return Err(access(
            target,
            "exists; a backup never overwrites, choose another name",
        ));
    }
    for ending in ["-wal", "-shm", "-journal"] {
        if target.beside(ending).symlink_metadata().is_ok() {
            let why = format!(
                "cannot be written while there is a `{ending}` file of that name, which SQLite would apply to it; \
                 choose another name, or remove that file"
            );
            return Err(access(target, &why));
        }
    }
    Ok(())
}

fn access(target: &Place, why: &str) -> StoreError {
    let text = format!("`{}` {why}", target.asked.display());
    StoreError::new(OPERATION, StoreErrorKind::Access, text)
}

fn io_error(path: &Path, error: io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound
        | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Access,
        _ => StoreErrorKind::Other,
    };
    let text = format!("`{}` was not written", path.display());
    StoreError::new(OPERATION, kind, text).with_source(error)
}
