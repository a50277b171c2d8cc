//! The versions of tables: which there are in a file, how to get to the newest, and whether they are whole.
//!
//! A set of tables has ordered steps, and a record of how many of them were taken. A new file takes all of them, an
//! older one those that it lacks, in one transaction. What has to be in a file of some version is not written down a
//! second time: the steps are taken in an empty database in memory, and the definitions are compared.

use std::collections::BTreeMap;

use eventcore::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, TransactionBehavior};

use crate::errors::store_error;

const OPERATION: &str = "open the store";

/// Tables that are made together, and the record of their version.
#[derive(Debug)]
pub(crate) struct Tables {
    /// What is kept in them, for people.
    pub(crate) what: &'static str,
    /// The table with the record: one row, with a column `version`, the number of steps taken.
    pub(crate) record: &'static str,
    /// What makes them, the record included, and each later version of the one before. A step that was released is
    /// never changed.
    pub(crate) steps: &'static [&'static str],
}

/// Tables, indexes, triggers and views by name, with what kind they are and how they are defined.
type Objects = BTreeMap<String, (String, String)>;

impl Tables {
    /// Makes the tables, or brings them to the newest version; safe when several processes do it at once.
    pub(crate) fn prepare(&self, connection: &mut Connection) -> Result<(), StoreError> {
        if self.find(connection)? == Some(self.steps.len()) {
            return Ok(());
        }
        let failed = |error| store_error(OPERATION, error);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        // Another process may have been faster.
        self.make(&transaction)?;
        transaction.commit().map_err(failed)
    }

    /// The same inside of a transaction that may write.
    pub(crate) fn make(&self, transaction: &Connection) -> Result<(), StoreError> {
        let taken = self.find(transaction)?.unwrap_or(0);
        if taken == self.steps.len() {
            return Ok(());
        }
        self.refuse_foreign(transaction, taken)?;
        self.take(transaction, taken, self.steps.len())
            .map_err(|error| store_error(OPERATION, error))?;
        self.find(transaction).map(drop)
    }

    /// Whether the tables are there, whole, and of a version that this crate can read.
    pub(crate) fn check(&self, connection: &Connection) -> Result<bool, StoreError> {
        Ok(self.find(connection)?.is_some())
    }

    /// Takes the steps up to a version.
    fn take(
        &self,
        connection: &Connection,
        taken: usize,
        up_to: usize,
    ) -> Result<(), rusqlite::Error> {
        if taken == up_to {
            return Ok(());
        }
        for step in &self.steps[taken..up_to] {
            connection.execute_batch(step)?;
        }
        let Self { record, .. } = self;
        let version = i64::try_from(up_to).unwrap_or(i64::MAX);
        let change = if taken == 0 {
            format!("INSERT INTO {record} (version) VALUES (?1)")
        } else {
            format!("UPDATE {record} SET version = ?1")
        };
        connection.execute(&change, [version]).map(drop)
    }

    /// The version of the tables in a file, if they are there; an error when they are not whole.
    fn find(&self, connection: &Connection) -> Result<Option<usize>, StoreError> {
        // Version and definitions have to be of one moment.
        let _snapshot = connection
            .is_autocommit()
            .then(|| connection.unchecked_transaction())
            .transpose()
            .map_err(|error| store_error(OPERATION, error))?;
        let there = objects(connection).map_err(|error| store_error(OPERATION, error))?;
        let Some(version) = self.version(connection, &there)? else {
            self.refuse_foreign(connection, 0)?;
            return Ok(None);
        };
        let mut wrong = Vec::new();
        for (name, (kind, sql)) in self.expected(version)? {
            match there.get(&name) {
                None => wrong.push(format!("{kind} `{name}` is missing")),
                Some((_, found)) if *found != sql => {
                    wrong.push(format!("{kind} `{name}` has another definition"));
                }
                Some(_) => {}
            }
        }
        if wrong.is_empty() {
            return Ok(Some(version));
        }
        Err(schema(format!(
            "the tables for {} are not those of version {version}: {}; restore the file from a backup, or make these \
             again as docs/schema.md of eventcore-sqlite and its source show them",
            self.what,
            wrong.join(", ")
        )))
    }

    /// Refuses a file that has a name already which a later version will give.
    fn refuse_foreign(&self, connection: &Connection, version: usize) -> Result<(), StoreError> {
        let there = objects(connection).map_err(|error| store_error(OPERATION, error))?;
        let (now, later) = (self.expected(version)?, self.expected(self.steps.len())?);
        let foreign: Vec<&str> = later
            .keys()
            .filter(|name| !now.contains_key(*name) && there.contains_key(*name))
            .map(String::as_str)
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        Err(schema(format!(
            "the file has {}, which are names of eventcore's for {}, but no record of them in `{}`: they are of another \
             application, or parts were removed; use another file, or restore this one from a backup",
            foreign.join(", "),
            self.what,
            self.record,
        )))
    }

    /// The version that was recorded, if there is a record.
    fn version(
        &self,
        connection: &Connection,
        there: &Objects,
    ) -> Result<Option<usize>, StoreError> {
        let Self {
            record,
            steps,
            what,
        } = self;
        let Some((kind, _)) = there.get(*record) else {
            return Ok(None);
        };
        let recorded = format!("SELECT max(version) FROM {record}");
        let version: Result<Option<i64>, _> = connection.query_row(&recorded, [], |row| row.get(0));
        let version = match version {
            Ok(version) => version,
            Err(error) => {
                let cause = store_error(OPERATION, error);
                if cause.kind() != StoreErrorKind::Other {
                    return Err(cause);
                }
                let text = format!(
                    "{kind} `{record}` is not the record of the tables for {what}: it is of another application; use \
                     another file"
                );
                return Err(schema(text).with_source(cause));
            }
        };
        let known = steps.len();
        match version.map(usize::try_from) {
            Some(Ok(version)) if (1..=known).contains(&version) => Ok(Some(version)),
            Some(Ok(newer)) if newer > known => Err(schema(format!(
                "the file has schema version {newer}, this program knows {known}: use a newer eventcore-sqlite"
            ))),
            _ => Err(schema(format!(
                "the file has schema version {version:?}, which never existed"
            ))),
        }
    }

    /// What a file of a version has.
    fn expected(&self, version: usize) -> Result<Objects, StoreError> {
        let all = || {
            let model = Connection::open_in_memory()?;
            self.take(&model, 0, version)?;
            objects(&model)
        };
        all().map_err(|error| store_error(OPERATION, error))
    }
}

/// Everything in a file that has a definition. SQLite compares names without regard to the case of ASCII letters.
fn objects(connection: &Connection) -> Result<Objects, rusqlite::Error> {
    let sql = "SELECT lower(name), type, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut select = connection.prepare(sql)?;
    let objects = select.query_map([], |row| {
        let sql: String = row.get(2)?;
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok((row.get(0)?, (row.get(1)?, sql)))
    })?;
    objects.collect()
}

fn schema(text: String) -> StoreError {
    StoreError::new(OPERATION, StoreErrorKind::Schema, text)
}
