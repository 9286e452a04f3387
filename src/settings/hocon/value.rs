//! Values: what a document means once it is resolved.

use std::fmt;

use indexmap::IndexMap;

use super::Origin;

/// Members in the order in which they were first written (F-302).
pub type Object = IndexMap<String, Value>;

/// A value and the place it comes from.
#[derive(Clone, Debug)]
pub struct Value {
    /// The value itself.
    pub kind: Kind,
    /// Where it was written.
    pub origin: Origin,
}

/// The types of F-045.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true`, `False`, ...
    Boolean(bool),
    /// A whole number of any size.
    Integer(Integer),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Anything else that is not a collection.
    Text(String),
    /// `[...]`.
    List(Vec<Value>),
    /// `{...}`.
    Object(Object),
}

/// A whole number without limit, kept as its shortest decimal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integer(String);

impl Value {
    /// A value from this place.
    pub fn new(kind: Kind, origin: Origin) -> Self {
        Self { kind, origin }
    }

    /// The member of an object; `None` for everything else.
    pub fn member(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Object(members) => members.get(key),
            _ => None,
        }
    }

    /// The value as Python prints it, which is how the agent turns it into text (F-047); `None` for null and collections.
    pub fn to_text(&self) -> Option<String> {
        match &self.kind {
            Kind::Null | Kind::List(_) | Kind::Object(_) => None,
            Kind::Boolean(true) => Some("True".to_owned()),
            Kind::Boolean(false) => Some("False".to_owned()),
            Kind::Integer(number) => Some(number.to_string()),
            Kind::Float(number) => Some(float_text(*number)),
            Kind::Text(text) => Some(text.clone()),
        }
    }

    /// True for `null`, which most places take for a missing key (F-201).
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// How many leaves the value has, a measure of the memory it takes.
    pub(super) fn weight(&self) -> usize {
        match &self.kind {
            Kind::List(items) => items.iter().map(Self::weight).sum::<usize>() + 1,
            Kind::Object(members) => members.values().map(Self::weight).sum::<usize>() + 1,
            Kind::Text(text) => 1 + text.len() / 64,
            _ => 1,
        }
    }
}

/// Two values are the same where they mean the same, wherever they were written.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// Lays `over` onto `base`: objects merge member by member, everything else replaces (F-013).
pub(crate) fn merge(base: &mut Object, over: Object) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (
                Some(Value {
                    kind: Kind::Object(below),
                    ..
                }),
                Value {
                    kind: Kind::Object(above),
                    ..
                },
            ) => merge(below, above),
            (Some(below), value) => *below = value,
            (None, value) => {
                base.insert(key, value);
            }
        }
    }
}

impl Integer {
    /// Reads an optional sign and digits; leading zeros are dropped (`007` is 7).
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        match digits.trim_start_matches('0') {
            "" => Some(Self("0".to_owned())),
            digits => Some(Self(format!("{sign}{digits}"))),
        }
    }

    /// The number where it fits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl From<i64> for Integer {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A float as Python writes it: `2.0`, `0.1`, `1e+20`, `1e-05` (F-161).
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("the exponent form of a finite float holds an e");
    let exponent: i32 = exponent
        .parse()
        .expect("the exponent of a float is a small number");
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F-161
    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, text) in [
            (2.0, "2.0"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e-5, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-1.5, "-1.5"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.0, "0.0"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }

    /// F-045
    #[test]
    fn integers_have_no_limit_and_no_leading_zeros() {
        let text = |text: &str| Integer::parse(text).map(|number| number.to_string());
        assert_eq!(text("007").as_deref(), Some("7"));
        assert_eq!(text("-000").as_deref(), Some("0"));
        assert_eq!(text("+5").as_deref(), Some("5"));
        assert_eq!(
            text("123456789012345678901234567890").as_deref(),
            Some("123456789012345678901234567890")
        );
        assert_eq!(text("-"), None);
        assert_eq!(text("1a"), None);
    }
}
