//! Puts the command of a container together (C-030, C-130).

use serde_json::Value;

use super::choice::Choice;
use super::mounts::Mounts;
use super::templates::Templates;
use super::{CommandError, ContainerCommand, WriteBack};
use super::{ContainerFacts, ContainerOptions, HostFacts, Launch, Purpose};
use super::{arguments, gpus, name, ports, restart};
use crate::container::args::GivenFlag;
use crate::container::boot::{BootScript, InnerAgent, RUNNER};
use crate::settings::DockerArgumentMask;
use crate::ui::python_literal as python;

/// What a task's runtime says of its ports (C-063).
const PORTS: &str = "_external_host_tcp_port_mapping";

impl ContainerCommand {
    /// The container for a task (C-030, C-130).
    pub fn of(
        options: &ContainerOptions,
        facts: &ContainerFacts,
        host: &HostFacts,
        launch: &Launch,
    ) -> Result<Self, CommandError> {
        let mut warnings = Vec::new();
        let choice = Choice::of(options, facts, launch.purpose, &mut warnings)?;
        Ok(Assembly {
            options,
            facts,
            host,
            launch,
            choice,
            warnings,
        }
        .assemble())
    }
}

impl ContainerCommand {
    /// The words for an image that has this shell and no bash (C-207).
    pub fn words_for(&self, shell: &str) -> Vec<String> {
        let mut words = self.words.clone();
        if let [.., named, _, script] = words.as_mut_slice() {
            shell.clone_into(named);
            *script = self.boot.text(shell);
        }
        words
    }
}

/// What a command is put together from.
struct Assembly<'a> {
    options: &'a ContainerOptions,
    facts: &'a ContainerFacts,
    host: &'a HostFacts,
    launch: &'a Launch,
    choice: Choice,
    warnings: Vec<String>,
}

/// The words of task and administrator in one list.
struct Arguments {
    words: Vec<String>,
    /// Lines about what was left out.
    lines: Vec<String>,
    runtime: Vec<(String, String)>,
}

