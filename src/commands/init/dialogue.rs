//! The order of events: what is asked, and what is said meanwhile (F-133 to F-144).

use super::hosts::{API_PORT, Address, Derived, FILES_PORT, InvalidAddress, WEB_PORT, parse_port};
use super::paste::{End, Pasted};
use super::verify::{Cause, Verified};
use super::{Answers, Git, Hosts, Keys, shown};
use crate::secrets::SecretString;
use crate::settings::mask_url_passwords;
use crate::ui::NoAnswer;

/// Who is talked to.
pub(super) trait Console {
    /// One line, or several.
    fn say(&mut self, text: &str);
    /// A question whose answer may be seen.
    async fn ask(&mut self, prompt: &str) -> Result<String, NoAnswer>;
    /// A question whose answer may hold a secret among other things.
    async fn ask_with_secrets(&mut self, prompt: &str) -> Result<String, NoAnswer>;
    /// A question whose answer is nobody else's business.
    async fn ask_secret(&mut self, prompt: &str) -> Result<String, NoAnswer>;
}

/// Who knows whether the keys open the server.
pub(super) trait Server {
    async fn verify(&self, api_host: &str, keys: &Keys) -> Result<Verified, Cause>;
}

/// What the dialogue starts from.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The file to be written, as it is told.
    pub(super) target: String,
    /// An address to show as an example.
    pub(super) example: String,
}

/// Why there are no answers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// Twice the server did not take the keys; that has been said.
    #[error("the keys could not be verified")]
    Unverified,
}

const DEFAULT_WEB: &str = "https://app.clear.ml";

/// Talks with the user until everything is known.
pub(super) async fn hold(
    console: &mut impl Console,
    server: &impl Server,
    start: &Start,
) -> Result<Answers, Ended> {
    let pasted = read_paste(console).await?;
    let mut keys = if let Some(keys) = &pasted.keys {
        keys.clone()
    } else {
        console.say("Could not parse credentials, please try entering them manually.");
        ask_keys(console).await?
    };
    console.say(&format!(
        "Detected credentials key=\"{}\" secret=\"{}\"",
        keys.access_key,
        shown(&keys.secret_key)
    ));
    let hosts = ask_hosts(console, &pasted, start).await?;
    console.say(&summary(&hosts));
    if !is_verified(console, server, &hosts.api, &keys).await {
        keys = ask_keys(console).await?;
        if !is_verified(console, server, &hosts.api, &keys).await {
            console.say("Exiting setup without creating configuration file");
            return Err(Ended::Unverified);
        }
    }
    Ok(Answers {
        output_uri: ask_output_uri(console, &hosts.files).await?,
        git: ask_git(console).await?,
        indexes: ask_indexes(console).await?,
        hosts,
        keys,
    })
}

/// F-140
pub(super) fn summary(hosts: &Hosts) -> String {
    format!(
        "\nClearML Hosts configuration:\nWeb App: {}\nAPI: {}\nFile Store: {}\n",
        hosts.web, hosts.api, hosts.files
    )
}

/// F-133, F-134
async fn read_paste(console: &mut impl Console) -> Result<Pasted, Ended> {
    console.say(
        "\nPlease create new clearml credentials through the settings page in your `clearml-server` web app, \n\
         or create a free account at https://app.clear.ml/settings/webapp-configuration\n    \n\
         In the settings > workspace  page, press \"Create new credentials\", then press \"Copy to clipboard\".\n\n\
         Paste copied configuration here: ",
    );
    let mut text = String::new();
    let mut end = End::default();
    loop {
        // A terminal may hand over the whole block at once.
        let answer = console.ask_with_secrets("").await?;
        let lines = answer.replace("\r\n", "\n").replace('\r', "\n");
        let mut ends = false;
        for line in lines.split('\n') {
            text.push_str(line);
            text.push('\n');
            ends = end.is_at(line);
            if ends {
                break;
            }
        }
        if ends {
            return Ok(Pasted::read(&text));
        }
    }
}

