//! Asks the server what the container of a task depends on, and tells it what was chosen.

use serde_json::Value;

use super::definition::Definition;
use super::prepare::Preparation;
use super::server::TaskServer;
use crate::api::{ApiError, ApiVersion, Container, QueueId, Task};
use crate::container::command::{
    ContainerCommand, ContainerFacts, ContainerOptions, ContainerSection, WantedContainer,
    WriteBack, mentions,
};
use crate::settings::{VaultDocument, merged_vaults};

/// The first version of the API with a section `container` (C-014).
const SECTIONS: ApiVersion = ApiVersion {
    major: 2,
    minor: 13,
};
/// The first version that has all that templates and vaults need (C-036).
const TEMPLATES: ApiVersion = ApiVersion {
    major: 2,
    minor: 20,
};

/// What the server says of the task, as far as its container goes; `queue` is the one it was taken from. Only what the
/// words of task and settings need is asked for. The lines are for the agent's own log.
pub async fn container_facts(
    server: &TaskServer,
    options: &ContainerOptions,
    queue: Option<&QueueId>,
) -> Result<(ContainerFacts, Vec<String>), ApiError> {
    let session = server.session();
    let claims = session.claims().await?;
    let id = server.task();
    let tasks = session.tasks();
    let mut lines = Vec::new();
    let mut facts = ContainerFacts {
        task: id.to_string(),
        api_version: (claims.api_version.major, claims.api_version.minor),
        is_advanced: claims.feature_set == "advanced",
        ..ContainerFacts::default()
    };
    let is_new = claims.api_version >= SECTIONS;
    let task = if is_new {
        tasks.contained(id).await?.unwrap_or_default()
    } else {
        tasks.by_id(id).await?
    };
    facts.wanted = if is_new {
        WantedContainer::Section(section(task.container.clone()))
    } else {
        WantedContainer::DockerCommand(task.execution.docker_cmd.clone().unwrap_or_default())
    };
    facts.needs_no_python = needs_no_python(task);
    let wish = Wish::of(options, &facts);
    if wish.fields {
        facts.fields = if is_new {
            tasks.document(id).await?.unwrap_or_default()
        } else {
            serde_json::to_value(tasks.by_id(id).await?).unwrap_or_default()
        };
    }
    if let Some(project) = facts.fields.get("project").and_then(Value::as_str)
        && wish.project
        && let Ok(project) = project.parse()
    {
        facts.project_name = session.projects().name(&project).await?;
    }
    if let Some(queue) = queue {
        let name = if wish.queue {
            session.queues().by_id(queue).await?.name
        } else {
            None
        };
        facts.queue = Some((queue.to_string(), name));
    }
    if wish.user {
        facts.user = Some(Value::Object(session.users().current().await?.all));
    }
    if options.uses_owner_token && facts.is_advanced && claims.api_version >= TEMPLATES {
        // The session is the owner's.
        let vaults = session.users().vaults().await?;
        let documents: Vec<VaultDocument> = vaults
            .into_iter()
            .map(|vault| VaultDocument {
                name: vault.id,
                text: vault.data,
            })
            .collect();
        let (vault, notices) = merged_vaults(&documents, &options.variables);
        facts.owner_vault = Some(vault);
        lines.extend(notices);
    }
    Ok((facts, lines))
}

/// Tells the server of the choice and of the ports (C-020, C-024, C-063). An error changes nothing for the task (C-020):
/// it is a line for the agent's own log.
pub async fn tell_container(server: &TaskServer, command: &ContainerCommand) -> Vec<String> {
    let tasks = server.session().tasks();
    let id = server.task();
    let told = match &command.write_back {
        None => Ok(()),
        Some(WriteBack::Section(section) | WriteBack::ByRule(section)) => {
            let container = Container {
                image: Some(section.image.clone()),
                arguments: Some(section.arguments.clone()),
                setup_shell_script: Some(section.setup_shell_script.clone()),
            };
            tasks.edit_container(id, &container).await.map(drop)
        }
        Some(WriteBack::DockerCommand(command)) => {
            tasks.edit_docker_command(id, command).await.map(drop)
        }
    };
    let runtime = command.runtime.iter();
    let runtime = runtime.map(|(name, value)| (name.clone(), Value::from(value.clone())));
    let ports = if command.runtime.is_empty() {
        Ok(())
    } else {
        server.add_to_runtime(runtime).await
    };
    [(told, "container"), (ports, "ports")]
        .into_iter()
        .filter_map(|(told, what)| {
            let error = told.err()?;
            Some(format!("could not write the {what} into the task: {error}"))
        })
        .collect()
}

/// E-232; what cannot be read is for who prepares the task.
fn needs_no_python(task: Task) -> bool {
    Definition::try_from(task).is_ok_and(|definition| {
        let request = Preparation::python_request(&definition, &definition.code);
        definition.environment_mode.is_none() && request.needs_no_python()
    })
}

fn section(container: Container) -> ContainerSection {
    ContainerSection {
        image: container.image.unwrap_or_default(),
        arguments: container.arguments.unwrap_or_default(),
        setup_shell_script: container.setup_shell_script.unwrap_or_default(),
    }
}

/// What the words of a container need beside the task's own section.
#[expect(clippy::struct_excessive_bools, reason = "each is a call of its own")]
struct Wish {
    fields: bool,
    project: bool,
    queue: bool,
    user: bool,
}

impl Wish {
    fn of(options: &ContainerOptions, facts: &ContainerFacts) -> Self {
        let settings = &options.settings;
        let own = match &facts.wanted {
            WantedContainer::Section(section) => vec![&section.image, &section.arguments],
            WantedContainer::DockerCommand(command) => vec![command],
        };
        let has_rules = facts.is_advanced && !settings.match_rules.is_empty();
        let rules = settings.match_rules.iter().filter(|_| has_rules);
        let rules = rules.flat_map(|rule| [&rule.image, &rule.arguments]);
        let default = std::iter::once(&options.default.image);
        let words: Vec<&str> = default
            .chain(&options.default.arguments)
            .chain(&settings.extra_arguments)
            .chain(rules)
            .chain(own)
            .map(String::as_str)
            .collect();
        let has = |name: &str| words.iter().any(|word| mentions(word, name));
        let project = has("PROJECT") || has_rules;
        Self {
            fields: project
                || has("TASK")
                || !settings.name_fields.is_empty()
                || settings.restart.is_some(),
            project,
            queue: has("QUEUE"),
            user: has("USER"),
        }
    }
}
