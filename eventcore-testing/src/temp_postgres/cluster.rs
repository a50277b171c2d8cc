//! One throw-away cluster: made, started, stopped, killed.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    TempPostgresBuilder, TempPostgresError, account::Account, binaries::Binaries,
    supervisor::Supervisor,
};

/// How long a server may take to come up; recovery after a kill included.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long until there is at least a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// The longest path of a socket that Linux and macOS both take is 103 bytes.
const LONGEST_SOCKET: usize = 103;

#[derive(Debug)]
pub(super) struct Cluster {
    folder: PathBuf,
    port: u16,
    tcp: bool,
    binaries: Binaries,
    supervisor: Supervisor,
}

impl Cluster {
    pub(super) fn start(builder: &TempPostgresBuilder) -> Result<Self, TempPostgresError> {
        let account = Account::choose()?;
        let binaries = Binaries::find(account, builder.version)?;
        let folder = folder()?;
        account.own(folder.path())?;
        let port = if builder.tcp { free_port()? } else { 5432 };
        let socket = folder.path().join(format!(".s.PGSQL.{port}"));
        if socket.as_os_str().len() > LONGEST_SOCKET {
            return Err(TempPostgresError::PathTooLong {
                path: folder.path().to_owned(),
            });
        }
        let programs = binaries.program("");
        let arguments = arguments(builder, folder.path(), port);
        let init = "--no-sync -A trust -U postgres -E UTF8 --locale=C";
        let supervisor = Supervisor::start(account, folder.path(), &programs, init, &arguments)?;
        let cluster = Self {
            // From here on the supervisor removes it.
            folder: folder.keep(),
            port,
            tcp: builder.tcp,
            binaries,
            supervisor,
        };
        if cluster.supervisor.order("init")? != "0" {
            return Err(TempPostgresError::Command {
                command: "initdb".to_owned(),
                output: cluster.log(),
            });
        }
        cluster.access_rules(&builder.access)?;
        cluster.come_up()?;
        Ok(cluster)
    }

    /// Starts the server and waits until it answers.
    pub(super) fn come_up(&self) -> Result<(), TempPostgresError> {
        let start = Instant::now();
        'again: while start.elapsed() < PATIENCE {
            let before = self.log().len();
            let process = self.supervisor.order("start")?;
            let started = Instant::now();
            let mut alive = false;
            while start.elapsed() < PATIENCE {
                // The server writes its process and its state there.
                let state = std::fs::read_to_string(self.folder.join("data/postmaster.pid"));
                let state = state.unwrap_or_default();
                let mut lines = state.lines();
                let ours = lines.next() == Some(process.as_str());
                if ours && lines.nth(6).is_some_and(|line| line.starts_with("ready")) {
                    return Ok(());
                }
                let said = self.log().split_off(before);
                // It refuses while a process of a killed predecessor still ends.
                let refused = said.contains("still in use");
                // Sessions of a killed predecessor that notice its end only now say so too.
                let fatal = |line: &str| {
                    line.contains("FATAL:") && !line.contains("terminating connection")
                };
                if !ours && !refused && said.lines().any(fatal) {
                    break 'again;
                }
                if (alive || refused) && !ours && start.elapsed() < SIGN_OF_LIFE {
                    self.supervisor.order("stop")?;
                    std::thread::sleep(Duration::from_millis(50));
                    continue 'again;
                }
                alive |= ours;
                if !alive && started.elapsed() > SIGN_OF_LIFE {
                    break 'again;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Err(TempPostgresError::DidNotStart {
            log: self.log_end(),
        })
    }

    /// Ends all sessions and stops.
    pub(super) fn stop(&self) -> Result<(), TempPostgresError> {
        self.supervisor.order("stop").map(drop)
    }

    /// Ends all processes at once, as a power cut does as far as they are concerned.
    pub(super) fn kill(&self) -> Result<(), TempPostgresError> {
        self.supervisor.order("kill").map(drop)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn version(&self) -> u32 {
        self.binaries.version()
    }

    pub(super) fn client(&self) -> PathBuf {
        self.binaries.program("psql")
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.tcp.then(|| (Ipv4Addr::LOCALHOST, self.port).into())
    }

    pub(super) fn url(&self, database: &str) -> String {
        let (port, folder) = (self.port, self.folder.display());
        format!("postgresql://postgres@localhost:{port}/{database}?host={folder}")
    }

    pub(super) fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// The first rule that fits decides, so those of the caller come before "trust everybody".
    fn access_rules(&self, rules: &[String]) -> Result<(), TempPostgresError> {
        let file = self.folder.join("data/pg_hba.conf");
        let trust = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
        let rules = rules.join("\n") + "\n" + trust;
        std::fs::write(&file, rules).map_err(TempPostgresError::io("write the access rules"))
    }
}

/// A short path: those of sockets are limited.
fn folder() -> Result<tempfile::TempDir, TempPostgresError> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("pg-");
    let made = match std::env::temp_dir() {
        long if long.as_os_str().len() > 60 => builder.tempdir_in("/tmp"),
        short => builder.tempdir_in(short),
    };
    made.map_err(TempPostgresError::io("make a temporary folder"))
}

/// A port that nobody used a moment ago.
fn free_port() -> Result<u16, TempPostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(TempPostgresError::io("find a free port"))
}

fn arguments(builder: &TempPostgresBuilder, folder: &Path, port: u16) -> Vec<String> {
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let given = builder.settings.iter().cloned();
    let ours = [
        ("unix_socket_directories", folder.display().to_string()),
        ("port", port.to_string()),
        (
            "listen_addresses",
            if builder.tcp { "127.0.0.1" } else { "" }.to_owned(),
        ),
        ("fsync", on(builder.fsync)),
        // Torn pages come from power cuts, and this one is not to survive one.
        ("full_page_writes", on(builder.fsync)),
        ("max_connections", "300".to_owned()),
        ("log_line_prefix", "%m [%p] %d %a: ".to_owned()),
    ];
    let ours = ours.map(|(name, value)| (name.to_owned(), value));
    // The later one counts.
    let all = ours.into_iter().chain(given);
    all.flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
        .collect()
}
