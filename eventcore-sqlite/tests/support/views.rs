//! What tests of projections need.

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, DocumentChange, DocumentKey, Lease, Owner, Partitions,
        Progress, ProjectionId, ProjectionName, ProjectionStore, Witness,
    },
};
use uuid::Uuid;

pub fn name() -> ProjectionName {
    ProjectionName::try_new("balances").unwrap()
}

pub fn id(version: u32) -> ProjectionId {
    ProjectionId {
        name: name(),
        version,
    }
}

pub fn owner(label: &str) -> Owner {
    Owner {
        id: Uuid::now_v7(),
        label: label.into(),
    }
}

pub fn claim_of(version: u32, partition: u32, partitions: u32, owner: &Owner) -> Claim {
    Claim {
        projection: id(version),
        partition,
        partitions: Partitions::try_new(partitions).unwrap(),
        owner: owner.clone(),
        ttl: Duration::from_secs(30),
    }
}

pub async fn granted(store: &impl ProjectionStore, claim: &Claim) -> Lease {
    match store.claim(claim).await.unwrap() {
        Claimed::Granted(lease) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

/// The lease of the whole projection.
pub async fn lead(store: &impl ProjectionStore) -> Lease {
    granted(store, &claim_of(1, 0, 1, &owner("test"))).await
}

pub fn key(key: &str) -> DocumentKey {
    DocumentKey::try_new(key).unwrap()
}

pub fn change(name: &str, body: &str) -> DocumentChange {
    DocumentChange {
        key: key(name),
        body: Some(body.into()),
    }
}

pub fn at(position: u64) -> Progress {
    let position = GlobalPosition::try_new(position).unwrap();
    Progress {
        checkpoint: Checkpoint {
            position,
            witness: Some(Witness {
                position,
                id: EventId::generate(),
            }),
        },
        activate: false,
    }
}

/// Where the first partition of the first version stands.
pub async fn position(store: &impl ProjectionStore) -> u64 {
    store.standings(&name()).await.unwrap()[0]
        .checkpoint
        .position
        .get()
}

pub async fn body(store: &impl ProjectionStore, name_of: &str) -> Option<String> {
    store
        .documents(&name(), &[key(name_of)])
        .await
        .unwrap()
        .remove(0)
}
