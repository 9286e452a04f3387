//! YAML as the official agent writes it: sorted keys, collections of plain values on one line (D-327).

use std::sync::LazyLock;

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use regex::Regex;
use serde_json::{Number, Value};

/// How collections are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum YamlStyle {
    /// Every member on a line of its own.
    Block,
    /// Collections of plain values on one line.
    Mixed,
}

/// The value as a YAML document; its last character is a line break.
pub fn yaml(value: &Value, style: YamlStyle) -> libyaml_safer::Result<String> {
    let mut text = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut text);
    emitter.set_unicode(true);
    emitter.emit(Event::stream_start(Encoding::Utf8))?;
    emitter.emit(Event::document_start(None, &[], true))?;
    emit(&mut emitter, value, style)?;
    emitter.emit(Event::document_end(true))?;
    emitter.emit(Event::stream_end())?;
    drop(emitter);
    let lines = String::from_utf8_lossy(&text);
    Ok(lines.lines().map(with_long_word_below).collect())
}

/// A word that is longer than a line stands below its key, where the writer of the official agent puts it.
fn with_long_word_below(line: &str) -> String {
    let key = line.trim_start_matches([' ', '-']);
    let indent = line.len() - key.len() + 2;
    match line.split_once(": ") {
        Some((start, word)) if is_long_word(word) => {
            format!("{start}: \n{:indent$}{word}\n", "")
        }
        _ => format!("{line}\n"),
    }
}

fn is_long_word(word: &str) -> bool {
    word.chars().count() > LINE
        && !word.contains(' ')
        && !word.ends_with([',', ']', '}', '\'', '"'])
}

/// Characters of a line, from which on it is broken.
const LINE: usize = 80;

fn emit(emitter: &mut Emitter<'_>, value: &Value, style: YamlStyle) -> libyaml_safer::Result<()> {
    let is_block = style == YamlStyle::Block;
    match value {
        Value::Array(items) => {
            let layout = if is_block || items.iter().any(is_collection) {
                SequenceStyle::Block
            } else {
                SequenceStyle::Flow
            };
            emitter.emit(Event::sequence_start(None, None, true, layout))?;
            items
                .iter()
                .try_for_each(|item| emit(emitter, item, style))?;
            emitter.emit(Event::sequence_end())
        }
        Value::Object(members) => {
            let layout = if is_block || members.values().any(is_collection) {
                MappingStyle::Block
            } else {
                MappingStyle::Flow
            };
            emitter.emit(Event::mapping_start(None, None, true, layout))?;
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            for (key, value) in members {
                emit_text(emitter, key)?;
                emit(emitter, value, style)?;
            }
            emitter.emit(Event::mapping_end())
        }
        Value::String(text) => emit_text(emitter, text),
        Value::Null => emit_plain(emitter, "null"),
        Value::Bool(boolean) => emit_plain(emitter, &boolean.to_string()),
        Value::Number(number) => emit_plain(emitter, &number_text(number)),
    }
}

fn is_collection(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn emit_plain(emitter: &mut Emitter<'_>, text: &str) -> libyaml_safer::Result<()> {
    let style = ScalarStyle::Plain;
    emitter.emit(Event::scalar(None, None, text, true, false, style))
}

/// A text that would be read as something else is quoted.
fn emit_text(emitter: &mut Emitter<'_>, text: &str) -> libyaml_safer::Result<()> {
    let is_text_when_plain = !OTHER_TYPES.is_match(text);
    let style = ScalarStyle::Any;
    emitter.emit(Event::scalar(
        None,
        None,
        text,
        is_text_when_plain,
        true,
        style,
    ))
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => crate::settings::hocon::float_text(float),
        _ => number.to_string(),
    }
}

