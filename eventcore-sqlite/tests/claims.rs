//! What the store claims of its durability is what it was opened with.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use eventcore::EventStore;
use eventcore_sqlite::{Durability, SqliteEventStore, SqliteOptions};
use support::Folder;

#[tokio::test]
async fn a_power_cut_is_survived_only_where_each_append_waits_for_the_disk() {
    let folder = Folder::new();
    let claims = async |options: SqliteOptions| {
        let store = SqliteEventStore::open_with(options).await.unwrap();
        let claims = store.capabilities();
        store.close().await;
        claims
    };
    let options = SqliteOptions::new(folder.file());
    let full = claims(options.clone()).await;
    let weak = claims(options.clone().durability(Durability::ProcessCrash)).await;
    let reader = claims(options.read_only()).await;
    assert!(full.durable && weak.durable);
    assert!(full.survives_power_cut);
    assert!(!weak.survives_power_cut);
    assert!(!reader.survives_power_cut);
}
