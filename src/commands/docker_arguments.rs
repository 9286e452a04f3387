//! A daemon's own arguments for docker, read when it starts: what every task would fail by must not wait for the first one.

use std::path::Path;

use super::{Failed, container};
use crate::container::args::{self, ApiVersion, ArgsError, CreateRequest, HostContext};
use crate::container::command::{
    ContainerCommand, ContainerFacts, ContainerOptions, HostFacts, Launch, Purpose, own_container,
    podman_has_none, rule_words,
};
use crate::monitor::{GpuList, gpu_list};
use crate::settings::{MatchRule, Settings};
use crate::task::RunOptions;
use crate::ui::Printer;

/// What the engine speaks is not known yet, and it may be a newer one tomorrow.
const ANY_ENGINE: ApiVersion = ApiVersion::new(1, 999);
/// A server that knows templates.
const SERVER: (u16, u16) = (2, 20);

/// What can be done about words that have no hint of their own.
const CORRECT: &str = "correct it there, or leave it out";

/// What is wrong with some words, and what a user can do about it.
struct Fault {
    text: String,
    hint: Option<String>,
}

impl From<ArgsError> for Fault {
    fn from(error: ArgsError) -> Self {
        Self {
            text: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// Whose words are wrong.
#[derive(Clone, Copy)]
enum Origin {
    /// Of each container (C-034).
    Extra,
    /// Behind `--docker`.
    CommandLine,
    /// Of tasks without an image of their own.
    Default,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::Extra => "`agent.extra_docker_arguments` or `CLEARML_AGENT_EXTRA_DOCKER_ARGS`",
            Self::CommandLine => "the words behind the image of `--docker`",
            Self::Default => "`agent.default_docker.arguments`",
        }
    }
}

/// Refuses what no container of this daemon can have, and what its command line has wrong; what only tasks without an image
/// would meet is a warning. Nothing is looked at where tasks run on the machine itself.
pub(super) async fn check(
    settings: &Settings,
    run: &RunOptions,
    uses_owner_token: bool,
    printer: Printer,
) -> Result<(), Failed> {
    if run.docker.is_none() {
        return Ok(());
    }
    let look = Look::new(settings, run, uses_owner_token)?;
    look.words(printer)?;
    look.rules(printer);
    if look.lacks_gpus(settings, run).await {
        look.without_gpus(run.gpus.is_some(), printer)?;
    }
    if podman_has_none(&look.options, &look.host) {
        printer.line("NOTICE: no GPU is seen on this machine: podman is asked for none (`--gpus all` asks for them all the same)");
    }
    Ok(())
}

/// What is wrong where the containers of tasks are to get GPUs that this machine does not have, and what can be done.
pub(super) const NO_GPUS: (&str, &str) = (
    "the containers of tasks are to get GPUs (`--gpus`), and this machine has none: the engine will refuse them",
    "start with `--cpu-only`; where the engine has GPUs that are not seen from here, `CLEARML_DOCKER_SKIP_GPUS_FLAG=1` leaves `--gpus` out",
);

/// True where that is so for a daemon with these options, as far as can be told from here.
pub(super) async fn lacks_gpus(settings: &Settings, run: &RunOptions) -> Result<bool, Failed> {
    Ok(Look::new(settings, run, false)?
        .lacks_gpus(settings, run)
        .await)
}

/// What a container of a task that asks for nothing would be.
struct Look {
    options: ContainerOptions,
    host: HostFacts,
    context: HostContext,
}

impl Look {
    fn new(settings: &Settings, run: &RunOptions, uses_owner_token: bool) -> Result<Self, Failed> {
        Ok(Self {
            host: HostFacts::gather(settings.home()),
            context: HostContext {
                is_podman: run.podman,
                ..HostContext::here()
            },
            options: container::container_options(settings, run, uses_owner_token)?,
        })
    }