/// Texts that are no texts in YAML 1.2 as the official agent has it: digits may have underscores, times are a type.
static OTHER_TYPES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?:
          | ~ | null | Null | NULL | << | =
          | true | True | TRUE | false | False | FALSE
          | [-+]? [0-9_]+ | [-+]? 0 (?: b [01_]+ | o [0-7_]+ | x [0-9a-fA-F_]+ )
          | [-+]? [0-9] [0-9_]* (?: \. [0-9_]* )? (?: [eE] [-+]? [0-9]+ )?
          | [-+]? \. [0-9_]+ (?: [eE] [-+] [0-9]+ )?
          | [-+]? \. (?: inf | Inf | INF ) | \. (?: nan | NaN | NAN )
          | [0-9]{4} - [0-9]{2} - [0-9]{2}
          | [0-9]{4} - [0-9]{1,2} - [0-9]{1,2} (?: [Tt] | [\x20\t]+ ) [0-9]{1,2} : [0-9]{2} : [0-9]{2}
            (?: \. [0-9]* )? (?: [\x20\t]* (?: Z | [-+] [0-9]{1,2} (?: : [0-9]{2} )? ) )?
        )$",
    )
    .expect("the pattern is constant")
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// D-327: the recorded answer, in another order.
    #[test]
    fn the_recorded_answer_is_written_as_recorded() {
        let answer = json!({"workers": [{
            "tags": [], "system_tags": [], "register_timeout": 600,
            "user": {"name": "tests", "id": "__tests__"},
            "register_time": "2026-11-21T01:39:35.556846+00:00",
            "queues": [{"num_tasks": 0, "name": "default", "id": "eac3bec849d6426ea58183277cee9c1f"}],
            "last_activity_time": "2026-11-21T01:39:35.556846+00:00",
            "key": "worker_d1bd92a3b039400cbafc60a7a5b1e52b___tests___vm:0",
            "ip": "127.0.0.1", "id": "vm:0",
            "company": {"id": "d1bd92a3b039400cbafc60a7a5b1e52b", "name": "clearml"},
        }]});
        let expected = "\
workers:
- company: {id: d1bd92a3b039400cbafc60a7a5b1e52b, name: clearml}
  id: vm:0
  ip: 127.0.0.1
  key: worker_d1bd92a3b039400cbafc60a7a5b1e52b___tests___vm:0
  last_activity_time: '2026-11-21T01:39:35.556846+00:00'
  queues:
  - {id: eac3bec849d6426ea58183277cee9c1f, name: default, num_tasks: 0}
  register_time: '2026-11-21T01:39:35.556846+00:00'
  register_timeout: 600
  system_tags: []
  tags: []
  user: {id: __tests__, name: tests}
";
        assert_eq!(yaml(&answer, YamlStyle::Mixed).expect("written"), expected);
        assert_eq!(
            yaml(&json!({"workers": []}), YamlStyle::Mixed).expect("written"),
            "workers: []\n"
        );
    }

    /// D-327: as the official agent wrote the same values.
    #[test]
    fn texts_are_quoted_where_they_could_be_something_else() {
        let value = json!({
            "texts": ["yes", "1", "a: b", "ünï", "- a", "", " lead", "~", "null", "1.5", "0x1f", "1e3"],
            "more": ["2026-01-01", "=", "<<", "tab\tx", "#c", "a #c", "@x", "{", "a,b", "it's", "say \"x\"", "😀"],
            "words": ["true", "False", "off", "No", "n", ".inf", "0o17", "017", "1_000", "+1", "-", "0b11"],
            "numbers": [1.5, 1e20, 1e-7, -1, true, null],
            "empty": {}, "nested": {"a": {"b": {}}, "c": []}, "lists": [[1, 2], [3, [4]]], "": 2,
            "long": "x".repeat(81), "short": "y".repeat(80),
        });
        let expected = format!(
            "\
'': 2
empty: {{}}
lists:
- [1, 2]
- - 3
  - [4]
long: \n  {}
more: ['2026-01-01', '=', '<<', \"tab\\tx\", '#c', 'a #c', '@x', '{{', 'a,b', it's, say
    \"x\", 😀]
nested:
  a:
    b: {{}}
  c: []
numbers: [1.5, 1e+20, 1e-07, -1, true, null]
short: {}
texts: [yes, '1', 'a: b', ünï, '- a', '', ' lead', '~', 'null', '1.5', '0x1f', '1e3']
words: ['true', 'False', off, No, n, '.inf', '0o17', '017', '1_000', '+1', '-', '0b11']
",
            "x".repeat(81),
            "y".repeat(80)
        );
        assert_eq!(yaml(&value, YamlStyle::Mixed).expect("written"), expected);
    }
}
