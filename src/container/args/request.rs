//! A command line of docker as a request to create a container.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, NetworkingConfig};

use super::values::{duration, pair};
use super::{
    ApiVersion, ArgsError, HostContext, RunCommand, devices, limits, network, security, table,
    volumes,
};
use crate::secrets;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PullPolicy {
    /// Where the engine does not have it.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Not at all.
    Never,
}

/// What the engine is asked for.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// `--name`
    pub name: Option<String>,
    /// `--platform`
    pub platform: Option<String>,
    /// `--pull`
    pub pull: PullPolicy,
    /// `--quiet`: the pull is not shown.
    pub is_quiet: bool,
    /// `--rm`
    pub removes_itself: bool,
    /// `--detach`
    pub is_detached: bool,
    /// `--cidfile`: the file, not there yet, that gets the container's id.
    pub id_file: Option<PathBuf>,
    /// The container, its networks included.
    pub body: ContainerCreateBody,
}

impl RunCommand {
    /// The request that this command line stands for. What this version of the engine's API has no field for fails by
    /// name; so does all that docker's own client would refuse.
    pub fn create_request(
        &self,
        api: ApiVersion,
        host: &HostContext,
    ) -> Result<CreateRequest, ArgsError> {
        self.check(api)?;
        let mut host_config = HostConfig {
            auto_remove: self.switch("rm"),
            container_id_file: self.text("cidfile"),
            ..HostConfig::default()
        };
        limits::fill(self, &mut host_config)?;
        devices::fill(self, api, host, &mut host_config)?;
        security::fill(self, host, &mut host_config)?;
        let volumes = volumes::fill(self, api, host, &mut host_config)?;
        let ports = network::fill(self, &mut host_config)?;
        let (mode, endpoints) = network::networks(self, api)?;
        host_config.network_mode = mode;

        let mut body = ContainerCreateBody {
            image: Some(self.image().to_owned()),
            cmd: Some(self.command().to_vec()).filter(|words| !words.is_empty()),
            entrypoint: self.value("entrypoint").map(|word| vec![word.to_owned()]),
            hostname: self.text("hostname"),
            domainname: self.text("domainname"),
            user: self.text("user"),
            working_dir: self.text("workdir"),
            env: Some(self.variables(host)?).filter(|list| !list.is_empty()),
            labels: Some(self.labels(host)?).filter(|map| !map.is_empty()),
            volumes: Some(volumes).filter(|list| !list.is_empty()),
            exposed_ports: Some(ports).filter(|list| !list.is_empty()),
            tty: self.switch("tty"),
            stop_signal: self.text("stop-signal"),
            stop_timeout: self.number("stop-timeout")?,
            healthcheck: self.health()?,
            host_config: Some(host_config),
            ..ContainerCreateBody::default()
        };
        if !endpoints.is_empty() {
            body.networking_config = Some(NetworkingConfig {
                endpoints_config: Some(endpoints),
            });
        }
        self.streams(&mut body)?;
        let id_file = self.text("cidfile").map(|path| host.folder.join(path));
        if let Some(path) = id_file.as_deref().filter(|path| path.exists()) {
            let path = path.display().to_string();
            return Err(ArgsError::value(
                "cidfile",
                &path,
                "there is such a file already",
            ));
        }
        Ok(CreateRequest {
            name: self.text("name"),
            platform: self.text("platform"),
            pull: self.pull()?,
            is_quiet: self.is_on("quiet"),
            removes_itself: self.is_on("rm"),
            is_detached: self.is_on("detach"),
            id_file,
            body,
        })
    }

    /// What the engine or this program cannot do at all.
    fn check(&self, api: ApiVersion) -> Result<(), ArgsError> {
        if api < ApiVersion::MINIMUM {
            return Err(ArgsError::EngineTooOld(api));
        }
        for flag in table::FLAGS.iter().filter(|flag| self.has(flag.name)) {
            if let Some(needed) = table::since(flag.name) {
                api.needs(needed, format!("the docker flag `--{}`", flag.name))?;
            }
            if let Some(reason) = table::not_carried_out(flag.name) {
                let means_nothing = flag.name == "disable-content-trust" && self.is_on(flag.name)
                    || flag.name == "use-api-socket" && !self.is_on(flag.name);
                if !means_nothing {
                    return Err(ArgsError::NotCarriedOut {
                        flag: flag.name,
                        reason,
                    });
                }
            }
        }
        Ok(())
    }

