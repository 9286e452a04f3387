//! Which container a task gets in a pod: the same choice as for an engine, without the words that only an engine knows (C-615).

use super::arguments::all_flags;
use super::build::pip_specifiers;
use super::choice::Choice;
use super::templates::TextTemplates;
use super::{CommandError, ContainerCommand, ContainerFacts, ContainerOptions, Purpose, WriteBack};
use crate::container::boot::BootScript;

/// The container of a task in a pod.
#[derive(Clone, Debug, Default)]
pub struct PodContainer {
    /// Its image.
    pub image: String,
    /// Variables that the task's arguments set, in their order (C-623).
    pub variables: Vec<(String, String)>,
    /// What happens in it before the task runs.
    pub boot: BootScript,
    /// What the task is told about its container.
    pub write_back: Option<WriteBack>,
    /// The image is pulled although it is there (C-622).
    pub pulls_first: bool,
    /// Lines for the task's console.
    pub lines: Vec<String>,
}

impl PodContainer {
    /// The container for a task; `arguments` are the words of the agent in it.
    pub fn of(
        options: &ContainerOptions,
        facts: &ContainerFacts,
        worker: &str,
        arguments: String,
    ) -> Result<Self, CommandError> {
        let mut lines = Vec::new();
        let choice = Choice::of(options, facts, Purpose::Task, &mut lines)?;
        let templates = TextTemplates {
            settings: &options.configuration,
            facts,
            worker,
        };
        let words: Vec<String> = choice
            .arguments
            .iter()
            .map(|word| templates.text(word).unwrap_or_else(|_| word.clone()))
            .collect();
        lines.extend(choice.lines.iter().cloned());
        let variables = variables(&words, &mut lines);
        let settings = &options.settings;
        let written = |lines: &[String]| -> Vec<String> {
            let lines = lines.iter().filter(|line| !line.trim().is_empty());
            lines.cloned().collect()
        };
        Ok(Self {
            write_back: choice.write_back(&words),
            variables,
            boot: BootScript {
                preprocess: written(&settings.preprocess_script),
                init: settings.init_script.as_deref().map(written),
                installs_opencv_libs: settings.installs_opencv_libs,
                pip_specifiers: pip_specifiers(&settings.pip_version),
                extra_shell: settings.extra_shell_script.join("\n"),
                setup: choice.setup_shell_script,
                needs_no_python: facts.needs_no_python,
                arguments,
                is_standalone: options.is_standalone,
                ..BootScript::default()
            },
            image: choice.image,
            pulls_first: settings.pulls_first,
            lines,
        })
    }

    /// What the server is told of the choice.
    pub fn told(&self) -> ContainerCommand {
        ContainerCommand {
            write_back: self.write_back.clone(),
            ..ContainerCommand::default()
        }
    }
}

/// `-e K=V`, in all its forms; of every other word it is said that it is left out (C-623).
fn variables(words: &[String], lines: &mut Vec<String>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for flag in all_flags(words) {
        let value = flag.value.as_deref().unwrap_or_default();
        match value.split_once('=') {
            Some((name, value)) if flag.name == "env" && !name.is_empty() => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                for word in &words[flag.words.clone()] {
                    lines.push(format!(
                        "skipping docker argument {word} (only -e --env supported)"
                    ));
                }
            }
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-623: also in the forms that the official glue does not understand.
    #[test]
    fn variables_come_through_and_other_arguments_are_named() {
        let words = ["-e", "A=1", "--env=B=2=3", "--ipc=host", "--env", "C"];
        let words: Vec<String> = words.map(str::to_owned).to_vec();
        let mut lines = Vec::new();
        let found = variables(&words, &mut lines);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found, [pair("A", "1"), pair("B", "2=3")]);
        assert_eq!(
            lines,
            [
                "skipping docker argument --ipc=host (only -e --env supported)",
                "skipping docker argument --env (only -e --env supported)",
                "skipping docker argument C (only -e --env supported)",
            ]
        );
    }
}
