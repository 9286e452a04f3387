//! What containers need; `agent.default_docker`, `agent.docker_*` and the variables that beat them.

use std::path::PathBuf;

use super::agent::PackageManagerKind;
use super::env_vars::{self, Variable};
use super::hocon::{Kind, Source, Value};
use super::lookup::{condition, wrong_type};
use super::printout::DockerArgumentMask;
use super::{Settings, SettingsError};

/// The image where the key is missing (C-010).
const LAST_IMAGE: &str = "nvidia/cuda";
/// C-039
const PROTECTED: [&str; 4] = ["privileged", "security-opt", "network", "ipc"];

/// The settings of containers.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each stands for a key of the configuration"
)]
pub struct ContainerSettings {
    /// Image, and possibly arguments behind it, where the command line names none; `agent.default_docker.image` (C-010).
    pub default_image: String,
    /// `agent.default_docker.arguments` (C-013).
    pub default_arguments: Vec<String>,
    /// `agent.default_docker.match_rules` (C-021).
    pub match_rules: Vec<MatchRule>,
    /// The task's own image and arguments do not count; `agent.disable_task_docker_override` (C-018).
    pub ignores_task: bool,
    /// Words of every container; `agent.extra_docker_arguments` (C-034).
    pub extra_arguments: Vec<String>,
    /// `agent.docker_args_extra_precedes_task` (C-038).
    pub extra_comes_first: bool,
    /// `agent.protected_docker_extra_args` (C-039).
    pub protected: Vec<String>,
    /// `agent.docker_args_filters`: patterns of what a task may give; empty for all (C-032).
    pub filters: Vec<String>,
    /// `agent.forbidden_docker_args` (C-037).
    pub forbidden: Vec<String>,
    /// `agent.docker_args_allowed_port_range`, both ends included (C-061).
    pub port_range: Option<(u16, u16)>,
    /// `agent.docker_allow_host_environ` (C-033).
    pub expands_host_variables: bool,
    /// `agent.docker_apply_environment_from_vault` (C-036).
    pub applies_vault_environment: bool,
    /// Names of GPUs reach the container by a variable; `CLEARML_DOCKER_SKIP_GPUS_FLAG` (C-050).
    pub skips_gpus_flag: bool,
    /// `CLEARML_AGENT_FORCE_HOST_MACHINE_IP` (C-062).
    pub host_address: Option<String>,
    /// Where the agent itself runs in a container: the folder of the host, and its place inside (C-072).
    pub host_mount: Option<HostMount>,
    /// The agent runs in a cluster (C-053, C-070).
    pub is_in_cluster: bool,
    /// `CLEARML_AGENT_EXTRA_DOCKER_LABELS` (C-080).
    pub labels: Vec<String>,
    /// `agent.docker_container_name_format` (C-081).
    pub name_format: Option<String>,
    /// `agent.docker_container_name_format_fields`: name, and path of the task's field (C-081).
    pub name_fields: Vec<(String, String)>,
    /// `CLEARML_AGENT_SERVICES_DOCKER_RESTART`, as it was written (C-084).
    pub restart: Option<String>,
    /// `agent.docker_force_pull` (C-086).
    pub pulls_first: bool,
    /// `CLEARML_AGENT_SKIP_PIP_VENV_INSTALL`, which containers get too (C-090).
    pub skip_venv_install: Option<String>,
    /// The agent's own token, where it has one (C-090).
    pub own_token: Option<crate::secrets::SecretString>,
    /// Tags of the worker where no option gives them; `CLEARML_WORKER_TAGS`.
    pub worker_tags: Vec<String>,
    /// Folders of this machine that containers see.
    pub caches: CacheFolders,
    /// `agent.docker_internal_mounts`: their places in the container (C-100 to C-110).
    pub inside: InternalMounts,
    /// Containers get poetry's cache (C-102).
    pub uses_poetry: bool,
    /// `SSH_AUTH_SOCK` (C-112).
    pub ssh_socket: Option<String>,
    /// `agent.disable_ssh_mount` (C-112).
    pub disables_ssh_mount: bool,
    /// `FORCE_CLEARML_AGENT_REPO` (C-201).
    pub agent_requirement: Option<String>,
    /// `FORCE_LOCAL_CLEARML_AGENT_WHEEL`, expanded (C-110, C-201).
    pub agent_wheel: Option<PathBuf>,
    /// `agent.docker_preprocess_bash_script` (C-202).
    pub preprocess_script: Vec<String>,
    /// `agent.docker_init_bash_script` (C-202).
    pub init_script: Option<Vec<String>>,
    /// `agent.extra_docker_shell_script` (C-206).
    pub extra_shell_script: Vec<String>,
    /// `agent.docker_install_opencv_libs`, where somebody wrote it.
    pub installs_opencv_libs: bool,
    /// `agent.package_manager.pip_version`: requirements of pip, without its name.
    pub pip_version: Vec<String>,
    /// Environments in containers see the system's packages; `CLEARML_AGENT_FORCE_SYSTEM_SITE_PACKAGES` (C-121).
    pub system_site_packages: bool,
    /// `CLEARML_AGENT_STANDALONE_CONFIG_BC` (C-126).
    pub drops_pip_version: bool,
    /// Which variables are not shown; `agent.hide_docker_command_env_vars` (C-142).
    pub mask: DockerArgumentMask,
}

