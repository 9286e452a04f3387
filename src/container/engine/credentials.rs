//! Logins of registries, from where `docker login` has put them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{Command, find_program};
use crate::secrets::SecretString;

/// How long a program that keeps logins may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The user in whose place such a program names a token.
const TOKEN: &str = "<token>";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    auths: HashMap<String, Login>,
    #[serde(rename = "credHelpers")]
    helpers: HashMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login for `registry`; what could not be read is said, and the pull goes on without.
pub(super) async fn login(
    folder: &Path,
    registry: &str,
    search_path: &str,
    say: &mut impl FnMut(String),
) -> Option<DockerCredentials> {
    let path = folder.join("config.json");
    let text = std::fs::read(&path).ok()?;
    let file: File = match serde_json::from_slice(&text) {
        Ok(file) => file,
        Err(error) => {
            say(format!(
                "WARNING: could not read `{}`: {error}",
                path.display()
            ));
            return None;
        }
    };
    let helper = file.helpers.get(registry).or(file.store.as_ref());
    if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
        match ask(helper, registry, search_path).await {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(reason) => say(format!(
                "WARNING: `docker-credential-{helper}` gave no login for {registry}: {reason}"
            )),
        }
    }
    let of_registry = |(name, _): &(&String, &Login)| host(name) == host(registry);
    let (_, login) = file.auths.iter().find(of_registry)?;
    from_file(login, registry)
}

fn from_file(login: &Login, registry: &str) -> Option<DockerCredentials> {
    let pair = login.auth.as_ref().and_then(|auth| {
        let bytes = STANDARD.decode(auth).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
    });
    let pair = pair.or_else(|| Some((login.username.clone()?, login.password.clone()?)));
    let token = login
        .identitytoken
        .clone()
        .filter(|token| !token.is_empty());
    if pair.is_none() && token.is_none() {
        return None;
    }
    let (user, password) = pair.unzip();
    Some(credentials(registry, user, password, token))
}

async fn ask(
    helper: &str,
    registry: &str,
    search_path: &str,
) -> Result<Option<DockerCredentials>, String> {
    let name = format!("docker-credential-{helper}");
    let program = find_program(&name, search_path).ok_or("it is not on `PATH`")?;
    let (program, mut pipes) = Command::new(program)
        .args(["get"])
        .start_with_pipes()
        .map_err(|error| error.to_string())?;
    let talk = async {
        // A program that ends before it has read the question has said all that it will say.
        let _ = pipes.stdin.write_all(registry.as_bytes()).await;
        drop(pipes.stdin);
        let (mut answer, mut said) = (Vec::new(), Vec::new());
        let (read, also) = tokio::join!(
            pipes.stdout.read_to_end(&mut answer),
            pipes.stderr.read_to_end(&mut said)
        );
        read.and(also).map(|_| (answer, said))
    };
    let talked = tokio::time::timeout(PATIENCE, talk).await;
    program.end().await;
    let (answer, said) = talked
        .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let Ok(answer) = serde_json::from_slice::<Answer>(&answer) else {
        let text = [answer, said].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(text.lines().next().unwrap_or("it said nothing").to_owned());
    };
    Ok(Some(if answer.username == TOKEN {
        credentials(registry, None, None, Some(answer.secret))
    } else {
        credentials(registry, Some(answer.username), Some(answer.secret), None)
    }))
}

fn credentials(
    registry: &str,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
) -> DockerCredentials {
    for secret in [&password, &identitytoken].into_iter().flatten() {
        // Only its registration is wanted: the client takes a plain text.
        SecretString::new(secret.as_str());
    }
    DockerCredentials {
        username,
        password,
        identitytoken,
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    }
}

fn host(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    address.split('/').next().unwrap_or_default()
}
