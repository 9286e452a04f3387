//! Pages of other servers, such as package indexes: with the certificates and proxies of the session, without its login.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};
use url::Url;

use super::error::ConfigurationError;
use super::proxy::ProxySettings;
use super::trust::{Trust, install_provider};

/// For one page, from the connection to its last byte.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// A page of links is far shorter.
const LONGEST_PAGE: usize = 32 << 20;
const REDIRECTS: usize = 10;
/// A server that has moved says so once or twice.
const TRANSFER_REDIRECTS: usize = 5;

/// Fetches pages; nothing is repeated, because callers have something else to fall back on.
#[derive(Clone, Debug)]
pub struct PageClient {
    trust: Trust,
    proxies: ProxySettings,
}

impl PageClient {
    /// A client that trusts and goes the ways that it is told.
    pub fn new(trust: Trust, proxies: ProxySettings) -> Self {
        Self { trust, proxies }
    }

    /// The text of a page; none where it is not to be had within ten seconds. A user and password of the address are used.
    pub async fn get(&self, address: &str) -> Option<String> {
        let url = Url::parse(address).ok()?;
        let client = self
            .client(&url)
            .inspect_err(|error| tracing::info!(%error, "cannot fetch pages"))
            .ok()?;
        match fetch(&client, url).await {
            Ok(page) => page,
            Err(error) => {
                // Its address may hold a password.
                let error = error.without_url();
                tracing::debug!(%error, "a page of a package index could not be fetched");
                None
            }
        }
    }

    fn client(&self, url: &Url) -> Result<Client, ConfigurationError> {
        self.built(url, REDIRECTS, |builder| builder.timeout(TIME_LIMIT))
    }

    /// A client for transfers from one server that may take long, by those who watch over their progress themselves.
    pub fn transfer_client(&self, url: &Url) -> Result<Client, ConfigurationError> {
        self.built(url, TRANSFER_REDIRECTS, |builder| builder)
    }

    fn built(
        &self,
        url: &Url,
        redirects: usize,
        limited: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConfigurationError> {
        install_provider();
        let builder = Client::builder()
            .tls_backend_preconfigured(self.trust.client_config(url.scheme() == "https")?)
            .http1_only()
            .redirect(redirect::Policy::limited(redirects))
            .referer(false)
            .no_proxy();
        let mut builder = limited(builder);
        for proxy in self.proxies.proxies(url)? {
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| ConfigurationError::Client(error.to_string()))
    }
}

async fn fetch(client: &Client, url: Url) -> Result<Option<String>, reqwest::Error> {
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut page = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if page.len() + chunk.len() > LONGEST_PAGE {
            return Ok(None);
        }
        page.extend_from_slice(&chunk);
    }
    Ok(Some(String::from_utf8_lossy(&page).into_owned()))
}