impl Assembly<'_> {
    fn assemble(mut self) -> ContainerCommand {
        let settings = &self.options.settings;
        let templates = Templates {
            options: self.options,
            facts: self.facts,
            launch: self.launch,
        };
        let mut warnings = std::mem::take(&mut self.warnings);
        let own = templates.resolve(&self.choice.arguments, &mut warnings);
        let write_back = self.choice.write_back(&own);
        let arguments = self.arguments(own, &mut warnings);
        let (gpus, visible) = gpus::gpus(self.options, self.host);
        let restart = match &settings.restart {
            Some(text) => restart::restart(text, self.facts, self.launch),
            None => Ok(None),
        };
        let restart = restart.unwrap_or_else(|warning| {
            warnings.push(warning);
            None
        });
        let agent = self.inner_agent();
        let is_python = matches!(agent, InnerAgent::Python(_));
        let mounts = Mounts::of(self.options, self.host, self.launch, is_python);
        let mut words: Vec<String> = ["run", "-t"].map(str::to_owned).to_vec();
        if let Some(policy) = &restart {
            words.extend(["--restart".to_owned(), policy.clone()]);
        }
        words.extend(gpus);
        words.extend(arguments.words);
        self.push_labels(&mut words);
        self.push_surroundings(&mut words, &visible);
        self.push_variables(&mut words);
        words.extend(mounts.before_name.iter().cloned());
        if !self.launch.purpose.is_build() {
            match name::name(settings, self.facts, self.launch) {
                None => {}
                Some(Ok(name)) => words.extend(["--name".to_owned(), name]),
                Some(Err(warning)) => warnings.push(warning),
            }
        }
        words.extend(mounts.after_name.iter().cloned());
        if restart.is_none() {
            words.push("--rm".to_owned());
        }
        words.push(self.choice.image.clone());
        let mut words = templates.resolve(&words, &mut warnings);
        let boot = self.boot(&mounts, agent, visible);
        let image = words.last().cloned().unwrap_or_default();
        words.extend(["bash", "-c"].map(str::to_owned));
        let mut shown = settings.mask.mask(&words);
        words.push(boot.text("bash"));
        // What is in quotes there is masked before it gets into them.
        shown.push(masked(&boot, &settings.mask).text("bash"));
        let console = self.console(arguments.lines, &shown, write_back.as_ref());
        ContainerCommand {
            image,
            words,
            shown,
            boot,
            write_back,
            runtime: arguments.runtime,
            console,
            warnings,
            restart,
            pulls_first: settings.pulls_first,
            folders: mounts.folders,
            configuration: mounts.configuration,
            copies: mounts.copies,
        }
    }

    /// C-030, steps 2 to 7
    fn arguments(&self, own: Vec<String>, warnings: &mut Vec<String>) -> Arguments {
        let settings = &self.options.settings;
        let variables = &self.options.variables;
        let (patterns, bad) = arguments::patterns(&settings.filters);
        let bad = bad.into_iter();
        warnings.extend(bad.map(|text| {
            format!("Failed parsing regular expression \"{text}\" in agent.docker_args_filters")
        }));
        let own = if settings.filters.is_empty() {
            own
        } else {
            arguments::allowed(own, &patterns)
        };
        let own = if settings.expands_host_variables {
            arguments::with_host_variables(own, variables)
        } else {
            own
        };
        let mut extra = settings.extra_arguments.clone();
        if let Some(socket) = &settings.ssh_socket {
            extra.extend([
                "-v".to_owned(),
                format!("{socket}:{socket}"),
                "-e".to_owned(),
                format!("SSH_AUTH_SOCK={socket}"),
            ]);
        }
        let mut extra = arguments::with_host_variables(extra, variables);
        self.push_vault_environment(&mut extra, warnings);
        let mut lines = Vec::new();
        let (own, extra) = self.unblocked(&own, &extra, &mut lines);
        if let Some(flag) = arguments::without_value(&own) {
            lines.push(format!(
                "WARNING: the container arguments end with `{flag}`, which needs a value: docker takes the next word for it"
            ));
        }
        let (words, dropped) = if settings.extra_comes_first {
            arguments::merged(extra, &own, &settings.protected)
        } else {
            arguments::merged(own, &extra, &settings.protected)
        };
        if !dropped.is_empty() {
            let (kept, left_out) = if settings.extra_comes_first {
                ("agent", "task")
            } else {
                ("task", "agent")
            };
            lines.push(format!(
                "NOTICE: docker argument(s) {} of the {left_out} are left out: those of the {kept} hold (agent.protected_docker_extra_args)",
                dropped.join(", ")
            ));
        }
        self.published(words, lines)
    }

    /// Without what nobody may give, and what no task can use (C-037, C-043).
    fn unblocked(
        &self,
        own: &[String],
        extra: &[String],
        lines: &mut Vec<String>,
    ) -> (Vec<String>, Vec<String>) {
        let forbidden = &self.options.settings.forbidden;
        let is_forbidden = |flag: &GivenFlag| {
            let name = forbidden
                .iter()
                .map(|name| name.trim_start_matches('-'))
                .find(|name| *name == flag.name || *name == flag.written)?;
            Some(name.to_owned())
        };
        let (own, mut found) = arguments::removed(own, &is_forbidden);
        let (extra, more) = arguments::removed(extra, &is_forbidden);
        found.extend(more);
        if !found.is_empty() {
            let names: Vec<String> = found.iter().map(|name| format!("--{name}")).collect();
            let names = names.join(", ");
            lines.push(format!(
                "clearml-agent: ignoring docker argument(s) {names}; they would override the agent startup script and prevent the task from running"
            ));
        }
        let is_terminal = |flag: &GivenFlag| {
            (flag.name == "interactive" && flag.is_on()).then(|| flag.written.clone())
        };
        let (own, mut found) = arguments::removed(&own, &is_terminal);
        let (extra, more) = arguments::removed(&extra, &is_terminal);
        found.extend(more);
        if !found.is_empty() {
            lines.push(
                "clearml-agent: ignoring docker argument(s) --interactive; nobody can type into the container of a task"
                    .to_owned(),
            );
        }
        (own, extra)
    }

    /// C-036
    fn push_vault_environment(&self, extra: &mut Vec<String>, warnings: &mut Vec<String>) {
        let Some(vault) = &self.facts.owner_vault else {
            return;
        };
        let is_wanted = self.options.settings.applies_vault_environment
            && self.options.uses_owner_token
            && self.facts.is_advanced
            && self.facts.api_version >= (2, 20)
            && vault.pointer("/agent/apply_environment") != Some(&Value::Bool(false))
            && vault.get("apply_environment") != Some(&Value::Bool(false));
        let Some(Value::Object(members)) = vault.get("environment").filter(|_| is_wanted) else {
            return;
        };
        for (name, value) in members {
            if name.trim().is_empty() {
                warnings.push("Warning: a variable of the vault has no name".to_owned());
                continue;
            }
            let value = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            extra.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
    }

    /// C-060 to C-064
    fn published(&self, words: Vec<String>, mut lines: Vec<String>) -> Arguments {
        let settings = &self.options.settings;
        let Some(published) = ports::publish(&words, settings.port_range, self.host.taken_ports)
        else {
            return Arguments {
                words,
                lines,
                runtime: Vec::new(),
            };
        };
        lines.extend(published.moved);
        let mut words = published.words;
        let address = settings
            .host_address
            .as_ref()
            .or(self.host.address.as_ref());
        if let Some(address) = address {
            push_variable(&mut words, "CLEARML_AGENT_HOST_IP", address);
        }
        let mapping = Some(published.mapping).filter(|pairs| !pairs.is_empty());
        Arguments {
            words,
            lines,
            runtime: mapping
                .map(|pairs| (PORTS.to_owned(), pairs.join(",")))
                .into_iter()
                .collect(),
        }
    }

    /// C-080
    fn push_labels(&self, words: &mut Vec<String>) {
        let own = [
            format!("clearml-worker-id={}", self.launch.worker),
            format!("clearml-parent-worker-id={}", self.launch.parent),
        ];
        let labels = own.iter().chain(&self.options.settings.labels);
        words.extend(labels.flat_map(|label| ["-l".to_owned(), label.clone()]));
    }

    /// C-070
    fn push_surroundings(&self, words: &mut Vec<String>, visible: &str) {
        let settings = &self.options.settings;
        if settings.host_mount.is_none() && !settings.is_in_cluster {
            return;
        }
        let has_network = arguments::all_flags(&words[1..])
            .iter()
            .any(|flag| flag.name == "network");
        let own = self.host.own_network.as_ref();
        if let Some(network) = own.filter(|network| !has_network && !network.is_empty()) {
            words.extend(["--network".to_owned(), network.clone()]);
        }
        push_variable(words, "NVIDIA_VISIBLE_DEVICES", visible);
    }

    /// C-090
    fn push_variables(&self, words: &mut Vec<String>) {
        let settings = &self.options.settings;
        push_variable(words, "CLEARML_WORKER_ID", &self.launch.worker);
        push_variable(words, "CLEARML_DOCKER_IMAGE", &self.choice.image);
        if !self.launch.purpose.is_build() {
            push_variable(words, "CLEARML_TASK_ID", &self.facts.task);
        }
        let token = self.facts.owner_token.as_ref();
        if let Some(token) = token.or(settings.own_token.as_ref()) {
            push_variable(words, "CLEARML_AUTH_TOKEN", token.expose());
        }
        if !self.options.tags.is_empty() {
            push_variable(
                words,
                "CLEARML_WORKER_TAGS",
                &arguments::line(&self.options.tags),
            );
        }
        if let Some(value) = &settings.skip_venv_install {
            push_variable(words, "CLEARML_AGENT_SKIP_PIP_VENV_INSTALL", value);
        }
        if self.launch.purpose == Purpose::Worker {
            push_variable(words, "CLEARML_AGENT_SERVICE_TASK", "1");
        }
    }

    /// C-201
    fn inner_agent(&self) -> InnerAgent {
        let settings = &self.options.settings;
        let wheel = settings.agent_wheel.as_ref();
        let wheel = wheel.and_then(|wheel| wheel.file_name());
        match (wheel, &settings.agent_requirement) {
            (Some(name), _) => InnerAgent::Python(format!("\"/tmp/{}\"", name.to_string_lossy())),
            (None, Some(requirement)) => InnerAgent::Python(requirement.clone()),
            (None, None) => InnerAgent::Runner(RUNNER.to_owned()),
        }
    }

    fn boot(&self, mounts: &Mounts, agent: InnerAgent, visible_devices: String) -> BootScript {
        let settings = &self.options.settings;
        let inside = &settings.inside;
        let pip_specifiers = pip_specifiers(&settings.pip_version);
        let requirement = match &agent {
            InnerAgent::Python(requirement) => requirement.clone(),
            InnerAgent::Runner(_) => "clearml-agent".to_owned(),
        };
        let quoted: Vec<String> = pip_specifiers
            .iter()
            .map(|specifier| format!("\"{specifier}\""))
            .collect();
        let quoted = quoted.join(" ");
        let git = inside.git_mount();
        let placeholders = [
            ("{python_single_digit}", "python3"),
            ("{python}", "python3"),
            ("{mount_ssh}", inside.ssh.as_str()),
            ("{mount_ssh_ro}", &inside.ssh_mount),
            ("{mount_git_ro}", &git),
            ("{pip_version}", &quoted),
            ("{clearml_agent_wheel}", &requirement),
        ];
        let lines = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter().filter(|line| !line.trim().is_empty());
            lines
                .map(|line| {
                    placeholders
                        .iter()
                        .fold(line.clone(), |line, (name, text)| line.replace(name, text))
                })
                .collect()
        };
        BootScript {
            preprocess: lines(&settings.preprocess_script),
            init: settings.init_script.as_deref().map(lines),
            ssh: mounts
                .has_ssh
                .then(|| (inside.ssh_mount.clone(), inside.ssh.clone())),
            git: mounts.has_git.then(|| git.clone()),
            installs_opencv_libs: settings.installs_opencv_libs,
            extra_shell: settings.extra_shell_script.join("\n"),
            setup: self.choice.setup_shell_script.clone(),
            needs_no_python: self.facts.needs_no_python,
            agent,
            visible_devices,
            arguments: self.inner_arguments(),
            is_standalone: self.options.is_standalone,
            forgets: matches!(self.launch.purpose, Purpose::Build { forgets: true, .. }),
            pip_specifiers,
        }
    }

    /// C-200, C-403
    fn inner_arguments(&self) -> String {
        let task = &self.facts.task;
        let standalone = if self.options.is_standalone {
            "--standalone-mode"
        } else {
            ""
        };
        match self.launch.purpose {
            Purpose::Task => format!("execute --disable-monitoring {standalone} --id {task}"),
            Purpose::Worker => format!("execute --full-monitoring {standalone} --id {task}"),
            Purpose::Build { .. } => format!("build --id {task} --install-globally"),
        }
    }

    /// C-140, C-402
    fn console(
        &self,
        about_arguments: Vec<String>,
        shown: &[String],
        write_back: Option<&WriteBack>,
    ) -> Vec<String> {
        let choice = &self.choice;
        let mask = &self.options.settings.mask;
        let task = &self.facts.task;
        let arguments = mask.mask(&choice.arguments);
        let script = mask.mask_text(&choice.setup_shell_script);
        let image = &choice.image;
        let mut lines = choice.lines.clone();
        if matches!(write_back, Some(WriteBack::ByRule(_))) {
            lines.push("INFO: Updating the Task with the selected container with rule".to_owned());
        }
        if self.launch.purpose.is_build() {
            let arguments = python::list(arguments);
            lines.push(format!(
                "Building Task {task} inside docker image: {image} {arguments} setup_script={script}"
            ));
            lines.extend(about_arguments);
            return lines;
        }
        let default = if choice.is_default { "default " } else { "" };
        let arguments = python::list(arguments);
        let setup = if script.is_empty() {
            String::new()
        } else {
            format!("\ncustom_setup_bash_script:\n{script}")
        };
        lines.push(format!(
            "Running Task {task} inside {default}docker: {image} arguments: {arguments}{setup}"
        ));
        lines.extend(about_arguments);
        let words = std::iter::once("docker").chain(shown.iter().map(String::as_str));
        lines.push(format!("Executing: {}", python::list(words)));
        lines
    }
}

