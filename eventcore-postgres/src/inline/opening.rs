//! Making projections inline ones.

use std::{collections::BTreeSet, time::Duration};

use eventcore::{
    GlobalPosition,
    projection::{Divisions, Inline, Owner, ProjectionId},
    store::{StoreError, StoreErrorKind},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::{Failure, Inlines, not_taken, pass::Pass, refused};
use crate::{errors::store_error, mode::Mode, sessions::Sessions};

const OPERATION: &str = "open the store";

/// A hundred years in microseconds: longer than any process lives.
const AGES: i64 = 100 * 365 * 24 * 3600 * 1_000_000;

/// What a runner has made of it, and what stands against going on with that.
const LOOK: &str = "
SELECT v.partitions, v.divisions, p.position, p.witness_position, p.witness_id,
    (SELECT e.id FROM {schema}.events e WHERE e.position = p.witness_position) AS found,
    (SELECT count(*) FROM {schema}.dead_letters l
        WHERE l.name = v.name AND l.version = v.version AND l.fate <> 'skipped') AS waiting
FROM {schema}.projection_versions v
JOIN {schema}.projection_partitions p ON p.name = v.name AND p.version = v.version AND p.partition = 0
WHERE v.name = $1 AND v.version = $2";

const CLAIM: &str = "
SELECT o_outcome, o_owner, o_label, o_left
FROM {schema}.claim_partition($1, $2, 0, 1, $3, $4, $5, NULL, NULL, NULL)";

impl Inlines {
    /// Makes the models' projections inline ones, with all events that they lack; all of them or none. To be called in
    /// a task.
    pub(crate) async fn open(&self, sessions: &Sessions) -> Result<(), StoreError> {
        let mut names = BTreeSet::new();
        for model in &self.models {
            if !names.insert(&model.id().name) {
                let why = "this store runs a model of that name already";
                return Err(refused(model.id(), StoreErrorKind::Other, why));
            }
        }
        let taken = sessions.take().await;
        let mut session = taken.map_err(|error| store_error(OPERATION, error))?;
        let opened = self.transact_open(session.mode(), &mut session).await;
        let result = match opened {
            Ok(()) => Ok(()),
            Err(Failure::Sql(error)) => Err(error),
            Err(Failure::Store(error)) => return Err(error),
        };
        sessions.done(session, &result);
        result.map_err(|error| store_error(OPERATION, error))
    }

    async fn transact_open(
        &self,
        mode: Mode,
        connection: &mut PgConnection,
    ) -> Result<(), Failure> {
        let mut transaction = mode.begin(connection, &self.settings).await?;
        let opened = self.open_in(&mut transaction).await;
        let ended = match &opened {
            Ok(()) => self.mode.patiently(transaction.commit()).await,
            Err(failure) if failure.is_broken() => Ok(()),
            Err(_) => self.mode.patiently(transaction.rollback()).await,
        };
        opened?;
        Ok(ended?)
    }

    async fn open_in(&self, connection: &mut PgConnection) -> Result<(), Failure> {
        // The order lock comes before all others, as it does in an append.
        let lock = sqlx::query(AssertSqlSafe(self.lock.as_str()));
        self.statements.run(connection, lock).await?;
        for model in &self.models {
            self.check(connection, model.id()).await?;
            self.claim(connection, model.id()).await?;
        }
        let end = "SELECT coalesce(max(position), 0) FROM {schema}.events";
        let end = sqlx::query(self.statements.sql(end));
        let rows = self.statements.run(connection, end).await?;
        let end: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        let end = GlobalPosition::try_from(end).unwrap_or_default();
        let mut pass = Pass::new(&self.models);
        self.statements.load(connection, &mut pass).await?;
        pass.check(end)?;
        let caught_up = self.catch_up(connection, &mut pass, end).await?;
        caught_up.map_err(not_taken)?;
        self.statements.write(connection, &pass).await?;
        for model in &self.models {
            // It has caught up, so readers may see it.
            let activate =
                "UPDATE {schema}.projections SET active = $2 WHERE name = $1 AND active <> $2";
            let activate = sqlx::query(self.statements.sql(activate))
                .bind(model.id().name.as_str())
                .bind(i64::from(model.id().version));
            self.statements.run(connection, activate).await?;
        }
        Ok(())
    }

    async fn check(
        &self,
        connection: &mut PgConnection,
        projection: &ProjectionId,
    ) -> Result<(), Failure> {
        let statement = sqlx::query(self.statements.sql(LOOK))
            .bind(projection.name.as_str())
            .bind(i64::from(projection.version));
        let rows = self.statements.run(connection, statement).await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let refused = |why: String| Err(refused(projection, StoreErrorKind::Other, &why).into());
        let partitions: i32 = row.try_get("partitions")?;
        if partitions != 1 {
            return refused(format!(
                "it has {partitions} partitions; run it with 1 first"
            ));
        }
        let waiting: i64 = row.try_get("waiting")?;
        if waiting > 0 {
            return refused(format!(
                "{waiting} dead letters wait; replay them with a runner first"
            ));
        }
        let position = GlobalPosition::try_from(row.try_get::<i64, _>("position")?);
        let divisions = serde_json::from_str::<Divisions>(row.try_get("divisions")?);
        let divisions = divisions.map_err(|error| sqlx::Error::Decode(error.into()))?;
        if !divisions
            .and(vec![position.unwrap_or_default()])
            .0
            .is_empty()
        {
            return refused(
                "it has not caught up since it was divided; run it with 1 partition first".into(),
            );
        }
        let witness: Option<Uuid> = row.try_get("witness_id")?;
        let found: Option<Uuid> = row.try_get("found")?;
        if let Some(id) = witness
            && found != Some(id)
        {
            let at: i64 = row.try_get("witness_position")?;
            return refused(format!(
                "it was built from another log, which had event {id} at {at}; reset it first"
            ));
        }
        Ok(())
    }

    async fn claim(
        &self,
        connection: &mut PgConnection,
        projection: &ProjectionId,
    ) -> Result<(), Failure> {
        let owner = Inline::owner();
        let statement = sqlx::query(self.statements.sql(CLAIM))
            .bind(projection.name.as_str())
            .bind(i64::from(projection.version))
            .bind(owner.id)
            .bind(owner.label)
            .bind(AGES);
        let rows = self.statements.run(connection, statement).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let why = match row.try_get::<&str, _>("o_outcome")? {
            "granted" => return Ok(()),
            "held" => {
                let owner = Owner {
                    id: row.try_get("o_owner")?,
                    label: row.try_get("o_label")?,
                };
                let left = row.try_get::<i64, _>("o_left")?.max(0).cast_unsigned();
                let left = Duration::from_micros(left);
                format!("{owner} leads it, for {left:?} yet; stop that runner first")
            }
            other => other.to_owned(),
        };
        Err(refused(projection, StoreErrorKind::Busy, &why).into())
    }
}