    /// Variables: of files, of docker's own configuration, of flags. Of the same name in flags, the last one holds.
    fn variables(&self, host: &HostContext) -> Result<Vec<String>, ArgsError> {
        let lookup = |name: &str| host.variables.get(name).cloned();
        let mut all = Vec::new();
        for path in self.values("env-file") {
            all.extend(host.pairs("env-file", path, lookup)?);
        }
        // Those of flags are known from the words themselves.
        for pair in &all {
            secrets::register_assignment(pair);
        }
        let mut own: Vec<(&str, String)> = Vec::new();
        for value in self.values("env") {
            let name = value.split('=').next().unwrap_or_default();
            if name.is_empty() {
                return Err(ArgsError::VariableName);
            }
            let given = match lookup(name) {
                Some(found) if !value.contains('=') => format!("{name}={found}"),
                _ => value.to_owned(),
            };
            own.retain(|(known, _)| *known != name);
            own.push((name, given));
        }
        for (name, value) in &host.proxies {
            if !own.iter().any(|(known, _)| known == name) {
                all.push(format!("{name}={value}"));
            }
        }
        all.extend(own.into_iter().map(|(_, given)| given));
        Ok(all)
    }

    fn labels(&self, host: &HostContext) -> Result<HashMap<String, String>, ArgsError> {
        let mut labels = HashMap::new();
        for path in self.values("label-file") {
            let pairs = host.pairs("label-file", path, |_| None)?;
            labels.extend(pairs.iter().map(|line| pair(line)));
        }
        for value in self.values("label") {
            let (name, set) = pair(value);
            let bare = name.trim_start_matches([' ', '\t']);
            if bare.is_empty() || bare.contains([' ', '\t']) {
                let reason = "it begins with no name, or the name has blanks";
                return Err(ArgsError::value("label", value, reason));
            }
            labels.insert(name, set);
        }
        Ok(labels)
    }

    /// What is attached. Without `--attach` and `--detach`: both outputs, and the input for `--interactive`.
    fn streams(&self, body: &mut ContainerCreateBody) -> Result<(), ArgsError> {
        let mut attached = Vec::new();
        for value in self.values("attach") {
            let stream = value.to_lowercase();
            if !matches!(stream.as_str(), "stdin" | "stdout" | "stderr") {
                let reason = "it is `stdin`, `stdout` or `stderr`";
                return Err(ArgsError::value("attach", value, reason));
            }
            attached.push(stream);
        }
        let is_detached = self.is_on("detach");
        if is_detached && !attached.is_empty() {
            return Err(ArgsError::conflict(
                "`--attach` and `--detach` exclude each other",
            ));
        }
        let is_interactive = self.is_on("interactive");
        let is_attached = |stream: &str| {
            let is_named = attached.iter().any(|name| name == stream);
            let by_default = match stream {
                "stdin" => is_interactive,
                _ => attached.is_empty(),
            };
            !is_detached && (is_named || by_default)
        };
        body.attach_stdin = Some(is_attached("stdin"));
        body.attach_stdout = Some(is_attached("stdout"));
        body.attach_stderr = Some(is_attached("stderr"));
        body.open_stdin = Some(is_interactive);
        body.stdin_once = Some(is_interactive && is_attached("stdin"));
        Ok(())
    }

    fn health(&self) -> Result<Option<HealthConfig>, ArgsError> {
        let time = |flag| {
            let reason = "it is no time such as `30s`, or below zero";
            let read = |text: &str| duration(text).filter(|time| *time >= 0);
            let time = self.read(flag, reason, read)?;
            Ok::<_, ArgsError>(time.filter(|time| *time != 0))
        };
        let reason = "it is no number, or below zero";
        let retries = self.read("health-retries", reason, |text| {
            super::values::integer(text).filter(|count| *count >= 0)
        })?;
        let command = self.text("health-cmd");
        let config = HealthConfig {
            test: command.map(|command| vec!["CMD-SHELL".to_owned(), command]),
            interval: time("health-interval")?,
            timeout: time("health-timeout")?,
            start_period: time("health-start-period")?,
            start_interval: time("health-start-interval")?,
            retries: retries.filter(|count| *count != 0),
        };
        let is_set = config != HealthConfig::default();
        if !self.is_on("no-healthcheck") {
            return Ok(is_set.then_some(config));
        }
        if is_set {
            return Err(ArgsError::conflict(
                "`--no-healthcheck` goes with no other `--health-*`",
            ));
        }
        Ok(Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }))
    }

    fn pull(&self) -> Result<PullPolicy, ArgsError> {
        let reason = "it is `missing`, `always` or `never`";
        let policy = self.read("pull", reason, |text| match text {
            "missing" | "" => Some(PullPolicy::Missing),
            "always" => Some(PullPolicy::Always),
            "never" => Some(PullPolicy::Never),
            _ => None,
        })?;
        Ok(policy.unwrap_or_default())
    }
}
