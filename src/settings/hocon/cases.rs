//! The documents of `tests/data/hocon`: what the official parser makes of each is what ours makes of it.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{Kind, Object, Source, Value, World, parse};

/// Deviations that the specification recommends: what is expected of us in place of the recorded result.
fn deviation(file: &str) -> Option<Json> {
    Some(match file {
        // F-048: a duration is text.
        "42-wart-duration-at-end-of-input.conf" => serde_json::json!({
            "first": "10s", "inner": {"t": "5m"}, "lst": ["3d"], "quoted": "10s", "timeout": "30 minutes"
        }),
        // F-062: tabs in quotes are kept, elsewhere they are blanks.
        "43-wart-tabs-expanded.conf" => serde_json::json!({
            "a": "x\ty", "b": "x\ty", "c": 1, "d": "p\tq"
        }),
        // F-064: keywords beside text keep their text.
        "44-wart-keyword-concatenation.conf" => serde_json::json!({
            "a": "true-ish", "b": "y true", "c": "true y", "d": "trueish", "e": "true false"
        }),
        // F-066: a copied object keeps its members.
        "46-wart-object-copy-then-child.conf" => serde_json::json!({
            "a": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2, "z": 9}
        }),
        // F-067: an optional reference to itself is absent.
        "47-wart-optional-self-reference.conf" => serde_json::json!({"before": 1, "after": 2}),
        // F-042: a byte order mark is skipped.
        "60-error-bom.conf" => serde_json::json!({"a": 1}),
        _ => return None,
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hocon")
}

fn json(path: &Path) -> Json {
    let text = fs::read_to_string(path).expect("the case is there");
    serde_json::from_str(&text).expect("the case is JSON")
}

fn object_to_json(object: &Object) -> Json {
    Json::Object(
        object
            .iter()
            .map(|(key, value)| (key.clone(), to_json(value)))
            .collect(),
    )
}

fn to_json(value: &Value) -> Json {
    match &value.kind {
        Kind::Null => Json::Null,
        Kind::Boolean(boolean) => Json::Bool(*boolean),
        Kind::Integer(number) => {
            serde_json::from_str(&number.to_string()).expect("an integer is JSON")
        }
        Kind::Float(number) => serde_json::json!(number),
        Kind::Text(text) => Json::String(text.clone()),
        Kind::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Kind::Object(members) => object_to_json(members),
    }
}

/// F-030 to F-068, F-020, F-021
#[test]
fn every_recorded_document_gives_the_recorded_result() {
    let folder = folder();
    let index = json(&folder.join("index.json"));
    let variables: BTreeMap<String, Option<String>> =
        serde_json::from_value(index["environment"].clone()).expect("variables of the cases");
    let variable = |name: &str| variables.get(name).cloned().flatten();
    let cases = index["cases"].as_array().expect("a list of cases");
    assert_eq!(cases.len(), 53);
    let mut failures = Vec::new();
    for case in cases {
        let file = case["file"].as_str().expect("a file name");
        let path = folder.join(file);
        let text = fs::read_to_string(&path).expect("the case is there");
        let result = parse(&text, Source::File(path.clone()), World::new(&variable));
        let recorded = json(&path.with_extension("json"));
        let expected = deviation(file).unwrap_or(recorded);
        let same = match (&result, expected.get("$error")) {
            (Ok(object), None) => object_to_json(object) == expected,
            (Err(error), Some(expected)) => {
                let place = [expected["line"].as_u64(), expected["col"].as_u64()];
                let ours = [error.position.line as u64, error.position.column as u64];
                let message = error
                    .to_string()
                    .replace(&format!("{}/", folder.display()), "");
                let text_matches = match file {
                    // The value itself is left out, it may be a secret.
                    "58-error-scalar-then-object.conf" => {
                        message.starts_with("Cannot concatenate the list d: ")
                    }
                    _ => expected["message"] == message,
                };
                text_matches && (place[0].is_none() || place == ours.map(Some))
            }
            _ => false,
        };
        if !same {
            let ours = result.map(|object| object_to_json(&object));
            failures.push(format!("{file}: expected {expected}, got {ours:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// F-302: the order of the members is the order in which they were first written.
#[test]
fn the_order_of_keys_is_kept() {
    let text = "z: 1, a: 2, m { y: 1, b: 2 }, a: 3, m.c: 4";
    let object = parse(text, Source::Text, World::new(&|_| None)).expect("good");
    let keys: Vec<_> = object.keys().map(String::as_str).collect();
    assert_eq!(keys, ["z", "a", "m"]);
    let Kind::Object(members) = &object["m"].kind else {
        panic!("m is an object");
    };
    let keys: Vec<_> = members.keys().map(String::as_str).collect();
    assert_eq!(keys, ["y", "b", "c"]);
}

/// Each value knows the line on which its key stands, also in included files.
#[test]
fn values_know_where_they_were_written() {
    let path = folder().join("17-include.conf");
    let text = fs::read_to_string(&path).expect("the case is there");
    let object = parse(&text, Source::File(path.clone()), World::new(&|_| None)).expect("good");
    let origin = |value: &Value| value.origin.to_string();
    let included = folder().join("inc/base.conf");
    assert_eq!(
        origin(&object["base_value"]),
        format!("{}:9", path.display())
    );
    assert_eq!(
        origin(object["shared"].member("a").expect("a")),
        format!("{}:2", included.display())
    );
    let text = "\n\na {\n  b: 1\n  c: [\n    2\n  ]\n}";
    let object = parse(text, Source::Text, World::new(&|_| None)).expect("good");
    let lines = ["b", "c"].map(|key| object["a"].member(key).map(|value| value.origin.line()));
    assert_eq!(lines, [Some(4), Some(5)]);
}

fn fails(text: &str) -> String {
    parse(text, Source::Text, World::new(&|_| None))
        .expect_err("the document is wrong")
        .to_string()
}

/// F-020, F-021, F-083
#[test]
fn errors_say_where_they_are() {
    for (text, expected) in [
        ("[1, 2]", "'ConfigList' object has no attribute 'items'"),
        (
            ": 1",
            "Expected end of text, found ':'  (at char 0), (line:1, col:1)",
        ),
        (".: 1", "Expected a key  (at char 0), (line:1, col:1)"),
        ("\"\": 1", "Expected a key  (at char 0), (line:1, col:1)"),
        (
            "a: 1 }",
            "Expected end of text, found '}'  (at char 5), (line:1, col:6)",
        ),
        (
            "{a: 1} b: 2",
            "Expected end of text, found 'b'  (at char 7), (line:1, col:8)",
        ),
        ("foo @", "(at char 4, line:1, col:5)"),
        ("a: [1 = 2]", "(at char 6, line:1, col:7)"),
        (
            "a {x:1} {y:2}",
            "Expected end of text, found '{'  (at char 8), (line:1, col:9)",
        ),
        (
            "a: \"\"\"abc",
            "Expected end of text, found '\"'  (at char 5), (line:1, col:6)",
        ),
        ("a: foo\\", "(at char 7, line:1, col:8)"),
        (
            "\ta:\t1\n\tb: @",
            "Expected end of text, found '@'  (at char 29), (line:2, col:12)",
        ),
        ("a: [1] foo", "Cannot join text to a list (line: 1, col: 8)"),
        (
            "a: ${b} ${b}\nb: ${a}",
            "Cannot resolve ${b}: (line: 1, col: 4), ${a}: (line: 2, col: 4). Check for cycles.",
        ),
        (
            "include required(\"/no/such\")",
            "cannot include the required file /no/such: No such file or directory (os error 2) (line: 1, col: 1)",
        ),
        (
            "include url(\"http://h/\")",
            "cannot include from a URL (line: 1, col: 1)",
        ),
    ] {
        assert_eq!(fails(text), expected, "{text}");
    }
}

/// F-057: a file that includes itself is an error, not the end of the program.
#[test]
fn an_include_without_end_is_an_error() {
    let world = World {
        variable: &|_| None,
        read: &|_| Ok("include \"again\"".to_owned()),
    };
    let error = parse("include \"again\"", Source::Text, world).expect_err("without end");
    assert!(error.to_string().starts_with("nested too deeply"));
}

/// Documents that grow without measure are refused.
#[test]
fn depth_and_size_are_limited() {
    let nested = "[".repeat(10_000);
    assert!(fails(&format!("a: {nested}")).starts_with("nested too deeply"));
    assert!(fails(&format!("{}x: 1", "a.".repeat(10_000))).starts_with("nested too deeply"));
    let chain = "a: ${?a}x\n".repeat(10_000);
    assert!(fails(&chain).starts_with("nested too deeply"));
    let doubled = (0..40).map(|level| format!("a{}: ${{a{level}}} ${{a{level}}}\n", level + 1));
    let laughs = format!("a0: [1, 2, 3, 4]\n{}", doubled.collect::<String>());
    assert!(fails(&laughs).starts_with("substitutions make the document too large"));
}

fn reads(text: &str) -> Json {
    let object = parse(text, Source::Text, World::new(&|_| None)).expect("the document is good");
    object_to_json(&object)
}

/// F-053, F-055, F-060: what a key was before counts as far as it can be part of the new value.
#[test]
fn later_values_build_on_earlier_ones_only_where_they_can() {
    for (text, expected) in [
        ("d: foo\nd.x: 1", serde_json::json!({"d": {"x": 1}})),
        ("d: [1]\nd {x: 1}", serde_json::json!({"d": {"x": 1}})),
        ("d: [${nope}]\nd.x: 1", serde_json::json!({"d": {"x": 1}})),
        ("a: ${nope}\na: 5", serde_json::json!({"a": 5})),
        (
            "a {x: 1}\na: ${b}\nb {y: 2}",
            serde_json::json!({"a": {"x": 1, "y": 2}, "b": {"y": 2}}),
        ),
        ("a: 1\na: [${a}]", serde_json::json!({"a": [1]})),
        (
            "a.b: 1\na: ${a} {c: 2}",
            serde_json::json!({"a": {"b": 1, "c": 2}}),
        ),
        (
            "a += {x: 1}\na += {y: 2}",
            serde_json::json!({"a": {"x": 1, "y": 2}}),
        ),
        (
            "x: ${a.b}\na: {b: ${a.c}, c: 3}",
            serde_json::json!({"x": 3, "a": {"b": 3, "c": 3}}),
        ),
    ] {
        assert_eq!(reads(text), expected, "{text}");
    }
    assert_eq!(
        fails("a: ${nope}\na {b: 5}"),
        "Cannot resolve variable ${nope} (line: 1, col: 4)"
    );
}

/// F-032, F-035, F-036, F-040
#[test]
fn notations_that_the_recorded_documents_leave_out() {
    for (text, expected) in [
        (
            "a{b:1}c{d:2}",
            serde_json::json!({"a": {"b": 1}, "c": {"d": 2}}),
        ),
        ("a: : 1", serde_json::json!({"a": ": 1"})),
        (
            "include: 1, include-foo: 2",
            serde_json::json!({"include": 1, "include-foo": 2}),
        ),
        ("a b.c d: 1", serde_json::json!({"a b": {"c d": 1}})),
        ("a: x ${?N} y", serde_json::json!({"a": "x y"})),
        ("a: ${?N}${?N}", serde_json::json!({})),
        (
            "a: - 5, b: -, c: 1_000",
            serde_json::json!({"a": "- 5", "b": "-", "c": "1_000"}),
        ),
        (
            "b: true, c: 1.50, a: ${b} ${c}",
            serde_json::json!({"b": true, "c": 1.5, "a": "True 1.5"}),
        ),
        (
            "a: [ # c\n], b: [1 2\n3]",
            serde_json::json!({"a": [], "b": ["1 2", 3]}),
        ),
        ("a: \"x\" 1", serde_json::json!({"a": "x 1"})),
    ] {
        assert_eq!(reads(text), expected, "{text}");
    }
}
