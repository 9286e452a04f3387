//! Calls of the service `auth` besides the login itself.

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::session::Session;

const VALIDATE: Endpoint = Endpoint::new("auth.validate_token");

impl Session {
    /// Whether the server takes `token` for a valid one (`auth.validate_token`).
    pub async fn validates(&self, token: &crate::secrets::SecretString) -> Result<bool, ApiError> {
        #[derive(serde::Serialize)]
        struct Arguments<'a> {
            token: &'a str,
        }
        #[derive(serde::Deserialize)]
        struct Data {
            #[serde(default)]
            valid: bool,
        }
        let arguments = Arguments {
            token: token.expose(),
        };
        let data: Data = self.call(&VALIDATE, &arguments).await?;
        Ok(data.valid)
    }
}
