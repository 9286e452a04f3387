//! Logs in as the owner of a task, with the rights of the session's own user.

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::http::{Body, Request, bearer};
use super::queues::TaskOwner;
use super::retry::Retry;
use super::session::Session;
use super::token::Token;
use crate::secrets::SecretString;

const LOGIN: Endpoint = Endpoint::new("auth.login").version(2, 5);
const AS_USER: &str = "x-clearml-impersonate-as";
const IN_TENANT: &str = "x-clearml-tenant";

impl Session {
    /// A token with which `owner` acts on the server, in the company of the task.
    ///
    /// `None` where the server has not said who the owner is.
    pub async fn owner_token(&self, owner: &TaskOwner) -> Result<Option<SecretString>, ApiError> {
        let Some(user) = &owner.user else {
            return Ok(None);
        };
        let own = self.bearer_token().await?;
        let token = self.log_in_with(&own, (AS_USER, user.as_str())).await?;
        let company = owner.company.as_deref().filter(|company| {
            let tenant = token.claims.tenant.as_deref();
            tenant.is_some_and(|tenant| tenant != *company)
        });
        let token = match company {
            Some(company) => {
                self.log_in_with(&token.bearer, (IN_TENANT, company))
                    .await?
            }
            None => token,
        };
        Ok(Some(token.bearer))
    }

    async fn log_in_with(
        &self,
        token: &SecretString,
        header: (&'static str, &str),
    ) -> Result<Token, ApiError> {
        let options = &self.inner.options;
        let lifetime = options.token_lifetime.map(|lifetime| lifetime.as_secs());
        let arguments = match lifetime {
            Some(seconds) => serde_json::json!({ "expiration_sec": seconds }),
            None => serde_json::json!({}),
        };
        let request = Request {
            call: LOGIN.name,
            method: options.default_method,
            path: &LOGIN.path(None),
            authorization: &bearer(token),
            extra: Some(header),
            body: &Body::Json(arguments.to_string().into()),
        };
        let retry = self.scope.retry.unwrap_or(Retry::Always);
        self.ask_for_token(&request, retry).await
    }
}
