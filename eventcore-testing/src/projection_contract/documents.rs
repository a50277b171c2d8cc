//! Documents come back by key.

use eventcore::projection::{DocumentQuery, ProjectionStore, UnitOfWork};

use super::{
    Harness,
    kit::{
        Work, begin, bodies, commit, key, lead, name, projection, query_keys, wish, wish_part, work,
    },
};

/// Keys that a database may take for one another, or for something else.
fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "A",
        "á",
        "a\u{301}",
        "ａ",
        " a",
        "a ",
        "a  b",
        "a b",
        "%",
        "_",
        "a%",
        "a_",
        "%a",
        "*",
        "?",
        "[a]",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\",
        "a\\",
        "$1",
        "?1",
        ":a",
        "{}",
        "{a,b}",
        "null",
        "NULL",
        "0",
        "00",
        "1e0",
        "1.0",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "ẞ",
        "i",
        "I",
        "İ",
        "ı",
        "Å",
        "\u{212b}",
        "A\u{30a}",
        "\u{200b}",
        "a\u{200b}",
        "\u{feff}a",
        "😀",
        "👨\u{200d}👩\u{200d}👧",
        "日本",
        "\u{10ffff}",
        "\u{ffff}",
        "\u{e000}",
        "account:1",
        "account:10",
    ]
    .map(str::to_owned)
    .into();
    keys.push("😀".repeat(255));
    keys.push(format!("{}a", "😀".repeat(254)));
    keys.push("a".repeat(255));
    keys
}

fn put_all(keys: &[String]) -> Work {
    let numbered = (0..).zip(keys);
    numbered.fold(work(1), |work, (number, key): (u32, _)| {
        work.put(key, number.to_string())
    })
}

/// Case, accents, forms, spaces, patterns, quotes, and 255 characters of four bytes.
pub async fn keys_are_told_apart_byte_for_byte<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("odd-keys", 1);
    let lease = lead(&store, &wish(&id)).await;
    let texts = odd_keys();
    commit(&store, &lease, &put_all(&texts)).await;
    let keys: Vec<_> = texts.iter().map(key).collect();
    let mut expected: Vec<_> = (0..keys.len())
        .map(|number| Some(number.to_string()))
        .collect();
    assert_eq!(
        bodies(&store, &id.name, &keys).await,
        expected,
        "for the keys {texts:?}"
    );
    let mut unit = begin(&store, &lease).await;
    assert_eq!(
        unit.load(&keys).await.expect("it leads"),
        expected,
        "within a unit"
    );
    drop(unit);
    commit(
        &store,
        &lease,
        &work(2)
            .delete("A")
            .delete("%")
            .delete("é")
            .put("\\", "\"changed\""),
    )
    .await;
    for (text, body) in texts.iter().zip(&mut expected) {
        match text.as_str() {
            "A" | "%" | "é" => *body = None,
            "\\" => *body = Some("\"changed\"".to_owned()),
            _ => (),
        }
    }
    let found = bodies(&store, &id.name, &keys).await;
    assert_eq!(found, expected, "a change of one key changed another");
}

/// By bytes, whatever the language of the database is.
pub async fn all_documents_come_by_the_bytes_of_their_keys<S: ProjectionStore>(
    harness: Harness<S>,
) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("by-key", 1))).await;
    let mut texts = odd_keys();
    commit(&store, &lease, &put_all(&texts)).await;
    texts.sort_unstable();
    let all = DocumentQuery::all();
    assert_eq!(query_keys(&store, "by-key", &all).await, texts);
}

/// Repeated, unknown, none at all, and in no order of the store.
pub async fn documents_come_in_the_order_of_the_keys<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let id = projection("ordered", 1);
    let lease = lead(&store, &wish(&id)).await;
    commit(
        &store,
        &lease,
        &work(1).put("a", "1").put("b", "2").put("c", "3"),
    )
    .await;
    let keys = ["c", "never", "a", "c", "b", "never", "a", "c"].map(key);
    let expected = [
        Some("3"),
        None,
        Some("1"),
        Some("3"),
        Some("2"),
        None,
        Some("1"),
        Some("3"),
    ];
    let expected = expected.map(|body| body.map(str::to_owned));
    assert_eq!(bodies(&store, &id.name, &keys).await, expected);
    assert!(bodies(&store, &id.name, &[]).await.is_empty());
    assert_eq!(
        bodies(&store, &name("nobody"), &keys).await,
        vec![None; keys.len()],
        "a projection that nobody knows has no documents"
    );
    let mut unit = begin(&store, &lease).await;
    assert_eq!(
        unit.load(&keys).await.expect("it leads"),
        expected,
        "within a unit"
    );
    assert!(unit.load(&[]).await.expect("it leads").is_empty());
}

/// More than any statement has places for.
pub async fn thousands_of_keys_go_at_once<S: ProjectionStore>(harness: Harness<S>) {
    const WRITTEN: usize = 4000;
    const ASKED: usize = 70_000;
    let store = harness.store();
    let id = projection("many", 1);
    let lease = lead(&store, &wish(&id)).await;
    let all = (0..WRITTEN).fold(work(1), |work, n| work.put(format!("k{n}"), n.to_string()));
    commit(&store, &lease, &all).await;
    let keys: Vec<_> = (0..ASKED).map(|n| key(format!("k{n}"))).collect();
    let mut unit = begin(&store, &lease).await;
    let loaded = unit.load(&keys).await.expect("it leads");
    drop(unit);
    for found in [loaded, bodies(&store, &id.name, &keys).await] {
        assert_eq!(found.len(), ASKED);
        let wrong = (0..).zip(&found).find(|(n, body)| {
            let expected = (*n < WRITTEN).then(|| n.to_string());
            **body != expected
        });
        assert_eq!(
            wrong, None,
            "of {ASKED} keys the first {WRITTEN} have documents"
        );
    }
}

/// Two versions under the same keys.
pub async fn versions_do_not_see_each_others_documents<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let (one, two) = (projection("versions", 1), projection("versions", 2));
    let first = lead(&store, &wish(&one)).await;
    let second = lead(&store, &wish(&two)).await;
    commit(&store, &first, &work(1).put("a", "1").put("b", "1")).await;
    commit(&store, &second, &work(2).put("a", "2").put("c", "2")).await;
    commit(&store, &second, &work(3).delete("b")).await;
    let keys = ["a", "b", "c"].map(key);
    let of_first = [Some("1"), Some("1"), None];
    let of_second = [Some("2"), None, Some("2")];
    for (lease, expected) in [(&first, of_first), (&second, of_second)] {
        let mut unit = begin(&store, lease).await;
        let seen = unit.load(&keys).await.expect("it leads");
        let expected = expected.map(|body| body.map(str::to_owned));
        assert_eq!(
            seen, expected,
            "{} sees its own documents",
            lease.projection
        );
    }
    let other = lead(&store, &wish_part(&projection("version", 1), 0, 2)).await;
    let mut unit = begin(&store, &other).await;
    assert_eq!(
        unit.load(&keys).await.expect("it leads"),
        [None, None, None]
    );
}
