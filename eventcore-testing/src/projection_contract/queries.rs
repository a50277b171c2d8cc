//! Conditions and pages: the same answer from every store.
//!
//! Documents are written here as `serde_json` writes them, as the projections of EventCore do.

use eventcore::projection::{DocumentQuery, ProjectionStore, QueryError};
use serde_json::{Value, json};

use super::{
    Harness,
    kit::{Work, commit, key, lead, projection, query, query_keys, wish, work},
};

/// Documents under their keys.
async fn shelf<S: ProjectionStore>(store: &S, of: &str, documents: &[(&str, Value)]) {
    let lease = lead(store, &wish(&projection(of, 1))).await;
    let put = |work: Work, (key, body): &(&str, Value)| work.put(key, body.to_string());
    commit(store, &lease, &documents.iter().fold(work(1), put)).await;
}

async fn found<S: ProjectionStore>(
    store: &S,
    of: &str,
    asked: Result<DocumentQuery, QueryError>,
) -> Vec<String> {
    let asked = asked.expect("the suite's queries are valid");
    query_keys(store, of, &asked).await
}

fn is(path: &str, value: impl Into<Value>) -> Result<DocumentQuery, QueryError> {
    DocumentQuery::all().field_is(path, value)
}

/// Texts, booleans and numbers: equal is what is written in the same way.
pub async fn conditions_compare_what_is_written<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let values = [
        ("n1", json!(1)),
        ("n1.0", json!(1.0)),
        ("t1", json!("1")),
        ("t1.0", json!("1.0")),
        ("true", json!(true)),
        ("ttrue", json!("true")),
        ("false", json!(false)),
        ("zero", json!(0)),
        ("minus", json!(-1)),
        ("null", json!(null)),
        ("tnull", json!("null")),
        ("empty", json!("")),
        ("list", json!([1])),
        ("map", json!({"v": 1})),
        ("u64", json!(u64::MAX)),
        ("i64", json!(i64::MIN)),
        ("near", json!(9_007_199_254_740_993_u64)),
        ("nearer", json!(9_007_199_254_740_992_u64)),
        ("tenth", json!(0.1)),
        ("tiny", json!(5e-324)),
        ("huge", json!(1e300)),
    ];
    let mut documents: Vec<_> = values
        .iter()
        .map(|(key, v)| (*key, json!({"v": v})))
        .collect();
    documents.extend([
        ("none", json!({"w": 1})),
        ("bare", json!(1)),
        ("barelist", json!(["v", 1])),
    ]);
    shelf(&store, "written", &documents).await;
    for (key, value) in &values {
        if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) {
            continue;
        }
        assert_eq!(
            found(&store, "written", is("v", value.clone())).await,
            [*key],
            "v is {value}"
        );
    }
    for nowhere in [
        json!(2),
        json!("2"),
        json!("True"),
        json!("[1]"),
        json!("{\"v\":1}"),
        json!(-0.0),
    ] {
        let found = found(&store, "written", is("v", nowhere.clone())).await;
        assert!(
            found.is_empty(),
            "v is {nowhere} in no document, and was found in {found:?}"
        );
    }
}

/// Quotes, backslashes, accents, control characters, NUL, and what SQL and JSON paths take for their own.
pub async fn texts_are_compared_byte_for_byte<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let texts = [
        "a",
        "A",
        "a ",
        " a",
        "á",
        "a\u{301}",
        "\"",
        "\"a\"",
        "\\",
        "\\\\",
        "\\u0000",
        "\0",
        "a\0b",
        "a\nb",
        "\u{1f}",
        "\u{7f}",
        "'",
        "''",
        "%",
        "_",
        "$",
        "$.a",
        "?",
        "😀",
        "\u{feff}a",
        "\u{ffff}",
        "ẞ",
        "null",
        "{}",
        "a/b",
        "a\\/b",
    ];
    let keys: Vec<_> = (0..texts.len())
        .map(|number| format!("k{number:02}"))
        .collect();
    let documents: Vec<_> = keys
        .iter()
        .zip(texts)
        .map(|(key, t)| (key.as_str(), json!({"t": t})))
        .collect();
    shelf(&store, "texts", &documents).await;
    for (key, text) in keys.iter().zip(texts) {
        let found = found(&store, "texts", is("t", text)).await;
        assert_eq!(found, [key.as_str()], "the text is {text:?}");
    }
}

/// Several conditions hold together; what has no such field is not found.
pub async fn several_conditions_hold_together<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let documents = [
        ("a", json!({"open": true, "owner": "x", "sum": 1})),
        ("b", json!({"open": true, "owner": "y", "sum": 1})),
        ("c", json!({"open": false, "owner": "x", "sum": 1})),
        ("d", json!({"open": true, "owner": "x", "sum": 2})),
        ("e", json!({"open": true, "owner": "x"})),
    ];
    shelf(&store, "together", &documents).await;
    let open = || is("open", true);
    assert_eq!(
        found(&store, "together", open()).await,
        ["a", "b", "d", "e"]
    );
    let both = || open()?.field_is("owner", "x");
    assert_eq!(found(&store, "together", both()).await, ["a", "d", "e"]);
    let three = || both()?.field_is("sum", 1);
    assert_eq!(found(&store, "together", three()).await, ["a"]);
    let against = three().and_then(|query| query.field_is("owner", "y"));
    assert!(
        found(&store, "together", against).await.is_empty(),
        "no owner is both"
    );
    assert!(found(&store, "together", is("nobody", 1)).await.is_empty());
    assert!(
        found(&store, "nobody", is("open", true)).await.is_empty(),
        "an unknown projection"
    );
}

