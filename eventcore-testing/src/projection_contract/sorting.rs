//! Order: the same from every store.

use eventcore::projection::{DocumentQuery, ProjectionStore};
use serde_json::{Value, json};

use super::{
    Harness,
    kit::{commit, lead, projection, query_keys, wish, work},
};

/// Groups of values, from the lowest; those in one group are equal.
type Groups = Vec<Vec<Option<Value>>>;

/// Writes all values under keys that are in no order, and checks both ways of sorting.
async fn must_sort<S: ProjectionStore>(store: &S, of: &str, groups: Groups) {
    let lease = lead(store, &wish(&projection(of, 1))).await;
    let mut all = work(1);
    let mut expected: Vec<Vec<String>> = Vec::new();
    let mut number = 0_u32;
    for group in groups {
        let mut keys = Vec::new();
        for value in group {
            // A permutation of the numbers below 1009, so that the order of keys is another one.
            let key = format!("k{:04}", number * 389 % 1009);
            let body = value.map_or_else(|| json!({"w": {"v": 1}}), |v| json!({"w": {"x": v}}));
            all = all.put(&key, body.to_string());
            keys.push(key);
            number += 1;
        }
        keys.sort_unstable();
        expected.push(keys);
    }
    commit(store, &lease, &all).await;
    let whole = || DocumentQuery::all().page(0, 10_000);
    let up = whole()
        .and_then(|query| query.sort_ascending("w.x"))
        .expect("a valid query");
    assert_eq!(
        query_keys(store, of, &up).await,
        expected.concat(),
        "sorted upwards"
    );
    expected.reverse();
    let down = whole()
        .and_then(|query| query.sort_descending("w.x"))
        .expect("a valid query");
    assert_eq!(
        query_keys(store, of, &down).await,
        expected.concat(),
        "sorted downwards, with equal ones by key upwards all the same"
    );
}

fn each(values: impl IntoIterator<Item = Value>) -> Groups {
    values.into_iter().map(|value| vec![Some(value)]).collect()
}

/// Missing, null, booleans, numbers, texts, all else; equal ones by key, both ways.
pub async fn kinds_of_values_come_one_after_the_other<S: ProjectionStore>(harness: Harness<S>) {
    let groups = vec![
        vec![None, None, None],
        vec![Some(json!(null)), Some(json!(null))],
        vec![Some(json!(false)), Some(json!(false))],
        vec![Some(json!(true)), Some(json!(true)), Some(json!(true))],
        vec![Some(json!(-5)), Some(json!(-5))],
        vec![Some(json!(7))],
        vec![Some(json!("")), Some(json!(""))],
        vec![Some(json!("-5"))],
        vec![Some(json!("false")), Some(json!("false"))],
        vec![Some(json!("null"))],
        vec![
            Some(json!([])),
            Some(json!({})),
            Some(json!([1])),
            Some(json!({"a": null})),
            Some(json!(["z"])),
        ],
    ];
    must_sort(&harness.store(), "kinds", groups).await;
}

/// As `f64`, so integers and fractions mix, and integers that `f64` cannot tell apart are equal.
pub async fn numbers_are_sorted_by_value<S: ProjectionStore>(harness: Harness<S>) {
    let mut groups = each([
        json!(-1e300),
        json!(i64::MIN),
        json!(-100),
        json!(-20.5),
        json!(-3),
        json!(-0.001),
    ]);
    groups.push(vec![Some(json!(0)), Some(json!(0.0)), Some(json!(-0.0))]);
    groups.extend(each([json!(5e-324), json!(0.1), json!(0.5)]));
    groups.push(vec![Some(json!(1)), Some(json!(1.0)), Some(json!(1))]);
    groups.extend(each([
        json!(1.5),
        json!(2),
        json!(9),
        json!(10),
        json!(100),
        json!(1e15),
    ]));
    groups.push(vec![
        Some(json!(9_007_199_254_740_992_u64)),
        Some(json!(9_007_199_254_740_993_u64)),
    ]);
    groups.push(vec![Some(json!(9_007_199_254_740_994_u64))]);
    groups.push(vec![
        Some(json!(i64::MAX)),
        Some(json!(9_223_372_036_854_775_808_u64)),
    ]);
    groups.extend(each([json!(u64::MAX), json!(1e20), json!(1e300)]));
    must_sort(&harness.store(), "numbers", groups).await;
}

