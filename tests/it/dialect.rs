//! The rules of the configuration language, one by one, as `config` prints what they lead to.
//!
//! The recorded documents of the official agent are read beside the parser; here each rule stands alone.

use clearml_agent::settings::{Environment, Settings};

/// What is printed of the section `t`, without its name.
#[track_caller]
fn printed(text: &str) -> Vec<String> {
    let environment = Environment::from([("BASE", "/data"), ("EMPTY", ""), ("FIVE", "5")]);
    let settings =
        Settings::from_text(text, &environment).unwrap_or_else(|error| panic!("{text}: {error}"));
    let lines = settings.printout_lines();
    let own = lines.iter().filter_map(|line| line.strip_prefix("t."));
    own.map(str::to_owned).collect()
}

#[track_caller]
fn error(text: &str) -> String {
    let loaded = Settings::from_text(text, &Environment::default());
    loaded
        .err()
        .unwrap_or_else(|| panic!("{text} is read"))
        .to_string()
}

#[track_caller]
fn means(text: &str, expected: &[&str]) {
    assert_eq!(printed(text), expected, "{text}");
}

/// F-030, F-031, F-032
#[test]
fn members_and_separators() {
    means(
        "{ \"t\": { \"a\": [1, true, null], \"b\": {\"c\": \"d\"} } }",
        &["a.0 = 1", "a.1 = true", "b.c = d"],
    );
    means(
        "t { a: 1,, b: 2\n,\nc: 3, }\n,",
        &["a = 1", "b = 2", "c = 3"],
    );
    means("t.l: [1,,2\n3,]", &["l.0 = 1", "l.1 = 2", "l.2 = 3"]);
    for text in [
        "t { a = 1 }",
        "t: { a: 1 }",
        "t = { a = 1 }",
        "t\n{\n a:\n 1 }",
        "t.a: 1",
    ] {
        means(text, &["a = 1"]);
    }
}

/// F-033, F-034, F-042
#[test]
fn comments_and_blanks() {
    let text = "# one\n// two\nt { # three\n a: x#y\n b: x // y\n c: http://x//y\n d: \"# // no\" // yes\n}";
    means(
        text,
        &["a = x", "b = x", "c = http://x//y", "d = \\# // no"],
    );
    means("t {\r\n  \r\n\ta: 1\r\n}\r\n", &["a = 1"]);
    means("\u{feff}t.a: 1", &["a = 1"]);
}

/// F-035
#[test]
fn keys() {
    means(
        "t { a b c: 1\n x-y/z_1: 2\n e..f: 3 }",
        &["a b c = 1", "x-y/z_1 = 2", "e.f = 3"],
    );
    means(
        "t { \"p.q\" { r: 1 } }\nt.p.q.r: 2",
        &["p.q.r = 1", "p.q.r = 2"],
    );
    error("t.\"a\".b: 1");
    error("t.\u{4e2d}: 1");
}

/// F-036, F-037, F-041, F-065
#[test]
fn unquoted_text() {
    means("t.a:   ~/x y:z;%('|<>)   \n", &["a = ~/x y:z;%('|<>)"]);
    means("t.a: two   words", &["a = two   words"]);
    means("t.a: first \\\n second\n", &["a = first second"]);
    means("t.a: C:\\new", &["a = C:\\\new"]);
    for forbidden in ['^', '`', '?', '!', '@', '*', '&'] {
        assert!(error(&format!("t.a: x{forbidden}y")).contains(forbidden));
    }
}