/// A path leads through objects only, by the names as they are.
pub async fn paths_lead_through_objects<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let documents = [
        ("nested", json!({"a": {"b": {"c": 1}}})),
        ("flat", json!({"a.b.c": 1})),
        ("half", json!({"a": {"b.c": 1}})),
        ("list", json!({"a": [{"b": {"c": 1}}], "l": ["x", "y"]})),
        ("text", json!({"a": "{\"b\":{\"c\":1}}"})),
        ("digit", json!({"l": {"0": "x"}, "0": "x"})),
        ("marks", json!({"a-b": {"c_d": "x"}, "A": {"b": {"c": 1}}})),
        (
            "deep",
            json!({"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": true}}}}}}}}),
        ),
        ("nul", json!({"a": null})),
    ];
    shelf(&store, "paths", &documents).await;
    let cases = [
        (is("a.b.c", 1), vec!["nested"]),
        (is("A.b.c", 1), vec!["marks"]),
        (is("l.0", "x"), vec!["digit"]),
        (is("0", "x"), vec!["digit"]),
        (is("l.1", "y"), vec![]),
        (is("a-b.c_d", "x"), vec!["marks"]),
        (is("1.2.3.4.5.6.7.8", true), vec!["deep"]),
        (is("a.b", 1), vec![]),
        (is("a.b.c.d", 1), vec![]),
    ];
    for (asked, expected) in cases {
        let what = format!("{asked:?}");
        assert_eq!(found(&store, "paths", asked).await, expected, "{what}");
    }
}

/// The first hundred unless it is said, any window, and windows beyond the end.
pub async fn pages_are_windows_of_the_whole<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let keys: Vec<_> = (0..250).map(|number| format!("k{number:03}")).collect();
    let document = |(number, key): (usize, &String)| {
        let body = json!({"even": number % 2 == 0, "back": 1000 - number});
        (key.clone(), body)
    };
    let documents: Vec<_> = keys.iter().enumerate().map(document).collect();
    let documents: Vec<_> = documents
        .iter()
        .map(|(key, body)| (key.as_str(), body.clone()))
        .collect();
    shelf(&store, "paged", &documents).await;
    let all = DocumentQuery::all;
    assert_eq!(
        query_keys(&store, "paged", &all()).await,
        keys[..100],
        "a hundred, by key"
    );
    assert_eq!(found(&store, "paged", all().page(0, 10_000)).await, keys);
    for (skip, take) in [
        (0, 1),
        (1, 1),
        (7, 50),
        (200, 50),
        (240, 50),
        (249, 1),
        (250, 1),
        (999, 5),
    ] {
        let window = &keys[skip.min(250)..(skip + take).min(250)];
        assert_eq!(
            found(&store, "paged", all().page(skip, take)).await,
            window,
            "{skip}, {take}"
        );
    }
    for skip in [
        usize::MAX,
        usize::try_from(i64::MAX).unwrap_or(usize::MAX),
        usize::MAX / 2 + 2,
    ] {
        let found = found(&store, "paged", all().page(skip, 10_000)).await;
        assert!(found.is_empty(), "there is nothing after {skip} documents");
    }
    let even = is("even", true).and_then(|query| query.page(10, 3));
    assert_eq!(
        found(&store, "paged", even).await,
        ["k020", "k022", "k024"],
        "of those found"
    );
    let back = is("even", false).and_then(|query| query.sort_ascending("back")?.page(1, 3));
    assert_eq!(
        found(&store, "paged", back).await,
        ["k247", "k245", "k243"],
        "of those sorted"
    );
}

/// What a query finds is whole, as it was put, and as new as the last commit.
pub async fn queries_return_documents_as_they_were_put<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("exact", 1))).await;
    let odd = "{ \"b\" : 1.10 ,\"a\":\"\\u00e9\\u0000\", \"k\":\"x\" }";
    commit(
        &store,
        &lease,
        &work(1).put("odd", odd).put("gone", "{\"k\":\"x\"}"),
    )
    .await;
    commit(
        &store,
        &lease,
        &work(2).delete("gone").put("new", "{\"k\":\"x\"}"),
    )
    .await;
    commit(&store, &lease, &work(3).put("new", "{\"k\":\"y\"}")).await;
    let asked = is("k", "x").expect("a valid query");
    let found = query(&store, "exact", &asked).await;
    let [document] = found.as_slice() else {
        panic!("one document has k = x, got {found:?}");
    };
    assert_eq!((&document.key, document.body.as_str()), (&key("odd"), odd));
    let other = lead(&store, &wish(&projection("exact", 2))).await;
    commit(&store, &other, &work(1).put("unseen", "{\"k\":\"x\"}")).await;
    let found = query(&store, "exact", &asked).await;
    assert_eq!(
        found.len(),
        1,
        "documents of a version that is not active: {found:?}"
    );
}