/// F-136
async fn ask_keys(console: &mut impl Console) -> Result<Keys, Ended> {
    Ok(Keys {
        access_key: console.ask("Enter user access key: ").await?,
        secret_key: SecretString::new(console.ask_secret("Enter user secret: ").await?),
    })
}

/// F-138; W12, W13: what was pasted is the default, as long as it fits the confirmed host.
async fn ask_hosts(
    console: &mut impl Console,
    pasted: &Pasted,
    start: &Start,
) -> Result<Hosts, Ended> {
    // What is no address is as good as missing: it is asked for.
    let read = |text: &Option<String>| Address::parse(text.as_deref()?).ok();
    let (web, api, files) = (read(&pasted.web), read(&pasted.api), read(&pasted.files));
    let of_same = |same: bool, pasted: Option<Address>| pasted.filter(|_| same);
    let [web, api, files] = if let (None, Some(given)) = (&web, &api) {
        let confirmed = ask_host(console, "API Host", Some(given)).await?;
        let same = confirmed == *given;
        let derived = derive(console, &confirmed).await?;
        let web = ask_host(console, "Web Application Host", derived.web.as_ref()).await?;
        let files = of_same(same, files).or(derived.files);
        let files = ask_host(console, "File Store Host", files.as_ref()).await?;
        [web, derived.api, files]
    } else {
        if web.is_none() {
            console.say(&format!(
                "\nEditing configuration file: {}\n\
                 Enter the url of the clearml-server's Web service, for example: {} or https://app.clear.ml\n",
                start.target, start.example
            ));
        }
        let default = web
            .clone()
            .map_or_else(|| Address::parse(DEFAULT_WEB), Ok)?;
        let confirmed = ask_host(console, "WEB Host", Some(&default)).await?;
        let same = web.as_ref() == Some(&confirmed);
        let derived = derive(console, &confirmed).await?;
        let api = of_same(same, api).unwrap_or(derived.api);
        let api = ask_host(console, "API Host", Some(&api)).await?;
        let files = of_same(same, files).or(derived.files);
        let files = ask_host(console, "File Store Host", files.as_ref()).await?;
        // F-152
        [derived.web.unwrap_or(confirmed), api, files]
    };
    Ok(Hosts {
        web: web.to_string(),
        api: api.to_string(),
        files: files.to_string(),
    })
}

