//! Writes a document back, so that this parser, every JSON reader and the official agent's read the same values.

use std::fmt::Write as _;

use super::value::{Integer, Kind, Object, Value, float_text};

const INDENT: usize = 4;

/// The object as a document of JSON's shape, four blanks a level (F-117).
pub fn print(object: &Object) -> String {
    let mut out = String::new();
    write_object(&mut out, object, 0);
    out.push('\n');
    out
}

fn write_object(out: &mut String, object: &Object, level: usize) {
    if object.is_empty() {
        out.push_str("{}");
        return;
    }
    out.push_str("{\n");
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
        }
        let _ = write!(out, "{:1$}\"{key}\": ", "", (level + 1) * INDENT);
        write_value(out, value, level + 1);
    }
    let _ = write!(out, "\n{:1$}}}", "", level * INDENT);
}

fn write_value(out: &mut String, value: &Value, level: usize) {
    match &value.kind {
        Kind::Null => out.push_str("null"),
        Kind::Boolean(boolean) => {
            let _ = write!(out, "{boolean}");
        }
        Kind::Integer(number) => write_integer(out, number),
        Kind::Float(number) => out.push_str(&float(*number)),
        Kind::Text(text) => write_text(out, text),
        Kind::Object(object) => write_object(out, object, level),
        Kind::List(items) if items.is_empty() => out.push_str("[]"),
        Kind::List(items) => {
            out.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                let _ = write!(out, "{:1$}", "", (level + 1) * INDENT);
                write_value(out, item, level + 1);
            }
            let _ = write!(out, "\n{:1$}]", "", level * INDENT);
        }
    }
}

fn write_integer(out: &mut String, number: &Integer) {
    let _ = write!(out, "{number}");
}

/// A number too large for a float is infinite in memory and stays too large on paper.
fn float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "1e999" } else { "-1e999" }.to_owned();
    }
    float_text(number)
}

/// The text as a quoted string, which this parser, every HOCON reader and the official agent's read back.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_text(&mut out, text);
    out
}

/// Only the escapes that the dialect knows (F-038); what it does not know is written as it is.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
}