/// By the bytes of what JSON has between the quotes: no language, no case, no forms; escapes as they are written.
pub async fn texts_are_sorted_by_bytes<S: ProjectionStore>(harness: Harness<S>) {
    let mut texts = [
        "",
        " ",
        "!",
        "\"",
        "\"a",
        "#",
        "%",
        "0",
        "00",
        "1",
        "10",
        "2",
        "A",
        "AA",
        "B",
        "Z",
        "[",
        "\\",
        "\\\\",
        "\0",
        "\n",
        "\u{1f}",
        "\t",
        "]",
        "_",
        "a",
        "a ",
        "a\"",
        "a\\",
        "a]",
        "aZ",
        "aa",
        "a\u{301}",
        "b",
        "ss",
        "z",
        "~",
        "\u{7f}",
        "ß",
        "á",
        "é",
        "ẞ",
        "日",
        "\u{e000}",
        "\u{ffff}",
        "😀",
        "\u{10ffff}",
        "ab",
        "a\nb",
        "a\0b",
    ];
    let escaped = |text: &&str| {
        let written = json!(text).to_string();
        written.as_bytes()[1..written.len() - 1].to_vec()
    };
    texts.sort_by_key(escaped);
    let groups = each(texts.map(|text| json!(text)));
    must_sort(&harness.store(), "texts", groups).await;
}

/// All are equal, so all come by key; also where the path leads through what is no object.
pub async fn a_field_that_is_nowhere_sorts_nothing<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("nowhere", 1))).await;
    let bodies = [
        "{}",
        "{\"w\":5}",
        "[1]",
        "\"w\"",
        "{\"w\":\"x\"}",
        "null",
        "{\"w\":[1]}",
        "{\"w\":null}",
        "7",
    ];
    let all = (0..)
        .zip(bodies)
        .fold(work(1), |work, (number, body): (usize, _)| {
            work.put(format!("k{}", number * 5 % 9), body)
        });
    commit(&store, &lease, &all).await;
    let expected: Vec<_> = (0..9).map(|number| format!("k{number}")).collect();
    for path in ["never", "w.x", "w.0", "0"] {
        let up = DocumentQuery::all()
            .sort_ascending(path)
            .expect("a valid path");
        assert_eq!(
            query_keys(&store, "nowhere", &up).await,
            expected,
            "by {path}"
        );
        let down = DocumentQuery::all()
            .sort_descending(path)
            .expect("a valid path");
        assert_eq!(
            query_keys(&store, "nowhere", &down).await,
            expected,
            "by {path}, downwards"
        );
    }
}

/// Equal ones neither come twice nor not at all, whatever the page.
pub async fn pages_of_equal_values_overlap_nowhere<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("equal", 1))).await;
    let all = (0..60_u32).fold(work(1), |work, number| {
        let body = json!({"group": number % 3}).to_string();
        work.put(format!("k{:02}", number * 7 % 60), body)
    });
    commit(&store, &lease, &all).await;
    for descending in [false, true] {
        let sorted = || {
            if descending {
                DocumentQuery::all().sort_descending("group")
            } else {
                DocumentQuery::all().sort_ascending("group")
            }
        };
        let whole = query_keys(&store, "equal", &sorted().expect("a valid path")).await;
        let mut paged = Vec::new();
        for skip in (0..70).step_by(7) {
            let page = sorted()
                .and_then(|query| query.page(skip, 7))
                .expect("a valid page");
            paged.extend(query_keys(&store, "equal", &page).await);
        }
        assert_eq!(paged, whole, "pages of seven, put together");
        assert_eq!(whole.len(), 60);
    }
}
