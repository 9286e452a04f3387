//! Properties of the parser: no text makes it panic, and what it prints it reads back.
//!
//! Compiled under `#[cfg(test)]` only.

use proptest::prelude::*;

use super::{Integer, Kind, Object, Source, Value, World, parse, print};

fn value() -> impl Strategy<Value = Value> {
    let text = "[^\\x00]{0,12}";
    let leaf = prop_oneof![
        Just(Kind::Null),
        any::<bool>().prop_map(Kind::Boolean),
        any::<i64>().prop_map(|number| Kind::Integer(Integer::from(number))),
        any::<f64>()
            .prop_filter("no number", |number| !number.is_nan())
            .prop_map(Kind::Float),
        text.prop_map(Kind::Text),
    ]
    .prop_map(at_text);
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            // An empty text in a list is not there after reading (F-061).
            prop::collection::vec(
                inner.clone().prop_filter(
                    "F-061",
                    |value| !matches!(&value.kind, Kind::Text(text) if text.is_empty())
                ),
                0..6
            )
            .prop_map(|items| at_text(Kind::List(items))),
            object(inner).prop_map(|object| at_text(Kind::Object(object))),
        ]
    })
}

fn object(member: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    let key = "[^\\x00\"\\\\\\r\\n]{1,8}";
    prop::collection::vec((key, member), 0..6).prop_map(|members| members.into_iter().collect())
}

fn at_text(kind: Kind) -> Value {
    Value::new(kind, Source::Text.into())
}

fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "a",
        "b.c",
        "\"k\"",
        " ",
        "\n",
        "\r\n",
        "\t",
        ":",
        "=",
        "+=",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "//",
        "\"",
        "\"\"\"",
        "\\",
        "${",
        "${a}",
        "${?b.c}",
        "}",
        "include ",
        "include \"f\"",
        "1",
        "-2.5e3",
        "+",
        "true",
        "null",
        "x y",
        "é",
        "\u{feff}",
        "$",
        "@",
        "'",
        "required(",
        ")",
    ]);
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

fn world() -> World<'static> {
    World {
        variable: &|name| (name == "b.c").then(|| "text".to_owned()),
        read: &|_| Ok("a: 1\ninclude \"f\"".to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text, Source::Text, world());
    }

    #[test]
    fn no_mixture_of_tokens_makes_it_panic(text in fragments()) {
        if let Err(error) = parse(&text, Source::Text, world()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    /// F-117
    #[test]
    fn what_is_printed_is_read_back(object in object(value())) {
        let text = print(&object);
        let read = parse(&text, Source::Text, World::new(&|_| None));
        let read = read.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&read, &object, "{}", text);
        let order: Vec<_> = object.keys().collect();
        prop_assert_eq!(read.keys().collect::<Vec<_>>(), order);
    }
}
