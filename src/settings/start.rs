//! Values that are known only at start-up, and the secrets the masker has to know (F-110 to F-116).

use super::hocon::{Kind, Object, Value};
use super::layers::{detected, set};
use super::{Settings, env_vars};
use crate::secrets::{
    SecretString, may_name_a_secret, register_assignments, register_url_passwords,
    register_variable,
};

/// What the program found out about its machine.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// The host name.
    pub host_name: String,
    /// `major.minor` of the Python that environments will be made of; `None` where there is none.
    pub python_version: Option<String>,
    /// CUDA version of the driver or compiler; `None` where there is none or GPUs are not to be used.
    pub cuda_version: Option<String>,
    /// The same for cuDNN.
    pub cudnn_version: Option<String>,
}

/// The version of Python that is named where there is no Python at all (F-110).
const AGREED_PYTHON: &str = "3.11";

impl Settings {
    /// With what the configuration leaves open filled in: worker name, Python, CUDA and cuDNN (F-110 to F-113).
    #[must_use]
    pub fn completed(&self, detected: &Detected) -> Self {
        let mut root = self.root().clone();
        let mut fill = |key: &str, text: String| {
            if self.filled_text(key).is_none() {
                set(&mut root, key, self::detected(Kind::Text(text)));
            }
        };
        fill("agent.worker_name", detected.host_name.clone());
        let python = detected.python_version.as_deref().unwrap_or(AGREED_PYTHON);
        fill("agent.default_python", python.to_owned());
        for (key, found) in [
            ("agent.cuda_version", &detected.cuda_version),
            ("agent.cudnn_version", &detected.cudnn_version),
        ] {
            let text = self
                .cuda_version(key)
                .or_else(|| found.as_deref().map(normalised))
                .unwrap_or_else(|| "0".to_owned());
            let origin = self.value(key).map(|value| value.origin.clone());
            let mut value = self::detected(Kind::Text(text));
            value.origin = origin.unwrap_or(value.origin);
            set(&mut root, key, value);
        }
        self.with_root(root)
    }

    /// With one value that was found out at start-up.
    #[must_use]
    pub fn with_detected(&self, key: &str, text: String) -> Self {
        self.with(key, detected(Kind::Text(text)))
    }

    /// With the folders that this agent uses, expanded; the N-th agent of a machine gets folders of its own (F-116).
    #[must_use]
    pub fn with_folders(&self, instance: usize) -> Self {
        let own = |suffixed: bool| match instance {
            1.. if suffixed => format!(".{instance}"),
            _ => String::new(),
        };
        let for_user = self.environment().is_set(&env_vars::EXEC_USER);
        let folders = [
            ("agent.venvs_dir", true),
            ("agent.vcs_cache.path", false),
            ("agent.pip_download_cache.path", false),
            ("agent.docker_pip_cache", false),
            ("agent.docker_apt_cache", true),
            ("sdk.storage.cache.default_base_dir", true),
        ];
        let mut root = self.root().clone();
        for (key, suffixed) in &folders[..if for_user { 6 } else { 5 }] {
            let (Some(value), Some(path)) = (self.value(key), self.path(key)) else {
                continue;
            };
            let path = std::path::absolute(&path).unwrap_or(path);
            let text = format!("{}{}", path.display(), own(*suffixed));
            set(
                &mut root,
                key,
                Value::new(Kind::Text(text), value.origin.clone()),
            );
        }
        self.with_root(root)
    }

    /// A version as `major*10+minor`; `None` where the key is empty (F-113).
    pub(super) fn cuda_version(&self, key: &str) -> Option<String> {
        self.filled_text(key).map(|version| normalised(&version))
    }

    /// For a process that has a token, and is to know no keys (D-151).
    #[must_use]
    pub fn without_credentials(&self) -> Self {
        self.without("api.credentials")
    }

    /// Makes every secret of the configuration and of the variables known to the masker.
    pub(super) fn register_secrets(&self) {
        register_below(self.root());
        // Names of variables say it in more ways than keys do.
        for (name, value) in self.members("environment") {
            if may_name_a_secret(name) {
                value.to_text().map(SecretString::new);
            }
        }
        for variable in [
            &env_vars::AUTH_TOKEN,
            &env_vars::API_SECRET_KEY,
            &env_vars::GIT_PASS,
            &env_vars::AWS_SECRET_ACCESS_KEY,
            &env_vars::AZURE_STORAGE_KEY,
        ] {
            self.environment().text(variable).map(SecretString::new);
        }
        if let Some(text) = self.environment().text(&env_vars::EXTRA_DOCKER_ARGS) {
            register_assignments(text);
        }
        // The programs of tasks inherit them.
        for (name, value) in self.environment().iter() {
            register_variable(name, value);
        }
    }
}

