//! Calls of the service `users`.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::id::UserId;
use super::lenient;
use super::session::Session;

const CURRENT: Endpoint = Endpoint::new("users.get_current_user");
/// The doubled item makes the server see a list.
const VAULTS: Endpoint =
    Endpoint::new("users.get_vaults").query("enabled=true&types=config&types=config");

/// A user, as far as messages and templates need it; `all` holds every field.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The user's full name.
    pub name: String,
    /// Everything that the server said.
    pub all: Map<String, Value>,
}

/// A configuration that the server keeps for a user, a group or the company.
#[derive(Clone, Deserialize)]
pub struct Vault {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub id: String,
    /// Whose it is: `user`, `group`, `company`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub scope: String,
    /// What its author calls it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub description: String,
    /// The document; vaults hold secrets.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub data: String,
}

/// Without the document.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("id", &self.id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// The calls about users.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a>(&'a Session);

impl Session {
    /// The calls about users.
    pub fn users(&self) -> Users<'_> {
        Users(self)
    }
}

impl Users<'_> {
    /// `users.get_vaults`: the vaults of the credentials' user, the weakest first. The open-source server has none
    /// and answers with 404.
    pub async fn vaults(&self) -> Result<Vec<Vault>, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::or_default")]
            vaults: Vec<Vault>,
        }
        let data: Data = self.0.call_bare(&VAULTS).await?;
        Ok(data.vaults)
    }

    /// `users.get_current_user`: to whom the credentials belong.
    pub async fn current(&self) -> Result<User, ApiError> {
        #[derive(Deserialize)]
        struct Data {
            user: Map<String, Value>,
        }
        #[derive(Deserialize)]
        struct Known {
            id: UserId,
            #[serde(default, deserialize_with = "lenient::text")]
            name: Option<String>,
        }
        let data: Data = self.0.call_bare(&CURRENT).await?;
        let known = serde_json::from_value::<Known>(Value::Object(data.user.clone()));
        let known = known.map_err(|error| ApiError::Malformed {
            call: CURRENT.name,
            status: 200,
            reason: error.to_string(),
        })?;
        Ok(User {
            id: known.id,
            name: known.name.unwrap_or_default(),
            all: data.user,
        })
    }
}
