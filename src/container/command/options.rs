//! What holds for all containers of an agent, and its default image (C-001 to C-013).

use crate::settings::{ContainerSettings, Environment, Settings};
use crate::ui::python_literal as python;

/// What holds for all containers of an agent.
#[derive(Clone, Debug)]
pub struct ContainerOptions {
    /// The keys and variables about containers.
    pub settings: ContainerSettings,
    /// For tasks that name no image.
    pub default: DefaultContainer,
    /// `--podman`: its GPUs are named without `device=` (C-087).
    pub is_podman: bool,
    /// `--standalone-mode`
    pub is_standalone: bool,
    /// The GPUs as `NVIDIA_VISIBLE_DEVICES` names them: none where nothing is said; MIG devices with a dot (C-050).
    pub visible_devices: Option<String>,
    /// `--child-report-tags`, or those of the variable (C-090).
    pub tags: Vec<String>,
    /// `--use-owner-token`
    pub uses_owner_token: bool,
    /// The agent's own variables, for words that name them (C-033).
    pub variables: Environment,
    /// The agent's configuration, for templates (C 7.2).
    pub configuration: Settings,
}

/// Image and arguments for tasks that name no image (C-010).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DefaultContainer {
    /// The image.
    pub image: String,
    /// The arguments that go with it.
    pub arguments: Vec<String>,
    /// The command line has named the image: rules do not count (C-025).
    pub is_from_command_line: bool,
}

impl DefaultContainer {
    /// The choice between the words of `--docker` and the settings (C-010 to C-013).
    pub fn of(words: &[String], settings: &ContainerSettings) -> Self {
        let mut words = words.iter().skip_while(|word| unwrapped(word).is_empty());
        let (line, rest) = match words.next() {
            Some(first) => (unwrapped(first).to_owned(), Some(words.cloned().collect())),
            None => (settings.default_image.clone(), None),
        };
        let is_from_command_line = rest.is_some();
        let mut pieces = pieces(&line).into_iter();
        let image = pieces.next().unwrap_or_default();
        let behind: Vec<String> = pieces.collect();
        let arguments = if behind.is_empty() {
            let named = rest.filter(|words: &Vec<String>| !words.is_empty());
            named.unwrap_or_else(|| settings.default_arguments.clone())
        } else {
            behind
        };
        Self {
            image,
            arguments,
            is_from_command_line,
        }
    }

    /// What an agent says of it when it starts (C-004).
    pub fn banner(&self, is_standalone: bool, settings: &ContainerSettings) -> Vec<String> {
        let mode = if is_standalone {
            "Docker *standalone* mode"
        } else {
            "Docker mode"
        };
        let arguments = if self.arguments.is_empty() {
            String::new()
        } else {
            python::list(settings.mask.mask(&self.arguments))
        };
        let image = &self.image;
        let mut lines = vec![format!(
            "Running in {mode} (v19.03 and above) - using default docker image: {image} {arguments} "
        )];
        if self.is_from_command_line {
            lines.push(
                "(default docker commandline override, config matching rules are ignored)"
                    .to_owned(),
            );
        }
        lines
    }
}

/// Without quotes that a script has put around the whole word (C-012a).
fn unwrapped(word: &str) -> &str {
    let word = word.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote))
        .map_or(word, str::trim)
}

/// C-011, C-011a
fn pieces(line: &str) -> Vec<String> {
    shlex::split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect())
}
