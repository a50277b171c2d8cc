//! What is special to projections in memory: the clock that can be paused, and the model that is no documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests may panic as tests do"
)]

use std::{collections::BTreeMap, time::Duration};

use eventcore::{
    GlobalPosition,
    projection::{
        Checkpoint, Claim, Claimed, DocumentChange, DocumentKey, Lease, Owner, Partitions,
        Progress, ProjectionId, ProjectionName, ProjectionStore, UnitOfWork,
    },
};
use eventcore_memory::InMemoryProjections;
use tokio::time::advance;
use uuid::Uuid;

type Balances = BTreeMap<String, i64>;
type Store = InMemoryProjections<Balances>;

fn wish(name: &str) -> Claim {
    Claim {
        projection: ProjectionId {
            name: ProjectionName::try_new(name).unwrap(),
            version: 1,
        },
        partition: 0,
        partitions: Partitions::ONE,
        owner: Owner {
            id: Uuid::now_v7(),
            label: "test".to_owned(),
        },
        ttl: Duration::from_secs(10),
    }
}

async fn lead<M: Clone + Default + Send + Sync + 'static>(
    store: &InMemoryProjections<M>,
    wish: &Claim,
) -> Lease {
    match store.claim(wish).await.unwrap() {
        Claimed::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn at(position: u64) -> Progress {
    let position = GlobalPosition::try_new(position).unwrap();
    Progress {
        checkpoint: Checkpoint {
            position,
            witness: None,
        },
        activate: false,
    }
}

fn put(key: &str) -> Vec<DocumentChange> {
    let key = DocumentKey::try_new(key).unwrap();
    vec![DocumentChange {
        key,
        body: Some("1".to_owned()),
    }]
}

/// Whether the projection is as new: no model, no documents, at the start.
async fn is_new(store: &Store, wish: &Claim) -> bool {
    let keys = ["a", "b"].map(|key| DocumentKey::try_new(key).unwrap());
    let name = &wish.projection.name;
    let documents = store.documents(name, &keys).await.unwrap();
    let standing = store.standings(name).await.unwrap().remove(0);
    store.model().is_empty()
        && documents == [None, None]
        && standing.checkpoint == Checkpoint::default()
        && standing.leader.is_none()
}

/// A document and a balance, committed at 1.
async fn begun(store: &Store, wish: &Claim) -> Lease {
    let lease = lead(store, wish).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(put("a")).await.unwrap();
    unit.model().unwrap().insert("x".to_owned(), 1);
    unit.commit(at(1)).await.unwrap();
    lease
}

#[tokio::test(start_paused = true)]
async fn leases_run_by_the_clock_of_the_test() {
    let store: InMemoryProjections = InMemoryProjections::new();
    let first = lead(&store, &wish("p")).await;
    advance(Duration::from_millis(9_999)).await;
    let held = store.claim(&wish("p")).await.unwrap();
    let Claimed::Held { expires_in, .. } = held else {
        panic!("{held:?}");
    };
    assert_eq!(expires_in, Duration::from_millis(1));
    store.renew(&first).await.unwrap();
    advance(Duration::from_secs(9)).await;
    assert!(matches!(
        store.claim(&wish("p")).await.unwrap(),
        Claimed::Held { .. }
    ));
    advance(Duration::from_secs(1)).await;
    lead(&store, &wish("p")).await;
    assert!(store.renew(&first).await.unwrap_err().is_fenced());
}

#[tokio::test]
async fn a_lease_may_last_for_ever() {
    let store: InMemoryProjections = InMemoryProjections::new();
    let ttl = Duration::MAX;
    lead(&store, &Claim { ttl, ..wish("p") }).await;
    let held = store.claim(&wish("p")).await.unwrap();
    assert!(matches!(held, Claimed::Held { .. }));
}

#[tokio::test]
async fn clones_share_their_data() {
    let store = Store::default();
    begun(&store.clone(), &wish("p")).await;
    assert_eq!(store.model()["x"], 1);
    assert_eq!(store.names().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_model_changes_with_the_commit() {
    let store = Store::default();
    let lease = begun(&store, &wish("p")).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.model().unwrap().insert("x".to_owned(), 2);
    assert_eq!(
        unit.model().unwrap()["x"],
        2,
        "the unit sees its own change"
    );
    assert_eq!(store.model()["x"], 1, "readers see what was committed");
    unit.commit(at(2)).await.unwrap();
    assert_eq!(store.model()["x"], 2);
}

#[tokio::test]
async fn a_unit_that_only_looked_elsewhere_leaves_the_model() {
    let store = Store::default();
    let lease = begun(&store, &wish("p")).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.put(put("b")).await.unwrap();
    drop(unit);
    assert_eq!(store.model()["x"], 1);
    store
        .begin(&lease)
        .await
        .unwrap()
        .commit(at(2))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_unit_leaves_the_model_as_it_was() {
    let store = Store::default();
    let lease = begun(&store, &wish("p")).await;
    let mut unit = store.begin(&lease).await.unwrap();
    unit.model().unwrap().insert("x".to_owned(), 2);
    drop(unit);
    assert_eq!(store.model()["x"], 1);
    store
        .begin(&lease)
        .await
        .unwrap()
        .commit(at(2))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_with_the_model_in_hand_leaves_it_as_it_was() {
    let store = Store::default();
    let lease = begun(&store, &wish("p")).await;
    let theirs = store.clone();
    let task = tokio::spawn(async move {
        let mut unit = theirs.begin(&lease).await.unwrap();
        unit.model().unwrap().insert("x".to_owned(), 2);
        panic!("on purpose");
    });
    assert!(task.await.is_err());
    assert_eq!(store.model()["x"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_unit_leaves_the_model_to_its_successor() {
    let store = Store::default();
    let old = begun(&store, &wish("p")).await;
    let mut late = store.begin(&old).await.unwrap();
    late.model().unwrap().insert("x".to_owned(), 2);
    advance(Duration::from_secs(11)).await;
    let new = lead(&store, &wish("p")).await;
    let mut unit = store.begin(&new).await.unwrap();
    unit.model().unwrap().insert("x".to_owned(), 3);
    assert!(late.commit(at(2)).await.unwrap_err().is_fenced());
    unit.commit(at(2)).await.unwrap();
    assert_eq!(store.model()["x"], 3);
}

#[tokio::test]
async fn of_two_units_that_change_the_model_at_once_the_second_is_told_to_try_again() {
    let store = Store::default();
    let lease = begun(&store, &wish("p")).await;
    let (mut one, mut two) = (
        store.begin(&lease).await.unwrap(),
        store.begin(&lease).await.unwrap(),
    );
    one.model().unwrap().insert("x".to_owned(), 2);
    two.model().unwrap().insert("y".to_owned(), 2);
    one.commit(at(2)).await.unwrap();
    assert!(two.commit(at(2)).await.unwrap_err().is_retriable());
    assert!(!store.model().contains_key("y"));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_leader_is_not_given_the_model() {
    let store = Store::default();
    let old = begun(&store, &wish("p")).await;
    let mut unit = store.begin(&old).await.unwrap();
    advance(Duration::from_secs(11)).await;
    let new = lead(&store, &wish("p")).await;
    assert!(unit.model().unwrap_err().is_fenced());
    drop(unit);
    assert_eq!(store.model()["x"], 1, "it spoiled nothing");
    store
        .begin(&new)
        .await
        .unwrap()
        .commit(at(2))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_model_belongs_to_one_projection() {
    let store = Store::default();
    let (one, two) = (wish("one"), wish("two"));
    begun(&store, &one).await;
    let lease = lead(&store, &two).await;
    let mut unit = store.begin(&lease).await.unwrap();
    let error = unit.model().unwrap_err().to_string();
    assert!(error.contains("belongs to projection one v1"), "{error}");
    unit.put(put("a")).await.unwrap();
    unit.commit(at(1)).await.unwrap();
    store.reset(&two.projection).await.unwrap();
    assert_eq!(store.model()["x"], 1, "another one's reset");
    store.remove(&one.projection).await.unwrap();
    assert!(store.model().is_empty());
    begun(&store, &two).await;
}

#[tokio::test]
async fn a_reset_clears_the_model() {
    let store = Store::default();
    let wish = wish("p");
    begun(&store, &wish).await;
    store.reset(&wish.projection).await.unwrap();
    assert!(is_new(&store, &wish).await);
}
