//! Which image a task gets, with which arguments (C 1.2).

use super::arguments::{line, words};
use super::facts::{ContainerFacts, ContainerSection, Purpose, WantedContainer};
use super::options::ContainerOptions;
use super::rules::{self, Ruled};
use super::{CommandError, WriteBack};
use crate::settings::MatchRule;

/// Image, arguments and script of one container, before anything is done to them.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) image: String,
    pub(super) arguments: Vec<String>,
    pub(super) setup_shell_script: String,
    /// The image is not the task's, nor a rule's (C-140).
    pub(super) is_default: bool,
    /// Whether the task is told.
    back: Back,
    /// Lines about the choice.
    pub(super) lines: Vec<String>,
}

/// What is written into the task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Back {
    Nothing,
    Default,
    OldDefault,
    Ruled,
}

impl Choice {
    /// The choice for this task. Warnings about rules are added to `warnings`.
    pub(super) fn of(
        options: &ContainerOptions,
        facts: &ContainerFacts,
        purpose: Purpose,
        warnings: &mut Vec<String>,
    ) -> Result<Self, CommandError> {
        let choice = match purpose {
            Purpose::Build { is_forced, .. } => Self::for_build(options, facts, is_forced)?,
            Purpose::Task | Purpose::Worker => match &facts.wanted {
                WantedContainer::DockerCommand(command) => Self::of_command(options, command)?,
                WantedContainer::Section(section) => {
                    Self::of_section(options, facts, section, warnings)?
                }
            },
        };
        if choice.image.is_empty() {
            return Err(CommandError::NoImage);
        }
        Ok(choice)
    }

    fn default(options: &ContainerOptions, setup_shell_script: &str, back: Back) -> Self {
        Self {
            image: options.default.image.clone(),
            arguments: options.default.arguments.clone(),
            setup_shell_script: setup_shell_script.to_owned(),
            is_default: true,
            back,
            lines: Vec::new(),
        }
    }

    /// C-014 to C-018, C-023, C-025
    fn of_section(
        options: &ContainerOptions,
        facts: &ContainerFacts,
        section: &ContainerSection,
        warnings: &mut Vec<String>,
    ) -> Result<Self, CommandError> {
        if options.settings.ignores_task {
            return Ok(Self::default(
                options,
                &section.setup_shell_script,
                Back::Nothing,
            ));
        }
        let mut lines = Vec::new();
        let mut is_ruled_back = false;
        let mut key = None;
        let mut wanted = section.clone();
        let rules = &options.settings.match_rules;
        let is_line = options.default.is_from_command_line;
        if !rules.is_empty() && facts.is_advanced && facts.api_version >= (2, 13) {
            if is_line && !section.image.trim().is_empty() {
                lines.push(
                    "INFO: default docker command line override, ignoring default docker container match rules"
                        .to_owned(),
                );
            } else if let Some(Ruled {
                section,
                arguments_key,
                is_written_back,
                lines: said,
            }) = rules::ruled(rules, facts, section, is_line, warnings)
            {
                is_ruled_back = is_written_back && section != wanted;
                wanted = section;
                key = arguments_key;
                lines.extend(said);
            }
        }
        let own = match key {
            Some(key) => ruled_words(&wanted.arguments, key)?,
            None => split(&wanted.arguments)?,
        };
        let image = wanted.image.trim();
        let script = &wanted.setup_shell_script;
        let mut choice = if image.is_empty() {
            let mut choice = Self::default(options, script, Back::Default);
            choice.arguments.extend(own);
            choice
        } else {
            Self {
                image: image.to_owned(),
                arguments: own,
                setup_shell_script: script.clone(),
                is_default: false,
                back: if is_ruled_back {
                    Back::Ruled
                } else {
                    Back::Nothing
                },
                lines: Vec::new(),
            }
        };
        choice.lines = lines;
        Ok(choice)
    }

    /// C-018, C-019
    fn of_command(options: &ContainerOptions, command: &str) -> Result<Self, CommandError> {
        if options.settings.ignores_task {
            return Ok(Self::default(options, "", Back::Nothing));
        }
        let mut words = split(command)?.into_iter();
        Ok(match words.next() {
            None => Self::default(options, "", Back::OldDefault),
            Some(image) => Self {
                image,
                arguments: words.collect(),
                setup_shell_script: String::new(),
                is_default: false,
                back: Back::Nothing,
                lines: Vec::new(),
            },
        })
    }

    /// C-400
    fn for_build(
        options: &ContainerOptions,
        facts: &ContainerFacts,
        is_forced: bool,
    ) -> Result<Self, CommandError> {
        let mut choice = Self::default(options, "", Back::Nothing);
        let image = |choice: &Self| choice.image.clone();
        if is_forced {
            choice.lines.push(format!(
                "Ignoring any task container info, using docker image {}",
                image(&choice)
            ));
            return Ok(choice);
        }
        if options.settings.ignores_task {
            return Ok(choice);
        }
        let (wanted, arguments, script) = match &facts.wanted {
            WantedContainer::Section(section) => (
                section.image.trim().to_owned(),
                split(&section.arguments)?,
                section.setup_shell_script.clone(),
            ),
            WantedContainer::DockerCommand(command) => {
                let mut words = split(command)?.into_iter();
                let image = words.next().unwrap_or_default();
                (image, words.collect(), String::new())
            }
        };
        if wanted.is_empty() {
            choice.arguments.extend(arguments);
            choice.setup_shell_script = script;
            return Ok(choice);
        }
        Ok(Self {
            lines: vec![format!(
                "Ignoring default docker image, using task docker image {wanted}"
            )],
            image: wanted,
            arguments,
            setup_shell_script: script,
            is_default: false,
            back: Back::Nothing,
        })
    }

    /// What the task is told, with the templates of its arguments resolved (C-020, C-024).
    pub(super) fn write_back(&self, arguments: &[String]) -> Option<WriteBack> {
        let section = || ContainerSection {
            image: self.image.clone(),
            arguments: line(arguments),
            setup_shell_script: self.setup_shell_script.clone(),
        };
        match self.back {
            Back::Nothing => None,
            Back::Default => Some(WriteBack::Section(section())),
            Back::Ruled => Some(WriteBack::ByRule(section())),
            Back::OldDefault => {
                let command = format!("{} {}", self.image, line(arguments));
                Some(WriteBack::DockerCommand(command.trim_end().to_owned()))
            }
        }
    }
}

/// The words of a rule's arguments (C-023).
pub fn rule_words(rule: &MatchRule) -> Result<Vec<String>, CommandError> {
    ruled_words(&rule.arguments, rule.arguments_key())
}

fn ruled_words(arguments: &str, key: String) -> Result<Vec<String>, CommandError> {
    words(arguments).map_err(|behind| CommandError::OpenQuoteOfRule {
        key,
        behind: last_name(&behind),
    })
}

/// The words of a task's arguments (C-014, C-016).
fn split(arguments: &str) -> Result<Vec<String>, CommandError> {
    words(arguments).map_err(|behind| CommandError::OpenQuote(last_name(&behind)))
}

/// The last word, without what may be a secret in it: a name is enough to find the place.
fn last_name(line: &str) -> String {
    let word = line.split_whitespace().next_back();
    let name = word.unwrap_or_default();
    name.split('=').next().unwrap_or_default().to_owned()
}
