//! What a store shows, with the checks that every answer owes.

use eventcore::projection::{
    DeadLetter, DocumentKey, DocumentQuery, ProjectionId, ProjectionName, ProjectionStore,
    RawDocument, Standing,
};

use super::{at, key, name, patiently};

pub(in crate::projection_contract) async fn bodies<S: ProjectionStore>(
    store: &S,
    of: &ProjectionName,
    keys: &[DocumentKey],
) -> Vec<Option<String>> {
    let found = patiently!(store.documents(of, keys))
        .unwrap_or_else(|error| panic!("reading documents of {of} failed: {error} ({error:?})"));
    assert_eq!(
        found.len(),
        keys.len(),
        "there is one answer for each key that was asked for"
    );
    found
}

/// One document.
pub(in crate::projection_contract) async fn body_of<S: ProjectionStore>(
    store: &S,
    of: &ProjectionName,
    document: &str,
) -> Option<String> {
    bodies(store, of, &[key(document)]).await.pop().flatten()
}

/// One document of a projection by its name.
pub(in crate::projection_contract) async fn body<S: ProjectionStore>(
    store: &S,
    of: &str,
    document: &str,
) -> Option<String> {
    body_of(store, &name(of), document).await
}

pub(in crate::projection_contract) async fn query<S: ProjectionStore>(
    store: &S,
    of: &str,
    query: &DocumentQuery,
) -> Vec<RawDocument> {
    patiently!(store.query(&name(of), query))
        .unwrap_or_else(|error| panic!("{query:?} failed: {error} ({error:?})"))
}

/// The keys that a query finds.
pub(in crate::projection_contract) async fn query_keys<S: ProjectionStore>(
    store: &S,
    of: &str,
    asked: &DocumentQuery,
) -> Vec<String> {
    let found = query(store, of, asked).await;
    found
        .into_iter()
        .map(|document| document.key.to_string())
        .collect()
}

/// All letters of a projection.
pub(in crate::projection_contract) async fn letters<S: ProjectionStore>(
    store: &S,
    projection: &ProjectionId,
) -> Vec<DeadLetter> {
    patiently!(store.dead_letters(projection, at(0), 100_000))
        .unwrap_or_else(|error| panic!("listing letters failed: {error} ({error:?})"))
}

/// Where letters stand, and what became of them.
pub(in crate::projection_contract) fn places(
    letters: &[DeadLetter],
) -> Vec<(u64, u32, &'static str)> {
    let place = |letter: &DeadLetter| (letter.position.get(), letter.partition);
    letters
        .iter()
        .map(|letter| (place(letter).0, place(letter).1, letter.fate.as_str()))
        .collect()
}

pub(in crate::projection_contract) async fn standings<S: ProjectionStore>(
    store: &S,
    of: &ProjectionName,
) -> Vec<Standing> {
    let standings = patiently!(store.standings(of))
        .unwrap_or_else(|error| panic!("the standings of {of} cannot be had: {error} ({error:?})"));
    let places = standings
        .iter()
        .map(|s| (s.projection.version, s.partition));
    assert!(
        places.clone().is_sorted_by(|one, other| one < other),
        "standings come by version and partition, each once; got {:?}",
        places.collect::<Vec<_>>()
    );
    standings
}

/// Where one partition stands.
pub(in crate::projection_contract) async fn standing<S: ProjectionStore>(
    store: &S,
    projection: &ProjectionId,
    partition: u32,
) -> Standing {
    let standings = standings(store, &projection.name).await;
    let mut wanted = standings
        .iter()
        .filter(|s| s.projection == *projection && s.partition == partition);
    wanted.next().cloned().unwrap_or_else(|| {
        panic!("partition {partition} of {projection} was claimed and is not in {standings:?}")
    })
}
