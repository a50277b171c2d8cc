//! The words that clauses are written in.

mod racing;
mod reading;
mod work;

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition, Timestamp,
    projection::{
        Checkpoint, Claim, Claimed, DeadLetter, DocumentKey, Fate, Lease, Owner, Partitions,
        ProjectionId, ProjectionName, ProjectionStore, ProjectionStoreError, Witness,
    },
};
use uuid::Uuid;

pub(super) use self::{
    racing::{dropped_after, join, overtaken},
    reading::{bodies, body, body_of, letters, places, query, query_keys, standing, standings},
    work::{Work, begin, commit, must_be_fenced, try_commit, work},
};

/// A lease that does not run out while a clause runs.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// How long a store may go on to say that it is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Calls again while the store says "nothing was done, will pass": so it must pass.
macro_rules! patiently {
    ($call:expr) => {{
        let start = tokio::time::Instant::now();
        loop {
            match $call.await {
                Err(error)
                    if error.is_retriable()
                        && start.elapsed() < $crate::projection_contract::kit::PATIENCE =>
                {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(super) use patiently;

pub(super) fn name(name: &str) -> ProjectionName {
    ProjectionName::try_new(name).expect("the suite's names are valid")
}

pub(super) fn projection(of: &str, version: u32) -> ProjectionId {
    let name = name(of);
    ProjectionId { name, version }
}

pub(super) fn owner(label: impl Into<String>) -> Owner {
    Owner {
        id: Uuid::now_v7(),
        label: label.into(),
    }
}

pub(super) fn at(position: u64) -> GlobalPosition {
    GlobalPosition::try_new(position).expect("the suite's positions are allowed")
}

pub(super) fn parts(number: u32) -> Partitions {
    Partitions::try_new(number).expect("the suite's numbers of partitions are allowed")
}

pub(super) fn key(text: impl AsRef<str>) -> DocumentKey {
    DocumentKey::try_new(text).expect("the suite's keys are valid")
}

/// A checkpoint with a witness at its own position.
pub(super) fn checkpoint(position: u64) -> Checkpoint {
    Checkpoint {
        position: at(position),
        witness: Some(Witness {
            position: at(position),
            id: EventId::generate(),
        }),
    }
}

pub(super) fn letter(position: u64, partition: u32, fate: Fate) -> DeadLetter {
    DeadLetter {
        position: at(position),
        partition,
        stream: "contract:poison".try_into().expect("a valid name"),
        event: EventId::generate(),
        fate,
        attempts: 3,
        error: format!("the event at {position} does not fit"),
        at: Timestamp::now(),
    }
}

/// The wish of somebody new to lead the whole of a projection for a long time.
pub(super) fn wish(projection: &ProjectionId) -> Claim {
    Claim {
        projection: projection.clone(),
        partition: 0,
        partitions: Partitions::ONE,
        owner: owner("somebody"),
        ttl: LONG,
    }
}

/// The wish of somebody new to lead one of several partitions.
pub(super) fn wish_part(projection: &ProjectionId, partition: u32, of: u32) -> Claim {
    Claim {
        partition,
        partitions: parts(of),
        ..wish(projection)
    }
}

pub(super) async fn claim<S: ProjectionStore>(store: &S, claim: &Claim) -> Claimed {
    patiently!(store.claim(claim)).unwrap_or_else(|error| {
        panic!("a claim comes to something, it is no error: {claim:?} met {error} ({error:?})")
    })
}

/// The lease that this claim must come to.
pub(super) async fn lead<S: ProjectionStore>(store: &S, wish: &Claim) -> Lease {
    granted(claim(store, wish).await, wish)
}

pub(super) fn granted(claimed: Claimed, wish: &Claim) -> Lease {
    match claimed {
        Claimed::Granted(lease) => lease,
        other => panic!("nothing stands against {wish:?}, and it came to {other:?}"),
    }
}

pub(super) async fn renew<S: ProjectionStore>(
    store: &S,
    lease: &Lease,
) -> Result<(), ProjectionStoreError> {
    patiently!(store.renew(lease))
}

pub(super) async fn release<S: ProjectionStore>(store: &S, lease: &Lease) {
    patiently!(store.release(lease)).unwrap_or_else(|error| {
        panic!("releasing {lease:?} is no error, whoever leads: {error:?}")
    });
}

pub(super) async fn reset<S: ProjectionStore>(store: &S, projection: &ProjectionId) {
    patiently!(store.reset(projection))
        .unwrap_or_else(|error| panic!("resetting {projection} failed: {error} ({error:?})"));
}

pub(super) async fn remove<S: ProjectionStore>(store: &S, projection: &ProjectionId) {
    patiently!(store.remove(projection))
        .unwrap_or_else(|error| panic!("removing {projection} failed: {error} ({error:?})"));
}

pub(super) async fn replay<S: ProjectionStore>(store: &S, projection: &ProjectionId) -> u64 {
    patiently!(store.replay(projection))
        .unwrap_or_else(|error| panic!("replaying {projection} failed: {error} ({error:?})"))
}
