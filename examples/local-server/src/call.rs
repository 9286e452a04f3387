//! One call on its way through a handler: who asks, what for, and the store it works on.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    clock::Moment,
    error::ApiError,
    options::Options,
    schema::Document,
    storage::{Collection, Store},
    version::Version,
};

/// The company that every user of this server belongs to, by the name and id of the open-source server.
pub(crate) const COMPANY_ID: &str = "d1bd92a3b039400cbafc60a7a5b1e52b";
pub(crate) const COMPANY_NAME: &str = "clearml";

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) role: String,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) store: &'a Store<'a>,
    pub(crate) options: &'a Options,
    pub(crate) caller: Caller,
    /// Checked fields of the request, nulls left out.
    pub(crate) parameters: Document,
    /// The lines of a JSON-lines body.
    pub(crate) batch: Option<Vec<Value>>,
    pub(crate) version: Version,
    pub(crate) address: IpAddr,
    pub(crate) now: Moment,
    /// User to be seen as, from the impersonation header.
    pub(crate) impersonated: Option<String>,
}

impl Call<'_> {
    /// A text field; empty if it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.parameters
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A text field that was sent and is not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.parameters
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        self.parameters
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.parameters.get(name).and_then(Value::as_i64)
    }

    /// A list of texts; empty if it was not sent.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        texts(self.parameters.get(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }

    /// The task with this id, or 400/101.
    pub(crate) fn task(&self, id: &str) -> Result<Document, ApiError> {
        self.store
            .get(Collection::Task, id)?
            .ok_or_else(|| ApiError::invalid_task(id, COMPANY_ID))
    }

    /// The queue with this id, or 400/701.
    pub(crate) fn queue(&self, id: &str) -> Result<Document, ApiError> {
        self.store
            .get(Collection::Queue, id)?
            .ok_or_else(|| ApiError::invalid_queue(id, COMPANY_ID))
    }

    /// Notes in a document who changed it and when.
    pub(crate) fn touch(&self, document: &mut Document) {
        let now = Value::from(self.now.stored());
        document.insert("last_update".into(), now.clone());
        document.insert("last_change".into(), now);
        document.insert("last_changed_by".into(), self.caller.user.clone().into());
    }
}

/// The texts of a list, or one text alone.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// A text member of a document; empty if it is missing.
pub(crate) fn text_of<'a>(document: &'a Document, name: &str) -> &'a str {
    document
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The member with a dotted path.
pub(crate) fn lookup<'a>(document: &'a Document, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = document.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

/// The members of an object inside a document, made if it is missing.
pub(crate) fn section<'a>(document: &'a mut Document, name: &str) -> &'a mut Document {
    let value = document
        .entry(name)
        .or_insert_with(|| Value::Object(Document::new()));
    if !value.is_object() {
        *value = Value::Object(Document::new());
    }
    value.as_object_mut().expect("just made an object")
}

/// A new id: 32 lower-case hexadecimal characters.
pub(crate) fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