    /// An engine that is elsewhere, or has started this agent itself, may have others than are seen here.
    async fn lacks_gpus(&self, settings: &Settings, run: &RunOptions) -> bool {
        let is_here = container::engine_source(settings, run)
            .and_then(|source| source.endpoint().ok())
            .is_some_and(|endpoint| !endpoint.is_remote());
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let is_outside =
            own_container(read, None).is_empty() && self.options.settings.host_mount.is_none();
        is_here && is_outside && self.wants_gpus() && !has_gpus().await
    }

    fn words(&self, printer: Printer) -> Result<(), Failed> {
        let options = &self.options;
        let extra = options.settings.extra_arguments.as_slice();
        let default = options.default.arguments.as_slice();
        // Words with an open quote are parted at blanks (C-011a); what is in them may be a secret.
        if default.iter().chain(extra).any(|word| has_open_quote(word)) {
            warn(
                printer,
                "a quote in the agent's container arguments is not closed: they are parted at blanks",
                "close it, or leave it out",
            );
        }
        if self.container(&[], &[]).is_err() {
            // It is not about these words.
            return Ok(());
        }
        let is_typed = default != options.settings.default_arguments;
        let origin = if is_typed {
            Origin::CommandLine
        } else {
            Origin::Default
        };
        let none: &[String] = &[];
        let looks = [
            (none, extra, Origin::Extra),
            (default, none, origin),
            (default, extra, origin),
        ];
        for (default, extra, origin) in looks {
            let Err(Fault { text, hint }) = self.container(default, extra) else {
                continue;
            };
            let text = format!("{text}; it stands in {}", origin.name());
            let hint = hint.unwrap_or_else(|| CORRECT.to_owned());
            if !matches!(origin, Origin::Default) {
                return Err(Failed::message(text, &hint));
            }
            warn(
                printer,
                &format!("{text}: tasks without an image of their own fail"),
                &hint,
            );
            break;
        }
        Ok(())
    }

    /// Those that a task of this daemon may meet; where the server knows no rules, none does (C-021 to C-025).
    fn rules(&self, printer: Printer) {
        let options = &self.options;
        if options.settings.ignores_task || self.container(&[], &[]).is_err() {
            return;
        }
        let is_met = |rule: &&MatchRule| rule.is_forced || !options.default.is_from_command_line;
        for rule in options.settings.match_rules.iter().filter(is_met) {
            let Err(Fault { text, hint }) = self.rule(rule) else {
                continue;
            };
            let hint = hint.unwrap_or_else(|| CORRECT.to_owned());
            warn(
                printer,
                &format!("{text}: tasks with the container of this rule fail"),
                &hint,
            );
        }
    }

    fn rule(&self, rule: &MatchRule) -> Result<(), Fault> {
        let words = rule_words(rule).map_err(|error| Fault {
            text: error.to_string(),
            hint: Some(error.hint().to_owned()),
        })?;
        let extra = self.options.settings.extra_arguments.as_slice();
        for extra in [&[], extra] {
            self.container(&words, extra).map_err(|fault| Fault {
                text: format!("{}; it stands in `{}`", fault.text, rule.arguments_key()),
                ..fault
            })?;
        }
        Ok(())
    }

    /// What the engine would be asked for with these words in the place of those of the settings.
    fn container(&self, default: &[String], extra: &[String]) -> Result<CreateRequest, Fault> {
        for words in [default, extra] {
            flags_alone(words)?;
        }
        let mut options = self.options.clone();
        "image".clone_into(&mut options.default.image);
        options.default.arguments = default.to_vec();
        options.settings.extra_arguments = extra.to_vec();
        let facts = ContainerFacts {
            task: "task".to_owned(),
            api_version: SERVER,
            ..ContainerFacts::default()
        };
        let folder = Path::new("/tmp");
        let launch = Launch {
            worker: "worker".to_owned(),
            parent: "worker".to_owned(),
            purpose: Purpose::Task,
            is_service: false,
            random: Launch::random_text(),
            configuration: folder.join("clearml.conf"),
            ssh_copy: folder.join("ssh"),
            runner: None,
        };
        let Ok(command) = ContainerCommand::of(&options, &facts, &self.host, &launch) else {
            return Ok(CreateRequest::default());
        };
        let parsed = args::parse(&command.words[1..])?;
        // What stands for a template or a variable of the machine is known with the task.
        let is_open = default.iter().chain(extra).any(|word| word.contains('$'));
        match parsed.create_request(ANY_ENGINE, &self.context) {
            Err(_) if is_open => Ok(CreateRequest::default()),
            request => Ok(request?),
        }
    }

