//! Whose name the server runs under: PostgreSQL refuses to run as root.

use std::{
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use super::TempPostgresError;

/// The account for the server's processes, if it is not the caller's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    /// The caller's account; for root, that of `postgres`, or else of `nobody`.
    pub(super) fn choose() -> Result<Self, TempPostgresError> {
        if id(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        let of = |name: &str| Ok((id(&["-u", name])?, id(&["-g", name])?));
        let found = of("postgres").or_else(|_: TempPostgresError| of("nobody"))?;
        Ok(Self(Some(found)))
    }

    /// Whether the caller is root.
    pub(super) fn is_other(self) -> bool {
        self.0.is_some()
    }

    /// A command of this account: in a folder that it can enter, and without settings for other servers.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = plain(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes the account the owner of a folder.
    pub(super) fn own(self, folder: &Path) -> Result<(), TempPostgresError> {
        let Some((user, group)) = self.0 else {
            return Ok(());
        };
        let doing = format!("give `{}` to the server's account", folder.display());
        std::os::unix::fs::chown(folder, Some(user), Some(group))
            .map_err(TempPostgresError::io(doing))
    }
}

/// A command that is not led astray by variables such as `PGHOST`.
pub(super) fn plain(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end and gives what it printed.
pub(super) fn output(command: &mut Command) -> Result<String, TempPostgresError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .map_err(TempPostgresError::io(format!("run `{program}`")))?;
    if !done.status.success() {
        let said = [done.stderr, done.stdout].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        return Err(TempPostgresError::Command {
            command: program,
            output: format!("{said} ({})", done.status),
        });
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn id(arguments: &[&str]) -> Result<u32, TempPostgresError> {
    let text = output(plain(Path::new("id")).args(arguments))?;
    text.parse().map_err(|_| TempPostgresError::Command {
        command: "id".to_owned(),
        output: text,
    })
}
