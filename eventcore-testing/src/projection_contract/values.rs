//! Documents come back byte for byte.

use eventcore::projection::{ProjectionStore, UnitOfWork};

use super::{
    Harness,
    kit::{begin, body, commit, key, lead, projection, wish, work},
};

/// JSON in any spelling.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        r#"{"b":1,"a":2,"B":3}"#,
        r#"{"a":1,"a":2}"#,
        "{ \"a\" :\t[ 1,\n 2 ] ,\r\n\"b\": {} }",
        "  [ ]  ",
        r#"{"nul":"a\u0000b","esc":"\u001f\/\b\f\n\r\t\"\\","é":"\u00e9é"}"#,
        r#"{"lone":"\ud800","pair":"\ud83d\ude00","emoji":"😀👨‍👩‍👧","nfd":"é"}"#,
        r#"{"\u0000":1,"":2," ":3}"#,
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.1000000000000000055511151231257827021181583404541015625",
        "[1,1.0,1e0,1E+0,10e-1,-0,-0.0,1e400,1e-400,5e-324]",
        "true",
        "null",
        "\"\"",
        "\"null\"",
        "0",
        "{}",
    ]
    .map(str::to_owned)
    .into();
    texts.push(format!("{}{}", "[".repeat(500), "]".repeat(500)));
    texts
}

/// Key order, spaces, escapes, doubled keys, large and precise numbers, deep nesting.
pub async fn documents_come_back_byte_for_byte<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("values", 1))).await;
    let texts = texts();
    for (number, text) in (1..).zip(&texts) {
        let of = format!("text:{number}");
        let mut unit = begin(&store, &lease).await;
        let put = work(number).put(&of, text);
        put.in_unit(&mut unit).await.expect("it is JSON");
        let within = unit.load(&[key(&of)]).await.expect("it leads");
        assert_eq!(within, [Some(text.clone())], "within the unit that put it");
        unit.commit(put.progress)
            .await
            .unwrap_or_else(|error| panic!("{text:.200} is JSON and was refused with {error:?}"));
        let found = body(&store, "values", &of).await;
        assert_eq!(found.as_ref(), Some(text), "after the commit");
    }
    let mut unit = begin(&store, &lease).await;
    let keys: Vec<_> = (1..=texts.len())
        .map(|n| key(format!("text:{n}")))
        .collect();
    let found: Vec<_> = unit
        .load(&keys)
        .await
        .expect("it leads")
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(found, texts, "in another unit");
}

/// Four mebibytes, and a thousand documents of two kibibytes in one unit.
pub async fn large_documents_are_taken<S: ProjectionStore>(harness: Harness<S>) {
    let store = harness.store();
    let lease = lead(&store, &wish(&projection("large", 1))).await;
    let large = format!("{{\"text\":\"{}\"}}", "é".repeat(2 * 1024 * 1024));
    let many = (0..1000).fold(work(1).put("large", &large), |work, number| {
        work.put(
            format!("k{number}"),
            format!("\"{number}{}\"", "x".repeat(2048)),
        )
    });
    commit(&store, &lease, &many).await;
    let found = body(&store, "large", "large").await;
    assert!(
        found == Some(large),
        "a document of four mebibytes came back changed"
    );
    let last = body(&store, "large", "k999")
        .await
        .expect("it was committed");
    assert!(
        last.len() == 2048 + 5 && last.starts_with("\"999x"),
        "got {last:.20}"
    );
}