/// `12.4` becomes `124`; text without a dot stays (F-113).
fn normalised(version: &str) -> String {
    let mut parts = version.split('.');
    let number = |part: Option<&str>| part.and_then(|part| part.trim().parse::<u32>().ok());
    match (number(parts.next()), number(parts.next())) {
        (Some(major), Some(minor)) => (u64::from(major) * 10 + u64::from(minor)).to_string(),
        _ => version.to_owned(),
    }
}

/// Members that hold a secret by their name. Wider patterns hide keys in the printout, but would blank ordinary words in a log.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "secret",
        "secret_key",
        "pass",
        "password",
        "account_key",
        "token",
    ]
    .iter()
    .any(|end| key == *end || key.ends_with(&format!("_{end}")))
        && key != "enable_git_ask_pass"
}

fn register_below(members: &Object) {
    for (key, value) in members {
        register_value(key, value);
    }
}

fn register_value(key: &str, value: &Value) {
    match &value.kind {
        Kind::Object(members) => register_below(members),
        Kind::List(items) => items.iter().for_each(|item| register_value(key, item)),
        Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) if is_secret(key) => {
            value.to_text().map(SecretString::new);
        }
        Kind::Text(text) => register_url_passwords(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::mask;
    use crate::settings::Environment;

    fn settings(text: &str) -> Settings {
        Settings::from_text(text, &Environment::default()).expect("the text is good")
    }

    /// F-113
    #[test]
    fn versions_are_written_without_a_dot() {
        for (version, expected) in [
            ("11.2.1", "112"),
            ("12.4", "124"),
            ("10.0", "100"),
            ("11", "11"),
            ("118", "118"),
            ("word", "word"),
        ] {
            assert_eq!(normalised(version), expected);
        }
    }

    /// F-110, F-111, F-112
    #[test]
    fn only_what_is_open_is_completed() {
        let detected = Detected {
            host_name: "machine".to_owned(),
            cuda_version: Some("12.2".to_owned()),
            ..Detected::default()
        };
        let open = settings("").completed(&detected);
        assert_eq!(open.text("agent.worker_name").as_deref(), Some("machine"));
        assert_eq!(open.text("agent.default_python").as_deref(), Some("3.11"));
        assert_eq!(open.text("agent.cuda_version").as_deref(), Some("122"));
        assert_eq!(open.text("agent.cudnn_version").as_deref(), Some("0"));
        let said = settings("agent { worker_name: w, default_python: 3.8, cuda_version: 11.8 }")
            .completed(&detected);
        assert_eq!(said.text("agent.worker_name").as_deref(), Some("w"));
        assert_eq!(said.text("agent.default_python").as_deref(), Some("3.8"));
        assert_eq!(said.text("agent.cuda_version").as_deref(), Some("118"));
    }

    /// F-116
    #[test]
    fn the_second_agent_of_a_machine_has_its_own_folders() {
        let first = settings("").with_folders(0);
        assert_eq!(
            first.text("agent.venvs_dir").as_deref(),
            Some("/home/user/.clearml/venvs-builds")
        );
        let second = settings("").with_folders(1);
        assert_eq!(
            second.text("agent.venvs_dir").as_deref(),
            Some("/home/user/.clearml/venvs-builds.1")
        );
        assert_eq!(
            second.text("agent.vcs_cache.path").as_deref(),
            Some("/home/user/.clearml/vcs-cache")
        );
        assert_eq!(
            second.text("sdk.storage.cache.default_base_dir").as_deref(),
            Some("~/.clearml/cache")
        );
    }

    #[test]
    fn secrets_are_known_to_the_masker() {
        settings(
            "agent.git_pass: topsecretone, agent.git.extra_credentials: [{user: u, pass: 987654321}]\n\
             agent.package_manager.extra_index_url: \"https://u:indexpassword@h/simple\"\n\
             agent.enable_git_ask_pass: truthfully",
        );
        let masked = mask("topsecretone 987654321 indexpassword truthfully");
        assert_eq!(masked, "**** **** **** truthfully");
    }
}