    fn wants_gpus(&self) -> bool {
        let options = &self.options;
        let default = &options.default.arguments;
        let request = self.container(default, &options.settings.extra_arguments);
        let host = request.ok().and_then(|request| request.body.host_config);
        let requests = host.and_then(|host| host.device_requests);
        let mut requests = requests.into_iter().flatten();
        requests.any(|request| {
            let mut capabilities = request.capabilities.iter().flatten().flatten();
            capabilities.any(|capability| capability == "gpu")
        })
    }

    /// `is_said`: the command line names GPUs. Without, all are asked for as the official agent does (C-050).
    fn without_gpus(&self, is_said: bool, printer: Printer) -> Result<(), Failed> {
        let options = &self.options;
        let mut words = options
            .default
            .arguments
            .iter()
            .chain(&options.settings.extra_arguments);
        let is_written = words.any(|word| word.starts_with("--gpus"));
        let (text, hint) = NO_GPUS;
        if is_said || is_written {
            return Err(Failed::message(text, hint));
        }
        warn(printer, text, hint);
        Ok(())
    }
}

fn warn(printer: Printer, text: &str, hint: &str) {
    printer.warning(text);
    printer.line(format!("hint: {hint}"));
}

/// Whether a value begins with a quote that does not end in this word.
fn has_open_quote(word: &str) -> bool {
    let value = word.split_once('=').map_or(word, |(_, value)| value);
    let is_quoted = |text: &str| text.starts_with(['"', '\'']);
    (is_quoted(word) || is_quoted(value)) && shlex::split(word).is_none()
}

/// Fails where a value is missing at the end, or a word is no flag's: docker would take what comes next for it.
fn flags_alone(words: &[String]) -> Result<(), Fault> {
    match args::parse(words) {
        Err(ArgsError::ImageMissing) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(run) if run.image().contains('$') => Ok(()),
        Ok(run) => Err(Fault {
            // What is behind the sign may be a secret.
            text: format!(
                "`{}` is neither a flag of docker nor the value of one",
                run.image().split('=').next().unwrap_or_default()
            ),
            hint: None,
        }),
    }
}

/// Whatever speaks for GPUs of NVIDIA, also those whose driver comes with the first container; those of AMD are no business of
/// `--gpus`.
async fn has_gpus() -> bool {
    let traces = [
        "/proc/driver/nvidia",
        "/dev/nvidiactl",
        "/dev/dxg",
        "/etc/nv_tegra_release",
    ];
    traces.iter().any(|path| Path::new(path).exists())
        || is_on_bus(Path::new("/sys/bus/pci/devices"))
        || !matches!(gpu_list().await, GpuList::NoDriver)
}

/// True where a device of NVIDIA is on the bus.
fn is_on_bus(devices: &Path) -> bool {
    const VENDOR: &str = "0x10de";
    let devices = std::fs::read_dir(devices).into_iter().flatten().flatten();
    let mut vendors = devices.map(|device| std::fs::read_to_string(device.path().join("vendor")));
    vendors.any(|vendor| vendor.is_ok_and(|vendor| vendor.trim() == VENDOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-050
    #[test]
    fn a_gpu_without_its_driver_is_one() {
        let bus = tempfile::tempdir().expect("a folder");
        assert!(!is_on_bus(&bus.path().join("none")));
        for (device, vendor, expected) in [("a", "0x1af4\n", false), ("b", "0x10de\n", true)] {
            let device = bus.path().join(device);
            std::fs::create_dir(&device).expect("made");
            std::fs::write(device.join("vendor"), vendor).expect("written");
            assert_eq!(is_on_bus(bus.path()), expected, "{vendor}");
        }
    }
}
