//! Who leads what, and how far it has come.

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, Divisions, Lease, Owner, Partitions, ProjectionId,
        ProjectionName, Standing, Witness,
    },
};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use super::calls::{
    Calls, decode, micros, of_lease, of_projection, partition_number, small, without_nul,
};
use crate::sessions::Session;

/// How often a division is worked out anew because others were faster.
const TRIES: usize = 16;

/// What stands against a claim, or for dividing anew.
struct Seen {
    positions: Vec<i64>,
    divisions: String,
}

/// As much of a label as is kept.
pub(super) fn label(owner: &Owner) -> String {
    let label = without_nul(&owner.label);
    let end = label.floor_char_boundary(200);
    label.get(..end).unwrap_or_default().to_owned()
}

impl Calls {
    /// Asks for a lease.
    pub(super) async fn claim(
        &self,
        session: &mut Session,
        claim: &Claim,
    ) -> Result<Claimed, sqlx::Error> {
        let mut seen: Option<Seen> = None;
        let mut partitions = claim.partitions;
        for _ in 0..TRIES {
            let divisions = seen.as_ref().map(divide).transpose()?;
            let row = self
                .ask(session, claim, seen.as_ref(), divisions.as_deref())
                .await?;
            partitions = parts(row.try_get("o_partitions")?)?;
            match row.try_get("o_outcome")? {
                "granted" => return granted(&row, claim),
                "held" => {
                    let left: i64 = row.try_get("o_left")?;
                    return Ok(Claimed::Held {
                        owner: Owner {
                            id: row.try_get("o_owner")?,
                            label: row.try_get("o_label")?,
                        },
                        expires_in: Duration::from_micros(left.max(0).cast_unsigned()),
                    });
                }
                "letters" => {
                    let waiting: i64 = row.try_get("o_waiting")?;
                    return Ok(Claimed::LettersWait {
                        partitions,
                        waiting: waiting.cast_unsigned(),
                    });
                }
                "divide" => {
                    seen = Some(Seen {
                        positions: row.try_get("o_positions")?,
                        divisions: row.try_get("o_divisions")?,
                    });
                }
                _ => break,
            }
        }
        Ok(Claimed::Divided { partitions })
    }

    async fn ask(
        &self,
        session: &mut Session,
        claim: &Claim,
        seen: Option<&Seen>,
        divisions: Option<&str>,
    ) -> Result<PgRow, sqlx::Error> {
        let sql = "SELECT * FROM {schema}.claim_partition($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let statement = sqlx::query(self.sql(sql))
            .bind(claim.projection.name.as_str())
            .bind(i64::from(claim.projection.version))
            .bind(partition_number(claim.partition))
            .bind(partition_number(claim.partitions.get()))
            .bind(claim.owner.id)
            .bind(label(&claim.owner))
            .bind(micros(claim.ttl))
            .bind(seen.map(|seen| seen.positions.as_slice()))
            .bind(seen.map(|seen| seen.divisions.as_str()))
            .bind(divisions);
        self.write(session, statement).await
    }