/// The same for people.
fn masked(boot: &BootScript, mask: &DockerArgumentMask) -> BootScript {
    let lines = |lines: &Vec<String>| lines.iter().map(|line| mask.mask_text(line)).collect();
    BootScript {
        preprocess: lines(&boot.preprocess),
        init: boot.init.as_ref().map(lines),
        extra_shell: mask.mask_text(&boot.extra_shell),
        setup: mask.mask_text(&boot.setup),
        agent: match &boot.agent {
            InnerAgent::Python(requirement) => InnerAgent::Python(mask.mask_text(requirement)),
            runner @ InnerAgent::Runner(_) => runner.clone(),
        },
        ..boot.clone()
    }
}

/// Requirements of pip with its name: a bare version is that one (C 2.1, step 15).
pub(super) fn pip_specifiers(versions: &[String]) -> Vec<String> {
    let specifier = |version: &String| {
        let version = version.trim();
        if version.starts_with("pip") {
            version.to_owned()
        } else if version.starts_with(|c: char| c.is_ascii_digit()) {
            format!("pip=={version}")
        } else {
            format!("pip{version}")
        }
    };
    if versions.is_empty() {
        vec!["pip".to_owned()]
    } else {
        versions.iter().map(specifier).collect()
    }
}

fn push_variable(words: &mut Vec<String>, name: &str, value: &str) {
    words.extend(["-e".to_owned(), format!("{name}={value}")]);
}
