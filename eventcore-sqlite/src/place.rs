//! The path of a file: what is refused, and what SQLite opens.
//!
//! SQLite takes some paths for something else: `:memory:` and the empty one for a database that is kept nowhere, and
//! one that begins with `file:` for a URI, whose parameters can switch off locks and durability. An absolute path is
//! none of these, so SQLite is given nothing else, and everything that is checked is checked of that path.

use std::{
    ffi::OsStr,
    fs,
    path::{self, Path, PathBuf},
};

use eventcore::store::{StoreError, StoreErrorKind};

use crate::SqliteOptions;

/// The longest path that SQLite opens, in bytes: its own limit is 512, and it keeps 8 for the ending `-journal`.
const LONGEST: usize = 504;

/// A path that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path that was asked for, absolute. A symbolic link in it may be turned to another file later.
    pub(crate) asked: PathBuf,
    /// The path that SQLite opens: absolute, and without symbolic links.
    pub(crate) file: PathBuf,
}

impl Place {
    /// Checks the path of the options, and whether there is a file, or a folder for one.
    pub(crate) fn find(
        options: &SqliteOptions,
        operation: &'static str,
    ) -> Result<Self, StoreError> {
        let access = |text: String| access(operation, text);
        let place = Self::of(&options.path, operation)?;
        if place.file.is_dir() {
            return access(format!(
                "`{}` is a folder, a file is needed",
                place.asked.display()
            ));
        }
        if !place.file.exists() && (options.read_only || !options.create) {
            return access(format!("there is no file `{}`", place.asked.display()));
        }
        Ok(place)
    }

    /// Checks a path, and whether its folder is there.
    pub(crate) fn of(given: &Path, operation: &'static str) -> Result<Self, StoreError> {
        let access = |text: String| access(operation, text);
        let failed = |error| failed(operation, given, error);
        let shown = given.display();
        refuse_other_forms(given, operation)?;
        if given.as_os_str().as_encoded_bytes().contains(&0) {
            return access(format!(
                "`{}` has a NUL character in it, which no path can have",
                shown.to_string().escape_default()
            ));
        }
        if ends_with_separator(given.as_os_str()) {
            return access(format!(
                "`{shown}` is the path of a folder, a file is needed"
            ));
        }
        let asked = path::absolute(given).or_else(failed)?;
        let (Some(folder), Some(name)) = (asked.parent(), asked.file_name()) else {
            return access(format!("`{shown}` is a folder, a file is needed"));
        };
        if !folder.is_dir() {
            return access(format!(
                "there is no folder `{}` for `{shown}`",
                folder.display()
            ));
        }
        // `exists` follows a link; one that leads nowhere is left to SQLite, which makes the file that it names.
        let file = if asked.exists() {
            fs::canonicalize(&asked)
        } else {
            fs::canonicalize(folder).map(|folder| folder.join(name))
        };
        let file = file.or_else(failed)?;
        let length = file.as_os_str().len();
        if length > LONGEST {
            return access(format!(
                "the path `{}` has {length} bytes, SQLite opens paths of at most {LONGEST}; move the file to a folder \
                 with a shorter path",
                file.display()
            ));
        }
        Ok(Self { asked, file })
    }

    /// The path of a file that belongs to the database: `-wal`, `-shm`, `-journal`.
    pub(crate) fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

/// Refuses what is a name of something else with other libraries.
fn refuse_other_forms(given: &Path, operation: &'static str) -> Result<(), StoreError> {
    let access = |text: String| access(operation, text);
    if given.as_os_str().is_empty() {
        let text = "the path is empty; for a store in memory use eventcore-memory, for a file name its path";
        return access(text.into());
    }
    let Some(text) = given.to_str() else {
        return Ok(());
    };
    let lower = text.to_ascii_lowercase();
    if lower.trim_start().starts_with(":memory:") {
        return access(format!(
            "`{text}` is not a file; for a store in memory use eventcore-memory, for a file of that name write \
             `./{text}`"
        ));
    }
    let scheme = ["file:", "sqlite:", "sqlite3:"]
        .into_iter()
        .any(|scheme| lower.trim_start().starts_with(scheme));
    if scheme || is_url(&lower) {
        return access(format!(
            "`{text}` looks like a URI, a path is needed: write the path alone, and say the rest with \
             `SqliteOptions`; for a store in memory use eventcore-memory, for a file of that name write `./{text}`"
        ));
    }
    Ok(())
}

/// Whether a text begins with a scheme and `://`. A single letter is a drive.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

fn ends_with_separator(path: &OsStr) -> bool {
    path.as_encoded_bytes()
        .last()
        .is_some_and(|last| path::is_separator(char::from(*last)))
}

fn access<T>(operation: &'static str, text: String) -> Result<T, StoreError> {
    Err(StoreError::new(operation, StoreErrorKind::Access, text))
}

fn failed<T>(operation: &'static str, path: &Path, error: std::io::Error) -> Result<T, StoreError> {
    let text = format!("the path `{}` cannot be followed", path.display());
    Err(StoreError::new(operation, StoreErrorKind::Access, text).with_source(error))
}
