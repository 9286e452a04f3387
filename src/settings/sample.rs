//! `clearml.conf.sample`: read by our parser and by an independent one to the same values.
//!
//! Compiled under `#[cfg(test)]` only.

use super::hocon::{Kind, Object, Source, Value, World, parse};
use super::{Environment, Settings, layers, schema};

const SAMPLE: &str = include_str!("../../clearml.conf.sample");

/// The sample with every line that is switched off switched on.
fn everything_on() -> String {
    let lines = SAMPLE.lines().map(|line| match line.trim_start() {
        text if text == "#" || text.starts_with("# ") => line.to_owned(),
        text if text.starts_with('#') => line.replacen('#', "", 1),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn ours(text: &str) -> Object {
    parse(text, Source::Text, World::new(&|_| None)).expect("the sample is good")
}

/// The same value as the independent reader gives it.
fn same(ours: &Value, theirs: &hocon::Hocon) -> bool {
    use hocon::Hocon;
    match (&ours.kind, theirs) {
        (Kind::Null, Hocon::Null) => true,
        (Kind::Boolean(ours), Hocon::Boolean(theirs)) => ours == theirs,
        (Kind::Integer(ours), Hocon::Integer(theirs)) => ours.to_i64() == Some(*theirs),
        (Kind::Float(ours), Hocon::Real(theirs)) => ours.to_bits() == theirs.to_bits(),
        (Kind::Text(ours), Hocon::String(theirs)) => ours == theirs,
        (Kind::List(ours), Hocon::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| same(ours, theirs))
        }
        (Kind::Object(ours), Hocon::Hash(_)) => same_members(ours, theirs),
        _ => false,
    }
}

fn same_members(ours: &Object, theirs: &hocon::Hocon) -> bool {
    let hocon::Hocon::Hash(members) = theirs else {
        return false;
    };
    ours.len() == members.len()
        && ours
            .iter()
            .all(|(key, value)| members.get(key).is_some_and(|theirs| same(value, theirs)))
}

fn theirs(text: &str) -> hocon::Hocon {
    hocon::HoconLoader::new()
        .strict()
        .load_str(text)
        .and_then(hocon::HoconLoader::hocon)
        .expect("the sample is standard HOCON")
}

#[test]
fn both_parsers_read_the_sample_to_the_same_values() {
    for text in [SAMPLE.to_owned(), everything_on()] {
        let (ours, theirs) = (ours(&text), theirs(&text));
        assert!(ours.len() >= 2, "api and agent are there");
        assert!(same_members(&ours, &theirs), "{ours:?}\n{theirs:?}");
    }
}

/// What we write for other processes is standard HOCON too (F-117).
#[test]
fn an_independent_parser_reads_what_we_write() {
    let settings = Settings::from_text(SAMPLE, &Environment::default()).expect("good");
    assert!(same_members(settings.root(), &theirs(&settings.to_hocon())));
}

/// F-001, F-013: a copied sample changes nothing but the server and its keys, which have no default.
#[test]
fn the_sample_over_the_defaults_is_the_defaults() {
    let load = |text: &str| {
        let settings = Settings::from_text(text, &Environment::default()).expect("good");
        let mut root = settings.root().clone();
        let Kind::Object(api) = &mut root["api"].kind else {
            panic!("api is an object");
        };
        for name in [
            "api_server",
            "web_server",
            "files_server",
            "credentials",
            "host",
        ] {
            api.shift_remove(name);
        }
        root
    };
    assert_eq!(load(SAMPLE), load(""));
}

/// F-200
#[test]
fn every_key_is_in_the_sample_once() {
    let on = ours(&everything_on());
    let key = regex::Regex::new(r"^ *#?([a-z0-9_.]+): ").expect("a pattern");
    let lines = SAMPLE.lines().filter(|line| key.is_match(line)).count();
    let mut expected = 0;
    for key in schema::keys().filter(|key| !key.is_of_other_releases()) {
        expected += 1;
        assert!(layers::value(&on, key.path).is_some(), "{}", key.path);
    }
    assert_eq!(lines, expected);
}

#[test]
fn the_agent_accepts_the_sample() {
    for text in [SAMPLE.to_owned(), everything_on()] {
        let settings = Settings::from_text(&text, &Environment::default()).expect("good");
        settings.agent().expect("every value has its type");
        let error = settings.api().expect_err("the sample has no keys");
        assert_eq!(
            error.to_string(),
            "no credentials for the API server http://localhost:8008"
        );
    }
    let on = ours(&everything_on());
    let user = on["agent"].member("git_user").expect("is switched on");
    assert_eq!(user.kind, Kind::Text(String::new()));
    assert!(on.contains_key("environment"));
}
