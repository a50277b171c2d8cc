//! Who may move a partition. Every function here runs inside a transaction that may write.

use std::time::Duration;

use eventcore::{
    Timestamp,
    projection::{
        Checkpoint, Claim, Claimed, Lease, Owner, Progress, ProjectionStoreError, Witness,
    },
    store::{StoreError, StoreErrorKind},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    division::{create, divide, find, next_epoch},
    letters::{event_id, position},
    trouble::Trouble,
};

/// The most bytes of an owner's label that are kept.
const MAX_LABEL: usize = 200;

/// The clock of the store, which is that of the host, in microseconds since 1970. Leases are measured by it alone.
fn now() -> i64 {
    Timestamp::now().unix_micros()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Where a partition stands, and who leads it.
pub(super) struct Part {
    pub(super) checkpoint: Checkpoint,
    pub(super) epoch: u64,
    owner: Option<Owner>,
    ttl: i64,
    expires_at: i64,
}

/// The columns of [`Part::read`], in its order.
pub(super) const PART: &str =
    "position, witness_position, witness_id, epoch, owner, owner_label, ttl, expires_at";

impl Part {
    /// Reads it from the columns [`PART`], which begin at `first`.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self, Trouble> {
        let witness = match (row.get(first + 1)?, row.get(first + 2)?) {
            (Some(at), Some(id)) => Some(Witness {
                position: position(at)?,
                id: event_id(id)?,
            }),
            _ => None,
        };
        let owner: Option<[u8; 16]> = row.get(first + 4)?;
        let label: Option<String> = row.get(first + 5)?;
        Ok(Self {
            checkpoint: Checkpoint {
                position: position(row.get(first)?)?,
                witness,
            },
            epoch: row.get::<_, i64>(first + 3)?.unsigned_abs(),
            owner: owner.map(|id| Owner {
                id: Uuid::from_bytes(id),
                label: label.unwrap_or_default(),
            }),
            ttl: row.get(first + 6)?,
            expires_at: row.get(first + 7)?,
        })
    }

    /// Who leads, and for how long yet, if a lease is running.
    ///
    /// A lease that has far longer to go than it was granted for was granted before the clock was set back: it is over,
    /// or nobody could lead until the clock has caught up.
    pub(super) fn leader(&self) -> Option<(Owner, Duration)> {
        let left = self.expires_at.saturating_sub(now());
        let runs = left > 0 && left <= self.ttl.saturating_mul(2);
        let owner = self.owner.as_ref().filter(|_| runs)?;
        Some((owner.clone(), Duration::from_micros(left.unsigned_abs())))
    }
}

/// Asks to lead a partition.
pub(crate) fn claim(connection: &Connection, claim: &Claim) -> Result<Claimed, Trouble> {
    let wanted = claim.partitions;
    if claim.partition >= wanted.get() {
        let text = format!(
            "there is no partition {} of {}",
            claim.partition,
            wanted.get()
        );
        return Err(StoreError::new("claim a partition", StoreErrorKind::Other, text).into());
    }
    let mut version = match find(connection, &claim.projection)? {
        Some(version) => version,
        None => create(connection, &claim.projection, wanted)?,
    };
    if version.partitions != wanted
        && let Some(refused) = divide(connection, &mut version, wanted)?
    {
        return Ok(refused);
    }
    let part = connection
        .prepare_cached(&format!(
            "SELECT {PART} FROM eventcore_projection_partitions WHERE projection = ?1 AND partition = ?2"
        ))?
        .query_row(params![version.number, claim.partition], |row| {
            Ok(Part::read(row, 0))
        })??;
    if let Some((owner, expires_in)) = part.leader()
        && owner.id != claim.owner.id
    {
        return Ok(Claimed::Held { owner, expires_in });
    }
    let epoch = next_epoch(connection, version.number)?;
    let owner = Owner {
        id: claim.owner.id,
        label: beginning(&claim.owner.label),
    };
    connection.execute(
        "UPDATE eventcore_projection_partitions
         SET epoch = ?3, owner = ?4, owner_label = ?5, ttl = ?6, expires_at = ?7
         WHERE projection = ?1 AND partition = ?2",
        params![
            version.number,
            claim.partition,
            epoch,
            owner.id.as_bytes(),
            owner.label,
            micros(claim.ttl),
            now().saturating_add(micros(claim.ttl)),
        ],
    )?;
    Ok(Claimed::Granted(Lease {
        projection: claim.projection.clone(),
        partition: claim.partition,
        partitions: wanted,
        owner,
        epoch: epoch.unsigned_abs(),
        ttl: claim.ttl,
        checkpoint: part.checkpoint,
        divisions: version.divisions,
    }))
}

