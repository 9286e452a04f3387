//! Types of request fields, and the check that a request keeps to them.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// A JSON object.
pub(crate) type Document = Map<String, Value>;

/// What a field may hold. A null is as good as a missing field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Flag,
    Integer,
    Number,
    Object,
    List,
    Texts,
    /// A list of texts, or one text alone (V16).
    TextOrTexts,
    Any,
    OneOf(&'static [&'static str]),
    /// An object with these members and no others.
    Record(&'static [Field]),
    /// A list of such objects.
    Records(&'static [Field]),
}

/// One field of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

pub(crate) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

/// Refuses a request with a missing or malformed field. Unknown members are ignored, as the real server does.
pub(crate) fn check(fields: &[Field], request: &Document) -> Result<(), ApiError> {
    for field in fields {
        match request.get(field.name) {
            None | Some(Value::Null) if field.required => return Err(missing(field.name)),
            None | Some(Value::Null) => {}
            Some(value) => check_value(field.name, field.kind, value)?,
        }
    }
    Ok(())
}

fn missing(name: &str) -> ApiError {
    ApiError::validation(format!("error for field '{name}'. field is required!"))
}

fn check_value(name: &str, kind: Kind, value: &Value) -> Result<(), ApiError> {
    let wrong = |expected: &str| {
        ApiError::validation(format!(
            "error for field '{name}'. value is wrong, expected type \"{expected}\""
        ))
    };
    let verdict = |good: bool, expected: &str| if good { Ok(()) } else { Err(wrong(expected)) };
    match kind {
        Kind::Any => Ok(()),
        Kind::Text => verdict(value.is_string(), "str"),
        Kind::Flag => verdict(value.is_boolean(), "bool"),
        Kind::Integer => verdict(value.is_i64() || value.is_u64(), "int"),
        Kind::Number => verdict(value.is_number(), "float"),
        Kind::Object => verdict(value.is_object(), "dict"),
        Kind::List => verdict(value.is_array(), "list"),
        Kind::Texts => verdict(all_texts(value), "list of str"),
        Kind::TextOrTexts => verdict(value.is_string() || all_texts(value), "list of str"),
        Kind::OneOf(allowed) => match value.as_str() {
            Some(text) if allowed.contains(&text) => Ok(()),
            Some(text) => Err(ApiError::validation(format!(
                "error for field '{name}'. value '{text}' is not a valid choice."
            ))),
            None => Err(wrong("str")),
        },
        Kind::Record(fields) => match value {
            Value::Object(record) => check_record(name, fields, record),
            _ => Err(wrong("dict")),
        },
        Kind::Records(fields) => match value {
            Value::Array(records) => records.iter().try_for_each(|record| match record {
                Value::Object(record) => check_record(name, fields, record),
                _ => Err(wrong("list of dict")),
            }),
            _ => Err(wrong("list")),
        },
    }
}

fn all_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().all(|item| item.is_string() || item.is_null()))
}

fn check_record(name: &str, fields: &[Field], record: &Document) -> Result<(), ApiError> {
    check(fields, record)?;
    match record
        .keys()
        .find(|key| fields.iter().all(|field| field.name != key.as_str()))
    {
        Some(unknown) => Err(ApiError::validation(format!(
            "the field '{unknown}' does not exist in '{name}'"
        ))),
        None => Ok(()),
    }
}

/// Query parameters are text: reads those that stand for numbers and flags.
pub(crate) fn read_query_value(fields: &[Field], name: &str, text: String) -> Value {
    let kind = fields
        .iter()
        .find(|field| field.name == name)
        .map(|field| field.kind);
    match kind {
        Some(Kind::Integer) => text.parse::<i64>().map_or(Value::String(text), Value::from),
        Some(Kind::Number) => text.parse::<f64>().map_or(Value::String(text), Value::from),
        Some(Kind::Flag) => match text.as_str() {
            "true" | "True" | "1" => Value::Bool(true),
            "false" | "False" | "0" => Value::Bool(false),
            _ => Value::String(text),
        },
        Some(Kind::Texts | Kind::TextOrTexts | Kind::List) => {
            Value::Array(vec![Value::String(text)])
        }
        _ => Value::String(text),
    }
}