/// A folder of the host that the agent's own container sees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostMount {
    /// The folder of the host.
    pub host: String,
    /// Where the agent sees it.
    pub inside: String,
}

/// Folders of this machine; an empty key is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CacheFolders {
    /// `agent.docker_apt_cache`
    pub apt: Option<PathBuf>,
    /// `agent.docker_pip_cache`
    pub pip: Option<PathBuf>,
    /// `agent.docker_poetry_cache`
    pub poetry: Option<PathBuf>,
    /// `agent.pip_download_cache.path`
    pub pip_download: Option<PathBuf>,
    /// `sdk.storage.cache.default_base_dir`
    pub sdk: Option<PathBuf>,
    /// `agent.vcs_cache.path`, where it is enabled.
    pub vcs: Option<PathBuf>,
    /// `agent.venvs_cache.path`
    pub venvs: Option<PathBuf>,
}

/// Places in a container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InternalMounts {
    /// `apt_cache`
    pub apt: String,
    /// `pip_cache`
    pub pip: String,
    /// `poetry_cache`
    pub poetry: String,
    /// `pip_download`
    pub pip_download: String,
    /// `sdk_cache`
    pub sdk: String,
    /// `vcs_cache`
    pub vcs: String,
    /// `venvs_cache`
    pub venvs: String,
    /// `venv_build`
    pub venv_build: String,
    /// `ssh_folder`: where the task looks for ssh keys.
    pub ssh: String,
    /// `ssh_ro_folder`: where they are mounted (C-108).
    pub ssh_mount: String,
}

impl InternalMounts {
    /// Where the files of git are mounted (C-109).
    pub fn git_mount(&self) -> String {
        format!("{}.git", self.ssh_mount.trim_end_matches('/'))
    }
}

/// Which container a kind of task gets (C-021 to C-028).
#[derive(Clone, Debug, PartialEq)]
pub struct MatchRule {
    /// Its place in the list, counted from 0.
    pub place: usize,
    /// `image`
    pub image: String,
    /// `arguments`
    pub arguments: String,
    /// `setup_shell_script`, as one text.
    pub setup_shell_script: String,
    /// `force_container_rules`
    pub is_forced: bool,
    /// The choice is written into the task; `update_back_task` of the rule or of `agent.default_docker` (C-024).
    pub is_written_back: bool,
    /// `match`: path of a field, and the expressions that must fit; without any the rule is none.
    pub conditions: Vec<Condition>,
    /// The rule as it was written.
    pub text: String,
}

impl MatchRule {
    /// The key of its arguments.
    pub fn arguments_key(&self) -> String {
        format!("agent.default_docker.match_rules[{}].arguments", self.place)
    }
}