/// F-138, F-139
async fn ask_host(
    console: &mut impl Console,
    name: &str,
    default: Option<&Address>,
) -> Result<Address, Ended> {
    let prompt = match default {
        Some(default) => format!("{name} configured to: [{default}] "),
        None => format!("{name} configured to: "),
    };
    loop {
        let answer = console.ask(&prompt).await?;
        match (answer.trim().to_ascii_lowercase().as_str(), default) {
            ("" | "y" | "yes", Some(default)) => return Ok(default.clone()),
            ("", None) => {}
            // W18
            ("y" | "yes" | "n" | "no", _) => {
                console.say("Please enter a url, such as https://app.clear.ml");
            }
            _ => match Address::parse(&answer) {
                Ok(address) => return Ok(address),
                Err(InvalidAddress::Host(_)) => {
                    console.say(&format!("'{}' is not a url", answer.trim()));
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// F-150, F-151
async fn derive(console: &mut impl Console, address: &Address) -> Result<Derived, Ended> {
    let Some(derived) = address.derive() else {
        return ask_ports(console, address).await;
    };
    if let Some(remark) = &derived.remark {
        console.say(remark);
    }
    Ok(derived)
}

async fn ask_ports(console: &mut impl Console, address: &Address) -> Result<Derived, Ended> {
    let answer = console
        .ask("Host port not detected, do you wish to use the default 8080 port n/[y]? ")
        .await?;
    Ok(match answer.trim().to_ascii_lowercase().as_str() {
        "" | "y" | "yes" => address.on_ports([WEB_PORT, API_PORT, FILES_PORT].map(Some)),
        "n" | "no" => {
            let mut ports = [None; 3];
            for (port, name) in ports.iter_mut().zip(["Web", "API", "Files"]) {
                *port = ask_port(console, name).await?;
            }
            address.on_ports(ports)
        }
        _ => address.alone(),
    })
}

/// Nothing means the port of `http` or `https` itself.
async fn ask_port(console: &mut impl Console, name: &str) -> Result<Option<u16>, Ended> {
    loop {
        let answer = console.ask(&format!("Enter port for {name} host ")).await?;
        match answer.trim() {
            "" => return Ok(None),
            port => match parse_port(port) {
                Ok(port) => return Ok(Some(port)),
                Err(error) => console.say(&error.to_string()),
            },
        }
    }
}

/// F-141
async fn is_verified(
    console: &mut impl Console,
    server: &impl Server,
    api_host: &str,
    keys: &Keys,
) -> bool {
    console.say("Verifying credentials ...");
    match server.verify(api_host, keys).await {
        Ok(verified) => {
            console.say("Credentials verified!");
            if let Some(warning) = verified.warning {
                console.say(&format!("clearml_agent: Warning: {warning}"));
            }
            true
        }
        Err(cause) => {
            console.say(&format!(
                "Error: could not verify credentials: key={} secret={}\n{}\nhint: {}",
                keys.access_key,
                shown(&keys.secret_key),
                cause.text,
                cause.hint
            ));
            false
        }
    }
}

/// F-142
async fn ask_output_uri(
    console: &mut impl Console,
    files_host: &str,
) -> Result<Option<String>, Ended> {
    let uri = loop {
        let answer = console
            .ask(
                "Default Output URI (used to automatically store models and artifacts): \
                 (N)one/ClearML (S)erver/(C)ustom [None] ",
            )
            .await?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "" | "n" => break None,
            "s" => break Some(files_host.to_owned()),
            "c" => {
                let uri = console.ask("Custom Default Output URI: ").await?;
                break Some(uri.trim().to_owned()).filter(|uri| !uri.is_empty());
            }
            _ => {}
        }
    };
    let shown = uri.as_deref().unwrap_or("not set");
    console.say(&format!("\nDefault Output URI: {shown}"));
    Ok(uri)
}

/// F-143
async fn ask_git(console: &mut impl Console) -> Result<Option<Git>, Ended> {
    let answer = console
        .ask("Enter git username for repository cloning (leave blank for SSH key authentication): [] ")
        .await?;
    let user = answer.trim().to_owned();
    if user.is_empty() {
        return Ok(None);
    }
    console.say(
        "Git personal token is equivalent to a password, to learn how to generate a token:\n  \
         GitHub: https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/creating-a-personal-access-token\n  \
         Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/\n  \
         GitLab: https://docs.gitlab.com/ee/user/profile/personal_access_tokens.html\n",
    );
    let token = console
        .ask_secret(&format!("Enter git personal token for user '{user}': "))
        .await?;
    let token = SecretString::new(token);
    console.say(&format!(
        "Git repository cloning will be using user={user} token={}",
        shown(&token)
    ));
    Ok(Some(Git { user, token }))
}

/// F-144
async fn ask_indexes(console: &mut impl Console) -> Result<Vec<String>, Ended> {
    let mut indexes = Vec::new();
    console.say("");
    let mut prompt = "Enter additional artifact repository (extra-index-url) to use when installing python packages \
         (leave blank if not required):";
    loop {
        let answer = console.ask_with_secrets(prompt).await?;
        let index = answer.trim();
        if index.is_empty() {
            break;
        }
        indexes.push(index.to_owned());
        prompt = "Another artifact repository? (enter another url or leave blank if done):";
    }
    if !indexes.is_empty() {
        console.say("The following artifact repositories will be added:");
        for index in &indexes {
            console.say(&format!("	- {}", mask_url_passwords(index)));
        }
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests;
