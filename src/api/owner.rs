//! Logs in as the owner of a task, with the rights of the session's own user.

use super::endpoint::Endpoint;
use super::error::ApiError;
use super::http::{Body, Request, bearer};
use super::queues::TaskOwner;
use super::retry::Retry;
use super::session::Session;
use super::token::Token;
use crate::secrets::{Registry, SecretString};

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
        let Some(company) = company else {
            return Ok(Some(token.bearer));
        };
        let second = self.log_in_with(&token.bearer, (IN_TENANT, company)).await;
        let is_same = |second: &Token| second.bearer == token.bearer;
        if !second.as_ref().is_ok_and(is_same) {
            // Nobody uses the first one any more.
            Registry::global().forget(token.bearer.expose());
        }
        Ok(Some(second?.bearer))
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

#[cfg(test)]
mod tests {
    use local_server::{Edition, LocalServer, Options};

    use super::*;
    use crate::api::{Credentials, SessionOptions};
    use crate::secrets;

    /// of two logins for one owner the first one's token is of no use any more.
    #[tokio::test]
    async fn only_the_token_that_is_used_stays_a_secret() {
        let server = LocalServer::start(Options {
            edition: Edition::Enterprise,
            ..Options::default()
        });
        let server = server.await.expect("a server");
        let keys = server.credentials();
        let credentials = Credentials::Keys {
            access_key: keys.access_key.clone(),
            secret_key: SecretString::new(keys.secret_key.clone()),
        };
        let url = server.url().parse().expect("a URL");
        let session = Session::new(SessionOptions::new(url, credentials, "3.0.3", "vm"));
        let session = session.expect("a session");
        let user = session.claims().await.expect("claims").user;
        let owner = TaskOwner {
            user: Some(user.parse().expect("an id")),
            company: Some("another".to_owned()),
        };
        let (first, second) = loop {
            let token = session.owner_token(&owner).await.expect("logged in");
            let second = token.expect("an owner").expose().to_owned();
            let logins = server.requests();
            let given = |login: &local_server::RecordedRequest| {
                let token = login.response["data"]["token"].as_str();
                (login.endpoint == "auth.login").then(|| token.expect("a token").to_owned())
            };
            let given: Vec<String> = logins.iter().filter_map(given).collect();
            assert_eq!(given.last(), Some(&second));
            // Those of one millisecond are the same.
            let first = given[given.len() - 2].clone();
            if first != second {
                break (first, second);
            }
        };
        let text = format!("{first} {second}");
        assert_eq!(secrets::mask(&text), format!("{first} ****"));
    }
}