    /// Renews a lease; says whether it is still the last one.
    pub(super) async fn renew(
        &self,
        session: &mut Session,
        lease: &Lease,
    ) -> Result<bool, sqlx::Error> {
        let sql = "WITH renewed AS (
                 UPDATE {schema}.projection_partitions SET owner_id = $5, owner_label = $6,
                     expires_at = clock_timestamp() + $7 * interval '1 microsecond'
                 WHERE name = $1 AND version = $2 AND partition = $3 AND epoch = $4
                 RETURNING 1
             ) SELECT EXISTS (SELECT FROM renewed)";
        let statement = of_lease(sqlx::query(self.sql(sql)), lease)
            .bind(lease.owner.id)
            .bind(label(&lease.owner))
            .bind(micros(lease.ttl));
        self.write(session, statement).await?.try_get(0)
    }

    /// Ends a lease, if it is still the last one.
    pub(super) async fn release(
        &self,
        session: &mut Session,
        lease: &Lease,
    ) -> Result<(), sqlx::Error> {
        let sql = "WITH released AS (
                 UPDATE {schema}.projection_partitions
                 SET owner_id = NULL, owner_label = NULL, expires_at = NULL
                 WHERE name = $1 AND version = $2 AND partition = $3 AND epoch = $4
                 RETURNING 1
             ) SELECT EXISTS (SELECT FROM released)";
        let statement = of_lease(sqlx::query(self.sql(sql)), lease);
        self.write(session, statement).await.map(drop)
    }

    /// Where all versions and partitions of a projection stand.
    pub(super) async fn standings(
        &self,
        session: &mut Session,
        name: &ProjectionName,
    ) -> Result<Vec<Standing>, sqlx::Error> {
        let sql = "SELECT v.version, p.partition, v.partitions, n.active = v.version AS active,
                 p.position AS o_position, p.witness_position AS o_witness_position, p.witness_id AS o_witness_id,
                 p.epoch, p.owner_id, p.owner_label,
                 (extract(epoch FROM p.expires_at - clock_timestamp()) * 1000000)::bigint AS left_over,
                 (SELECT count(*) FROM {schema}.dead_letters l WHERE l.name = v.name AND l.version = v.version
                     AND l.partition = p.partition AND l.fate <> 'skipped') AS waiting,
                 (SELECT count(*) FROM {schema}.dead_letters l WHERE l.name = v.name AND l.version = v.version
                     AND l.partition = p.partition AND l.fate = 'skipped') AS skipped
             FROM {schema}.projections n
             JOIN {schema}.projection_versions v ON v.name = n.name
             JOIN {schema}.projection_partitions p ON p.name = v.name AND p.version = v.version
             WHERE n.name = $1 ORDER BY v.version, p.partition";
        let statement = sqlx::query(self.sql(sql)).bind(name.as_str());
        let rows = self.read(session, statement).await?;
        rows.iter().map(|row| standing(row, name)).collect()
    }

    /// All names.
    pub(super) async fn names(
        &self,
        session: &mut Session,
    ) -> Result<Vec<ProjectionName>, sqlx::Error> {
        let sql = "SELECT name FROM {schema}.projections ORDER BY name";
        let rows = self.read(session, sqlx::query(self.sql(sql))).await?;
        let name =
            |row: &PgRow| ProjectionName::try_new(row.try_get::<&str, _>(0)?).map_err(decode);
        rows.iter().map(name).collect()
    }

    /// Puts a version back to the start of the log.
    pub(super) async fn reset(
        &self,
        session: &mut Session,
        projection: &ProjectionId,
    ) -> Result<(), sqlx::Error> {
        let sql = "SELECT {schema}.reset_projection($1, $2)";
        let statement = of_projection(sqlx::query(self.sql(sql)), projection);
        self.write(session, statement).await.map(drop)
    }

    /// Forgets a version; says no if that may not be.
    pub(super) async fn remove(
        &self,
        session: &mut Session,
        projection: &ProjectionId,
    ) -> Result<bool, sqlx::Error> {
        let sql = "SELECT {schema}.remove_projection($1, $2)";
        let statement = of_projection(sqlx::query(self.sql(sql)), projection);
        self.write(session, statement).await?.try_get(0)
    }
}

/// The divisions after one more, in the database's words.
fn divide(seen: &Seen) -> Result<String, sqlx::Error> {
    let divisions: Divisions = serde_json::from_str(&seen.divisions).map_err(decode)?;
    let positions: Result<_, _> = seen
        .positions
        .iter()
        .map(|position| GlobalPosition::try_from(*position))
        .collect();
    let (divisions, _) = divisions.and(positions.map_err(decode)?);
    serde_json::to_string(&divisions).map_err(decode)
}

fn granted(row: &PgRow, claim: &Claim) -> Result<Claimed, sqlx::Error> {
    let divisions: &str = row.try_get("o_divisions")?;
    Ok(Claimed::Granted(Lease {
        projection: claim.projection.clone(),
        partition: claim.partition,
        partitions: claim.partitions,
        owner: claim.owner.clone(),
        epoch: row.try_get::<i64, _>("o_epoch")?.cast_unsigned(),
        ttl: claim.ttl,
        checkpoint: checkpoint(row)?,
        divisions: serde_json::from_str(divisions).map_err(decode)?,
    }))
}

fn checkpoint(row: &PgRow) -> Result<Checkpoint, sqlx::Error> {
    let at = |position: i64| GlobalPosition::try_from(position).map_err(decode);
    let witness = match row.try_get::<Option<Uuid>, _>("o_witness_id")? {
        None => None,
        Some(id) => Some(Witness {
            position: at(row.try_get("o_witness_position")?)?,
            id: EventId::try_from(id).map_err(decode)?,
        }),
    };
    Ok(Checkpoint {
        position: at(row.try_get("o_position")?)?,
        witness,
    })
}

fn standing(row: &PgRow, name: &ProjectionName) -> Result<Standing, sqlx::Error> {
    let count = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.cast_unsigned());
    let left: Option<i64> = row.try_get("left_over")?;
    let leader = match left.filter(|left| *left > 0) {
        None => None,
        Some(left) => Some((
            Owner {
                id: row.try_get("owner_id")?,
                label: row.try_get("owner_label")?,
            },
            Duration::from_micros(left.cast_unsigned()),
        )),
    };
    Ok(Standing {
        projection: ProjectionId {
            name: name.clone(),
            version: small(row.try_get("version")?)?,
        },
        partition: small(row.try_get::<i32, _>("partition")?.into())?,
        partitions: parts(row.try_get("partitions")?)?,
        active: row.try_get("active")?,
        checkpoint: checkpoint(row)?,
        epoch: count("epoch")?,
        leader,
        waiting: count("waiting")?,
        skipped: count("skipped")?,
    })
}

fn parts(number: i32) -> Result<Partitions, sqlx::Error> {
    Partitions::try_new(small(number.into())?).map_err(decode)
}