/// One condition of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// A field such as `script.binary` must fit every expression.
    Text(String, Vec<String>),
    /// Packages that the task's list (`pip` or `conda`) must have, each with the versions that are wanted.
    Packages(String, Vec<(String, String)>),
}

impl Settings {
    /// The settings of containers; fails on values of a wrong type, and on an open quote in a variable (C-034).
    pub fn container(&self) -> Result<ContainerSettings, SettingsError> {
        let environment = self.environment();
        let words = |variable: &'static Variable| match environment.named_text(variable) {
            None => Ok(None),
            Some((variable, text)) => shlex::split(text)
                .map(Some)
                .ok_or(SettingsError::OpenQuote { variable }),
        };
        let lines = |key: &str| self.list(key).filter(|lines| !lines.is_empty());
        let owned = |text: &str| text.to_owned();
        let extra = words(&env_vars::EXTRA_DOCKER_ARGS)?;
        Ok(ContainerSettings {
            default_image: environment
                .text(&env_vars::DOCKER_IMAGE)
                .map(owned)
                .or_else(|| self.filled_text("agent.default_docker.image"))
                .unwrap_or_else(|| LAST_IMAGE.to_owned()),
            default_arguments: self
                .words("agent.default_docker.arguments")
                .unwrap_or_default(),
            match_rules: self.match_rules(),
            ignores_task: self.is_on("agent.disable_task_docker_override"),
            extra_arguments: extra
                .or_else(|| self.words("agent.extra_docker_arguments"))
                .unwrap_or_default(),
            extra_comes_first: self
                .boolean("agent.docker_args_extra_precedes_task")
                .unwrap_or(true),
            protected: self
                .list("agent.protected_docker_extra_args")
                .unwrap_or_else(|| PROTECTED.map(str::to_owned).to_vec()),
            filters: words(&env_vars::DOCKER_ARGS_FILTERS)?
                .or_else(|| self.list("agent.docker_args_filters"))
                .unwrap_or_default(),
            forbidden: self.list("agent.forbidden_docker_args").unwrap_or_default(),
            port_range: self.port_range()?,
            expands_host_variables: self.is_on("agent.docker_allow_host_environ"),
            applies_vault_environment: self
                .boolean("agent.docker_apply_environment_from_vault")
                .unwrap_or(true),
            skips_gpus_flag: environment.is_set(&env_vars::DOCKER_SKIP_GPUS_FLAG),
            host_address: environment
                .text(&env_vars::FORCE_HOST_MACHINE_IP)
                .map(owned),
            host_mount: self.host_mount()?,
            is_in_cluster: environment.is_set(&env_vars::KUBERNETES_SERVICE_HOST)
                && environment.is_set(&env_vars::KUBERNETES_PORT),
            labels: words(&env_vars::EXTRA_DOCKER_LABELS)?.unwrap_or_default(),
            name_format: self.filled_text("agent.docker_container_name_format"),
            name_fields: self.name_fields(),
            restart: environment
                .text(&env_vars::SERVICES_DOCKER_RESTART)
                .map(owned),
            pulls_first: self.is_on("agent.docker_force_pull"),
            skip_venv_install: environment
                .text(&env_vars::SKIP_PIP_VENV_INSTALL)
                .map(owned),
            own_token: environment
                .text(&env_vars::AUTH_TOKEN)
                .map(|token| crate::secrets::SecretString::new(token.to_owned())),
            worker_tags: environment
                .words(&env_vars::WORKER_TAGS)
                .unwrap_or_default(),
            caches: self.cache_folders(),
            inside: self.internal_mounts(),
            uses_poetry: self.package_manager()?.kind == PackageManagerKind::Poetry,
            ssh_socket: environment.text(&env_vars::SSH_AUTH_SOCK).map(owned),
            disables_ssh_mount: environment
                .boolean(&env_vars::DISABLE_SSH_MOUNT)?
                .unwrap_or(false)
                || self.is_on("agent.disable_ssh_mount"),
            agent_requirement: environment.text(&env_vars::FORCE_AGENT_REPO).map(owned),
            agent_wheel: environment
                .text(&env_vars::FORCE_LOCAL_AGENT_WHEEL)
                .map(|path| self.expand(path)),
            preprocess_script: lines("agent.docker_preprocess_bash_script").unwrap_or_default(),
            init_script: lines("agent.docker_init_bash_script"),
            extra_shell_script: lines("agent.extra_docker_shell_script").unwrap_or_default(),
            installs_opencv_libs: self
                .origin("agent.docker_install_opencv_libs")
                .is_some_and(|origin| *origin.source() != Source::Defaults)
                && self.is_on("agent.docker_install_opencv_libs"),
            pip_version: self
                .list("agent.package_manager.pip_version")
                .unwrap_or_default(),
            system_site_packages: environment
                .boolean(&env_vars::FORCE_SYSTEM_SITE_PACKAGES)?
                .unwrap_or(true),
            drops_pip_version: environment
                .boolean(&env_vars::STANDALONE_CONFIG_BC)?
                .unwrap_or(false),
            mask: DockerArgumentMask::of(self),
        })
    }

    /// C-061
    fn port_range(&self) -> Result<Option<(u16, u16)>, SettingsError> {
        let key = "agent.docker_args_allowed_port_range";
        let Some(ports) = self.list(key).filter(|ports| !ports.is_empty()) else {
            return Ok(None);
        };
        let port = |text: &String| text.trim().parse::<u16>().ok();
        match ports.as_slice() {
            [first, last] => port(first).zip(port(last)),
            _ => None,
        }
        .filter(|(first, last)| first <= last)
        .map(Some)
        .ok_or_else(|| {
            self.value(key)
                .map_or(SettingsError::NoConfiguration, |value| {
                    wrong_type(key, "a list of the first and the last port", value)
                })
        })
    }

    /// C-072
    pub(super) fn host_mount(&self) -> Result<Option<HostMount>, SettingsError> {
        let Some((variable, text)) = self.environment().named_text(&env_vars::HOST_MOUNT) else {
            return Ok(None);
        };
        match text.split_once(':') {
            Some((host, inside)) if !host.is_empty() && !inside.is_empty() => Ok(Some(HostMount {
                host: host.to_owned(),
                inside: inside.to_owned(),
            })),
            _ => Err(SettingsError::InvalidVariable {
                variable,
                value: text.to_owned(),
                expected: "two folders, `HOST:INSIDE`",
            }),
        }
    }

    fn cache_folders(&self) -> CacheFolders {
        let named = self.environment().text(&env_vars::VENV_CACHE_PATH);
        let venvs = named.map(|path| self.expand(path));
        let vcs_is_kept = self.boolean("agent.vcs_cache.enabled").unwrap_or(true);
        CacheFolders {
            apt: self.path("agent.docker_apt_cache"),
            pip: self.path("agent.docker_pip_cache"),
            poetry: match self.value("agent.docker_poetry_cache") {
                None => Some(self.expand("~/.clearml/poetry-cache")),
                Some(_) => self.path("agent.docker_poetry_cache"),
            },
            pip_download: self.path("agent.pip_download_cache.path"),
            sdk: self.path("sdk.storage.cache.default_base_dir"),
            vcs: self.path("agent.vcs_cache.path").filter(|_| vcs_is_kept),
            venvs: venvs.or_else(|| self.path("agent.venvs_cache.path")),
        }
    }

    fn internal_mounts(&self) -> InternalMounts {
        let place = |name: &str, shipped: &str| {
            self.filled_text(&format!("agent.docker_internal_mounts.{name}"))
                .unwrap_or_else(|| shipped.to_owned())
        };
        let ssh = place("ssh_folder", "~/.ssh");
        // A place in a container has no `~`.
        let beside = match ssh.strip_prefix("~/") {
            Some(rest) => format!("/root/{rest}_ro"),
            None => format!("{}_ro", ssh.trim_end_matches('/')),
        };
        InternalMounts {
            apt: place("apt_cache", "/var/cache/apt/archives"),
            pip: place("pip_cache", "/root/.cache/pip"),
            poetry: place("poetry_cache", "/root/.cache/pypoetry"),
            pip_download: place("pip_download", "/root/.clearml/pip-download-cache"),
            sdk: place("sdk_cache", "/clearml_agent_cache"),
            vcs: place("vcs_cache", "/root/.clearml/vcs-cache"),
            venvs: place("venvs_cache", "/root/.clearml/venvs-cache"),
            venv_build: place("venv_build", "~/.clearml/venvs-builds"),
            ssh_mount: place("ssh_ro_folder", &beside),
            ssh,
        }
    }

    fn name_fields(&self) -> Vec<(String, String)> {
        let fields = self.members("agent.docker_container_name_format_fields");
        fields
            .filter_map(|(name, path)| Some((name.to_owned(), path.to_text()?)))
            .collect()
    }

    fn match_rules(&self) -> Vec<MatchRule> {
        let written_back = self
            .boolean("agent.default_docker.update_back_task")
            .unwrap_or(false);
        match self
            .value("agent.default_docker.match_rules")
            .map(|value| &value.kind)
        {
            Some(Kind::List(rules)) => rules
                .iter()
                .enumerate()
                .filter_map(|(place, rule)| match_rule(place, rule, written_back))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// None for a rule without `match` (C-022).
fn match_rule(place: usize, rule: &Value, written_back: bool) -> Option<MatchRule> {
    let Kind::Object(_) = rule.kind else {
        return None;
    };
    let conditions = rule.member("match").filter(|value| is_given(value))?;
    let text = |name: &str| rule.member(name).and_then(Value::to_text);
    let truth = |name: &str| rule.member(name).and_then(condition);
    let mut found = Vec::new();
    collect_conditions("", conditions, &mut found);
    Some(MatchRule {
        place,
        image: text("image").unwrap_or_default().trim().to_owned(),
        arguments: rule
            .member("arguments")
            .map(|value| joined(value, " "))
            .unwrap_or_default(),
        setup_shell_script: rule
            .member("setup_shell_script")
            .map(|value| joined(value, "\n"))
            .unwrap_or_default(),
        is_forced: truth("force_container_rules").unwrap_or(false),
        is_written_back: truth("update_back_task").unwrap_or(written_back),
        conditions: found,
        text: serde_json::to_string(rule).unwrap_or_default(),
    })
}

/// A list becomes one text.
fn joined(value: &Value, between: &str) -> String {
    match &value.kind {
        Kind::List(items) => {
            let items: Vec<String> = items.iter().filter_map(Value::to_text).collect();
            items.join(between)
        }
        _ => value.to_text().unwrap_or_default(),
    }
}

/// Paths of the members below, dotted; packages are members of `requirements.pip` and `requirements.conda`.
fn collect_conditions(path: &str, value: &Value, found: &mut Vec<Condition>) {
    let Kind::Object(members) = &value.kind else {
        let expressions = match &value.kind {
            Kind::List(items) => items.iter().filter_map(Value::to_text).collect(),
            _ => value.to_text().into_iter().collect::<Vec<_>>(),
        };
        let expressions: Vec<String> = expressions
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        if !expressions.is_empty() {
            found.push(Condition::Text(path.to_owned(), expressions));
        }
        return;
    };
    if let Some(list) = path.strip_prefix("script.requirements.") {
        let versions = |value: &Value| value.to_text().unwrap_or_default();
        let packages = members.iter();
        let packages = packages.map(|(name, value)| (name.clone(), versions(value)));
        let packages: Vec<_> = packages.collect();
        if !packages.is_empty() {
            found.push(Condition::Packages(list.to_owned(), packages));
        }
        return;
    }
    for (name, member) in members.iter().filter(|(_, member)| is_given(member)) {
        let below = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect_conditions(&below, member, found);
    }
}

/// An empty condition counts as none (C-022).
fn is_given(value: &Value) -> bool {
    match &value.kind {
        Kind::Null => false,
        Kind::Text(text) => !text.is_empty(),
        Kind::List(items) => !items.is_empty(),
        Kind::Object(members) => !members.is_empty(),
        _ => true,
    }
}
