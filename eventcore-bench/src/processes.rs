//! Clients in several processes on one database: the benchmark starts itself again as each of them.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    Error,
    contestants::Contestant,
    driver::{Cell, Counts, Rate, drive, rate},
};

/// What a process of clients has to know; as text, the arguments after `--as-process`.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) contestant: String,
    pub(crate) url: String,
    pub(crate) cell: Cell,
    pub(crate) clients: usize,
    pub(crate) number: usize,
}

/// Runs clients in this many processes, which begin at the same time.
pub(crate) fn run(role: &Role, processes: usize) -> Result<Rate, Error> {
    let mut children = Vec::new();
    for number in 0..processes {
        let role = Role {
            number,
            ..role.clone()
        };
        children.push(Running::start(&role, processes)?);
    }
    for child in &mut children {
        child.expect("ready")?;
    }
    for child in &mut children {
        writeln!(child.process.stdin.as_mut().ok_or("no stdin")?, "go")?;
    }
    let mut sum = Counts::default();
    for child in children {
        let counts = child.finish()?;
        sum.done += counts.done;
        sum.tries += counts.tries;
        sum.elapsed = sum.elapsed.max(counts.elapsed);
    }
    Ok(rate(sum))
}

struct Running {
    process: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(role: &Role, processes: usize) -> Result<Self, Error> {
        let cell = role.cell;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--as-process")
            .args([&role.contestant, &role.url, cell.kind.name()])
            .arg(cell.accounts.to_string())
            .arg((cell.most / processes as u64).to_string())
            .arg(cell.duration.as_secs_f64().to_string())
            .arg(cell.kept_folds.to_string())
            .arg(role.clients.to_string())
            .arg(role.number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(process.stdout.take().ok_or("no stdout")?);
        Ok(Self { process, said })
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn expect(&mut self, word: &str) -> Result<(), Error> {
        let line = self.line()?;
        if line == word {
            return Ok(());
        }
        Err(format!("a process said {line:?}, not {word:?}").into())
    }

    fn finish(mut self) -> Result<Counts, Error> {
        let line = self.line()?;
        let status = self.process.wait()?;
        let numbers: Vec<u64> = line
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        let [done, tries, micros] = numbers[..] else {
            return Err(format!("a process ended with {status} and said {line:?}").into());
        };
        let elapsed = Duration::from_micros(micros);
        Ok(Counts {
            done,
            tries,
            elapsed,
        })
    }
}

impl Role {
    /// From the arguments after `--as-process`.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Error> {
        let [
            contestant,
            url,
            kind,
            accounts,
            most,
            seconds,
            kept_folds,
            clients,
            number,
        ] = words
        else {
            return Err("a process needs nine arguments".into());
        };
        Ok(Self {
            contestant: contestant.clone(),
            url: url.clone(),
            cell: Cell {
                kind: kind.parse()?,
                accounts: accounts.parse()?,
                most: most.parse()?,
                duration: Duration::from_secs_f64(seconds.parse()?),
                kept_folds: kept_folds.parse()?,
            },
            clients: clients.parse()?,
            number: number.parse()?,
        })
    }

    /// Connects, says so, waits for the word, runs, and says what came of it.
    pub(crate) async fn play(self) -> Result<(), Error> {
        let contestant = Contestant::of(&self.contestant).ok_or("not on PostgreSQL")?;
        let clients = contestant
            .clients(&self.url, self.cell, self.clients)
            .await?;
        println!("ready");
        let mut word = String::new();
        std::io::stdin().read_line(&mut word)?;
        let counts = drive(self.cell, clients.all, self.number * self.clients).await?;
        if let Some(store) = clients.opened {
            store.close().await;
        }
        let micros = counts.elapsed.as_micros();
        println!("{} {} {micros}", counts.done, counts.tries);
        Ok(())
    }
}
