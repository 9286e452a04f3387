//! From the settings to how code is fetched.

use std::path::PathBuf;
use std::time::Duration;

use super::options::{is_true, page_client};
use crate::settings::env_vars;
use crate::settings::hocon::{Kind, Source};
use crate::settings::{AgentSettings, GitSettings, Settings};
use crate::source::{CredentialRules, HostCredentials, HttpClients, SourceOptions, UrlRules};

/// A git server that is silent for so long has hung.
const GIT_STALL_LIMIT: Duration = Duration::from_mins(2);

/// What `agent.git_fetch_args` is where nobody has changed it; what it means is done in our own way then.
const DEFAULT_FETCH: [&str; 3] = ["--all", "--tags", "--recurse-submodules"];

/// How code is fetched under these settings.
pub(super) fn source(settings: &Settings, agent: &AgentSettings) -> SourceOptions {
    let environment = settings.environment();
    let clients = page_client(settings);
    SourceOptions {
        rules: rewriting(settings, &agent.git),
        cache_folder: agent.vcs_cache.path.clone(),
        cache_enabled: agent.vcs_cache.enabled,
        clone_on_pull_fail: agent.vcs_cache.clone_on_pull_fail,
        fetch_arguments: fetch_arguments(settings).unwrap_or_else(|warning| {
            tracing::warn!("{warning}");
            Some(Vec::new())
        }),
        verbose: agent.git.clone_verbose,
        stall_limit: GIT_STALL_LIMIT,
        http: HttpClients::new(move |url| {
            let client = clients.transfer_client(url);
            client.map_err(|error| error.to_string())
        }),
        force_code_dir: environment
            .text(&env_vars::FORCE_CODE_DIR)
            .map(PathBuf::from),
        force_exec_script: environment
            .text(&env_vars::FORCE_EXEC_SCRIPT)
            .map(str::to_owned),
        force_task_init: is_true(settings, &env_vars::FORCE_TASK_INIT),
        // By number: git starts it from a process of its own, for which `self` would be git.
        is_standalone: false,
        askpass_program: PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        environment: environment
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn rewriting(settings: &Settings, git: &GitSettings) -> UrlRules {
    let credentials =
        |user: &Option<String>, password: &_, host: &Option<String>| HostCredentials {
            user: user.clone().unwrap_or_default(),
            password: Option::clone(password),
            host: host.clone(),
            label: None,
        };
    let extra = git.extra_credentials.iter();
    UrlRules {
        force_ssh: git.force_ssh_protocol,
        force_ssh_port: git.force_ssh_port,
        force_ssh_user: git.force_ssh_user.clone(),
        translate_ssh: settings.boolean("agent.translate_ssh").unwrap_or(true),
        replacement_scheme: git.replacement_scheme.clone(),
        credentials: CredentialRules {
            global: HostCredentials {
                label: Some(credentials_label(settings)),
                ..credentials(&git.user, &git.password, &git.host)
            },
            extra: extra
                .map(|extra| credentials(&extra.user, &extra.password, &extra.host))
                .collect(),
            match_prefix: git.host_match_prefix,
            azure_pat: git.use_azure_pat,
            entra_token: git.use_ms_entra_token,
        },
    }
}

/// E-064, E-068; none where nobody has changed what is fetched. The error is a warning: nothing is asked for specially.
fn fetch_arguments(settings: &Settings) -> Result<Option<Vec<String>>, String> {
    const KEY: &str = "agent.git_fetch_args";
    let Some(value) = settings.value(KEY) else {
        return Ok(None);
    };
    let type_name = match &value.kind {
        Kind::List(_) => return Ok(settings.list(KEY).filter(|own| own != &DEFAULT_FETCH)),
        Kind::Null => "NoneType",
        Kind::Object(_) => "ConfigTree",
        Kind::Boolean(_) => "bool",
        Kind::Integer(_) => "int",
        Kind::Float(_) => "float",
        Kind::Text(_) => "str",
    };
    Err(format!("{KEY} must be a list, got {type_name}; ignoring"))
}

/// Where the global user and password come from: variable, option or key of each (E-045).
fn credentials_label(settings: &Settings) -> String {
    let rows = [
        (&env_vars::GIT_USER, "agent.git_user"),
        (&env_vars::GIT_PASS, "agent.git_pass"),
    ];
    rows.map(|(variable, key)| {
        let option = || match settings.origin(key)?.source() {
            Source::Option(option) => Some(option.clone()),
            _ => None,
        };
        let variable = settings.environment().named_text(variable);
        let name = variable.map(|(name, _)| name.to_owned()).or_else(option);
        format!("`{}`", name.as_deref().unwrap_or(key))
    })
    .join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        let environment = variables
            .iter()
            .fold(Environment::default(), |all, (name, value)| {
                all.with(name, value)
            });
        Settings::from_text(text, &environment).expect("read")
    }

    /// E-064, E-068
    #[test]
    fn fetch_arguments_are_a_list_or_nothing() {
        let of = |text: &str| fetch_arguments(&settings(text, &[]));
        assert_eq!(of(""), Ok(None));
        let default = "agent.git_fetch_args: [\"--all\", \"--tags\", \"--recurse-submodules\"]";
        assert_eq!(of(default), Ok(None));
        let own = "agent.git_fetch_args: [\"--depth=1\"]";
        assert_eq!(of(own), Ok(Some(vec!["--depth=1".to_owned()])));
        for (value, name) in [
            ("--all", "str"),
            ("7", "int"),
            ("true", "bool"),
            ("{a: 1}", "ConfigTree"),
            ("null", "NoneType"),
        ] {
            assert_eq!(
                of(&format!("agent.git_fetch_args: {value}")),
                Err(format!(
                    "agent.git_fetch_args must be a list, got {name}; ignoring"
                ))
            );
        }
    }

    /// E-045
    #[test]
    fn the_source_of_each_half_of_the_pair_is_known() {
        let text = "agent { git_user: a, git_pass: b }";
        let label = |variables: &[(&str, &str)]| credentials_label(&settings(text, variables));
        assert_eq!(label(&[]), "`agent.git_user` and `agent.git_pass`");
        assert_eq!(
            label(&[
                ("TRAINS_AGENT_GIT_USER", "x"),
                ("CLEARML_AGENT_GIT_PASS", "y")
            ]),
            "`TRAINS_AGENT_GIT_USER` and `CLEARML_AGENT_GIT_PASS`"
        );
    }
}
