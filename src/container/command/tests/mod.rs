//! What the recorded command lines do not show.
//!
//! Compiled under `#[cfg(test)]` only.

mod arguments;
mod choice;
mod run;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::{
    ContainerCommand, ContainerFacts, ContainerOptions, ContainerSection, DefaultContainer,
    HostFacts, Launch, Purpose, WantedContainer,
};
use crate::settings::{Environment, Settings};

/// A task and an agent, with what the configuration and the variables say.
struct World {
    options: ContainerOptions,
    facts: ContainerFacts,
    host: HostFacts,
    launch: Launch,
}

fn world(text: &str, variables: &[(&str, &str)]) -> World {
    let environment: Environment = variables.iter().copied().collect();
    let settings = Settings::from_text(text, &environment)
        .unwrap()
        .with_folders(0);
    let container = settings.container().unwrap();
    World {
        options: ContainerOptions {
            default: DefaultContainer::of(&[], &container),
            is_podman: false,
            is_standalone: false,
            visible_devices: Some("none".to_owned()),
            tags: Vec::new(),
            uses_owner_token: false,
            variables: environment,
            configuration: settings,
            settings: container,
        },
        facts: ContainerFacts {
            task: "t1".to_owned(),
            fields: json!({ "id": "t1", "name": "My Exp", "project": "p1", "type": "service", "tags": ["a", "b"] }),
            api_version: (2, 31),
            ..ContainerFacts::default()
        },
        host: HostFacts {
            home: PathBuf::from("/home/user"),
            git_files: Vec::new(),
            has_ssh_folder: false,
            has_closed_ssh_folder: false,
            is_amd: false,
            render_nodes: Vec::new(),
            has_no_gpu: false,
            own_network: None,
            address: Some("10.0.0.1".to_owned()),
            taken_ports: BTreeSet::new,
        },
        launch: Launch {
            worker: "host:0".to_owned(),
            parent: "host:0".to_owned(),
            purpose: Purpose::Task,
            is_service: false,
            random: "abcdefgh".repeat(4),
            configuration: PathBuf::from("/run/clearml.conf"),
            ssh_copy: PathBuf::from("/run/ssh"),
            runner: None,
        },
    }
}

impl World {
    fn asks(mut self, image: &str, arguments: &str) -> Self {
        self.facts.wanted = WantedContainer::Section(ContainerSection {
            image: image.to_owned(),
            arguments: arguments.to_owned(),
            setup_shell_script: String::new(),
        });
        self
    }

    #[track_caller]
    fn command(&self) -> ContainerCommand {
        ContainerCommand::of(&self.options, &self.facts, &self.host, &self.launch).unwrap()
    }

    /// The words of task and administrator: those before the first label.
    #[track_caller]
    fn given(&self) -> String {
        let words = self.command().words;
        let end = words.iter().position(|word| word == "-l").unwrap();
        words[2..end].join(" ")
    }
}

/// `word` and the one behind it.
#[track_caller]
fn behind<'a>(words: &'a [String], word: &str) -> &'a str {
    let place = words.iter().position(|own| own == word);
    &words[place.unwrap_or_else(|| panic!("no {word} in {words:?}")) + 1]
}