/// The number of the lease's version, if it is the last lease that was granted for its partition.
pub(crate) fn check(connection: &Connection, lease: &Lease) -> Result<i64, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT projection FROM eventcore_projections JOIN eventcore_projection_partitions AS part
             USING (projection)
         WHERE name = ?1 AND version = ?2 AND partition = ?3 AND part.epoch = ?4",
    )?;
    let of = &lease.projection;
    let epoch = lease.epoch.cast_signed();
    let number = select
        .query_row(
            params![of.name.as_str(), of.version, lease.partition, epoch],
            |row| row.get(0),
        )
        .optional()?;
    Ok(number.ok_or_else(|| ProjectionStoreError::fenced(lease))?)
}

/// Makes a lease last for its whole time again.
pub(crate) fn renew(connection: &Connection, lease: &Lease) -> Result<(), Trouble> {
    let number = check(connection, lease)?;
    set_end(
        connection,
        number,
        lease,
        now().saturating_add(micros(lease.ttl)),
    )
}

/// Ends a lease, if it is the last one.
pub(crate) fn release(connection: &Connection, lease: &Lease) -> Result<(), Trouble> {
    match check(connection, lease) {
        Ok(number) => set_end(connection, number, lease, 0),
        Err(Trouble::Told(error)) if error.is_fenced() => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

fn set_end(connection: &Connection, number: i64, lease: &Lease, end: i64) -> Result<(), Trouble> {
    let mut update = connection.prepare_cached(
        "UPDATE eventcore_projection_partitions SET ttl = ?3, expires_at = ?4
         WHERE projection = ?1 AND partition = ?2",
    )?;
    update.execute(params![number, lease.partition, micros(lease.ttl), end])?;
    Ok(())
}

/// Moves the checkpoint and renews the lease, if it is the last one.
pub(crate) fn advance(
    connection: &Connection,
    number: i64,
    lease: &Lease,
    progress: Progress,
) -> Result<(), Trouble> {
    let Progress {
        checkpoint,
        activate,
    } = progress;
    let mut update = connection.prepare_cached(
        "UPDATE eventcore_projection_partitions
         SET position = ?4, witness_position = ?5, witness_id = ?6, ttl = ?7, expires_at = ?8
         WHERE projection = ?1 AND partition = ?2 AND epoch = ?3",
    )?;
    let moved = update.execute(params![
        number,
        lease.partition,
        lease.epoch.cast_signed(),
        checkpoint.position.to_i64(),
        checkpoint.witness.map(|witness| witness.position.to_i64()),
        checkpoint
            .witness
            .map(|witness| *witness.id.as_uuid().as_bytes()),
        micros(lease.ttl),
        now().saturating_add(micros(lease.ttl)),
    ])?;
    if moved == 0 {
        return Err(ProjectionStoreError::fenced(lease).into());
    }
    if activate {
        // Readers see one version at any time: an index holds that, so the old one goes first. A version that was slower
        // than its successor does not take readers back.
        let replaced = connection.execute(
            "UPDATE eventcore_projections SET active = 0 WHERE name = ?1 AND active = 1 AND version < ?2",
            params![lease.projection.name.as_str(), lease.projection.version],
        )?;
        if replaced > 0 {
            connection.execute(
                "UPDATE eventcore_projections SET active = 1 WHERE projection = ?1",
                [number],
            )?;
        }
    }
    Ok(())
}

fn beginning(label: &str) -> String {
    label[..label.floor_char_boundary(MAX_LABEL)].to_owned()
}
