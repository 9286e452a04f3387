//! Values for the writers of other formats.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Kind, Value};

/// Whole numbers beyond 64 bits become floats: the other formats have no larger ones.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            Kind::Null => serializer.serialize_unit(),
            Kind::Boolean(boolean) => serializer.serialize_bool(*boolean),
            Kind::Integer(number) => match (number.to_i64(), number.to_string().parse()) {
                (Some(number), _) => serializer.serialize_i64(number),
                (None, Ok(number)) => serializer.serialize_f64(number),
                (None, Err(_)) => serializer.serialize_str(&number.to_string()),
            },
            Kind::Float(number) => serializer.serialize_f64(*number),
            Kind::Text(text) => serializer.serialize_str(text),
            Kind::List(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Kind::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