/// F-038, F-039
#[test]
fn quoted_text() {
    means(r#"t.a: "x\\y\"z\u00e9\/""#, &[r#"a = x\y"z\u00e9\/"#]);
    means("t.a: \"\"\"one\n\"two\"\"\"\"", &["a = one\\\n\"two\""]);
    error("t.a: \"one\ntwo\"");
}

/// F-040
#[test]
fn pieces_on_one_line_are_joined() {
    means(
        "t { a: ${BASE}/x, b: [1] [2], c: {d: 1} {e: 2} }",
        &["a = /data/x", "b.0 = 1", "b.1 = 2", "c.d = 1", "c.e = 2"],
    );
    error("t.a: [1] {b: 2}");
}

/// F-045, F-048
#[test]
fn types_of_unquoted_values() {
    let text = "t { a: TRUE, b: Null, c: 010, d: -7, e: 1e3, f: .5, g: 5., h: 1.2.3, i: 10GB, j: yes, k: 0x10, l: 3.10, m: 10s }";
    let expected = [
        "a = true",
        "c = 10",
        "d = -7",
        "e = 1000.0",
        "f = 0.5",
        "g = 5.",
        "h = 1.2.3",
        "i = 10GB",
        "j = yes",
        "k = 0x10",
        "l = 3.1",
        "m = 10s",
    ];
    means(text, &expected);
    means("t.a: 10 seconds", &["a = 10 seconds"]);
}

/// F-050, F-051, F-052, F-053, F-054, F-055
#[test]
fn substitutions() {
    means(
        "u { a: 1, b: [2] }, t { x: ${u.a}, y: ${u.b}, z: ${FIVE} }",
        &["x = 1", "y.0 = 2", "z = 5"],
    );
    means(
        "t { x: ${?NOPE}, y: a, y: ${?NOPE}, z: ${?NOPE}/v, l: [${?NOPE}, 1] }",
        &["y = a", "z = /v", "l.0 = 1"],
    );
    let unresolved = error("t.unused: ${NOPE}");
    assert_eq!(
        unresolved,
        "Cannot resolve variable ${NOPE} (line: 1, col: 11)"
    );
    means("t.x: ${EMPTY}", &["x = "]);
    means(
        "t { x: \"${BASE}/x\", y: ${BASE}\"/y\" }",
        &["x = ${BASE}/x", "y = /data/y"],
    );
    means(
        "t.path: /a\nt.path: ${t.path}\":/b\"\nBASE: ${BASE}/x\nt.base: ${BASE}",
        &["path = /a:/b", "base = /data/x"],
    );
}

/// F-056, F-058, F-060, F-013
#[test]
fn values_on_top_of_values() {
    means(
        "t { l: [1], l += [2, 3], n += [4], w: a, w += b, i: 1, i += 2 }",
        &[
            "l.0 = 1", "l.1 = 2", "l.2 = 3", "n.0 = 4", "w = a b", "i = 2",
        ],
    );
    assert!(error("a: ${b}\nb: ${a}").ends_with("Check for cycles."));
    means(
        "t { o { a: 1, b: 2 }, o { b: 3 } }\nt.o.c: 4\nt.l: [1, 2], t.l: [3]\nt.n { x: 1 }, t.n: null",
        &["o.a = 1", "o.b = 3", "o.c = 4", "l.0 = 3"],
    );
    error("t.d: 5\nt.d { x: 1 }");
}

/// F-061, F-063
#[test]
fn what_is_empty() {
    means("t.l: [\"\", \"-x\"]", &["l.0 = -x"]);
    means("t {\n a:\n b: http://f\n}", &["a = b: http://f"]);
    means("t { a: , b: 1, c: }", &["a = ", "b = 1", "c = "]);
}

/// F-300: why the `hocon` crate does not read users' files: docs/configuration.md.
#[test]
fn the_hocon_crate_loses_what_users_write() {
    let text = "api { api_server: https://api.clear.ml }\nagent { worker_name: here }";
    let lenient = hocon::HoconLoader::new()
        .load_str(text)
        .and_then(hocon::HoconLoader::hocon)
        .expect("it reports no error");
    assert_eq!(lenient["agent"]["worker_name"].as_string(), None);
    assert!(hocon::HoconLoader::new().strict().load_str(text).is_err());
    let ours = Settings::from_text(text, &Environment::default()).expect("good");
    assert_eq!(ours.text("agent.worker_name").as_deref(), Some("here"));
    assert_eq!(
        ours.text("api.api_server").as_deref(),
        Some("https://api.clear.ml")
    );
}

/// F-302
#[test]
fn order_and_types_are_kept_and_nothing_is_fetched() {
    means(
        "t { z: 1, a: 1.0, m: \"1\" }",
        &["z = 1", "a = 1.0", "m = 1"],
    );
    means(
        "t.big: 123456789012345678901234567890",
        &["big = 123456789012345678901234567890"],
    );
    let settings =
        Settings::from_text("t { i: 1, f: 1.0, s: \"1\" }", &Environment::default()).unwrap();
    let document: serde_json::Value = serde_json::from_str(&settings.to_hocon()).unwrap();
    assert_eq!(document["t"].to_string(), "{\"i\":1,\"f\":1.0,\"s\":\"1\"}");
    error("include url(\"http://127.0.0.1:9/x.conf\")");
}
