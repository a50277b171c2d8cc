//! `PgBouncer` in transaction mode, where it is installed.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use eventcore_testing::temp_postgres::TempPostgres;

pub(crate) struct Pooler {
    port: u16,
    process: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pooler {
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.exists())
}

/// Three connections to the server for everybody, handed on after each transaction.
pub(crate) fn start(server: &TempPostgres) -> Option<Pooler> {
    let program = installed()?;
    let folder = server.folder().unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let settings = format!(
        "[databases]\n* = host={} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = 3\nmax_client_conn = 100\n\
         ignore_startup_parameters = extra_float_digits, options\n",
        folder.display(),
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(program);
    let who = Command::new("id").arg("-u").output().unwrap();
    if who.stdout.starts_with(b"0\n") {
        // It refuses to be root, as the server does.
        command.args(["-u", "postgres"]);
    }
    let process = command
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pooler = Pooler { port, process };
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the pooler does not listen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(pooler)
}
