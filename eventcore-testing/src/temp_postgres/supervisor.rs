//! The process that holds the server and outlives whoever started it, just long enough to clean up.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{Mutex, PoisonError},
};

use super::{TempPostgresError, account::Account};

/// Reads one order a line, and answers each with one line. The end of its input is the end of everything: also after
/// a panic, an abort or a kill of the other side, since the operating system closes the pipe then.
///
/// Arguments: the folder, the folder of programs, the options of `initdb` as one word, the server's arguments.
const SCRIPT: &str = r#"
trap '' INT HUP TERM QUIT
cd / || exit 1
folder=$1; programs=$2; init=$3; shift 3
pid=
children() { ps -A -o pid= -o ppid= 2>/dev/null | while read -r child parent; do
    [ "$parent" = "$pid" ] && echo "$child"; done; }
while read -r order; do
    case $order in
    init) "$programs/initdb" -D "$folder/data" $init >"$folder/log" 2>&1; echo "$?" ;;
    start) "$programs/postgres" -D "$folder/data" "$@" >>"$folder/log" 2>&1 </dev/null & pid=$!; echo "$pid" ;;
    stop) kill -INT "$pid" 2>/dev/null; wait "$pid"; pid=; echo stopped ;;
    kill) kill -KILL "$pid" $(children) 2>/dev/null; wait "$pid"; pid=; echo killed ;;
    esac
done
[ -n "$pid" ] && { kill -QUIT "$pid"; wait "$pid"; }
rm -rf "$folder"
"#;

#[derive(Debug)]
pub(super) struct Supervisor {
    child: Mutex<Child>,
    // `None` only while being dropped.
    orders: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Supervisor {
    /// Begins to watch over a folder, which is gone at the end.
    pub(super) fn start(
        account: Account,
        folder: &Path,
        programs: &Path,
        init: &str,
        server: &[String],
    ) -> Result<Self, TempPostgresError> {
        let mut child = account
            .command(Path::new("/bin/sh"))
            .args(["-c", SCRIPT, "eventcore-temp-postgres"])
            .arg(folder)
            .arg(programs)
            .arg(init)
            .args(server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not the caller's: whoever reads that would wait for the server's end.
            .stderr(Stdio::null())
            // What a terminal sends to the tests is not for the server.
            .process_group(0)
            .spawn()
            .map_err(TempPostgresError::io("start `/bin/sh`"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let orders = pipes.map(|(orders, answers)| (orders, BufReader::new(answers)));
        Ok(Self {
            child: Mutex::new(child),
            orders: Mutex::new(orders),
        })
    }

    /// Gives an order and waits for the answer.
    pub(super) fn order(&self, order: &str) -> Result<String, TempPostgresError> {
        let mut pipes = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        let told = match pipes.as_mut() {
            Some((orders, answers)) => writeln!(orders, "{order}")
                .and_then(|()| orders.flush())
                .and_then(|()| answers.read_line(&mut answer)),
            None => Ok(0),
        };
        told.map_err(TempPostgresError::io(format!(
            "tell the server's supervisor to {order}"
        )))?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // The end of its input, and then no zombie.
        drop(
            self.orders
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.wait();
    }
}
