//! What tests of projections need.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::time::Duration;

use eventcore::{
    EventId, GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, DocumentChange, DocumentKey, Lease, Owner, Partitions,
        Progress, ProjectionId, ProjectionName, ProjectionStore, Witness,
    },
};
use eventcore_postgres::{PostgresOptions, PostgresProjections};
use eventcore_testing::temp_postgres::TempDatabase;
use uuid::Uuid;

pub async fn views(database: &TempDatabase<'_>) -> PostgresProjections {
    connect(&database.url()).await
}

pub async fn connect(url: &str) -> PostgresProjections {
    PostgresProjections::connect(url, PostgresOptions::new())
        .await
        .unwrap()
}

pub fn name() -> ProjectionName {
    ProjectionName::try_new("balances").unwrap()
}

pub fn id() -> ProjectionId {
    ProjectionId {
        name: name(),
        version: 1,
    }
}

/// The wish of somebody new to lead the whole.
pub fn claim(ttl: Duration) -> Claim {
    Claim {
        projection: id(),
        partition: 0,
        partitions: Partitions::ONE,
        owner: Owner {
            id: Uuid::now_v7(),
            label: "test".into(),
        },
        ttl,
    }
}

pub async fn granted(store: &PostgresProjections, claim: &Claim) -> Lease {
    match store.claim(claim).await.unwrap() {
        Claimed::Granted(lease) => lease,
        other => panic!("not granted: {other:?}"),
    }
}

/// A lease for a long time.
pub async fn lead(store: &PostgresProjections) -> Lease {
    granted(store, &claim(Duration::from_mins(10))).await
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
    let id = EventId::generate();
    Progress {
        checkpoint: Checkpoint {
            position,
            witness: Some(Witness { position, id }),
        },
        activate: false,
    }
}

/// Where the projection stands.
pub async fn position(store: &PostgresProjections) -> u64 {
    store.standings(&name()).await.unwrap()[0]
        .checkpoint
        .position
        .get()
}

pub async fn body(store: &PostgresProjections, of: &str) -> Option<String> {
    let found = store.documents(&name(), &[key(of)]).await.unwrap();
    found.into_iter().next().flatten()
}
