//! A task as the agent needs it: parsed once, not validated later.

use crate::api;
use crate::python::TaskRequirements;
use crate::secrets::{register_assignments, register_url_passwords, register_variable};
use crate::source::CodeRequest;

/// What a task asks for.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its code, with the fields as the server gave them.
    pub code: CodeRequest,
    /// Its packages.
    pub requirements: TaskRequirements,
    /// Image and arguments of its container, for messages and cache keys (E-021).
    pub docker_cmd: String,
    /// Section `Environment` of its hyper-parameters (E-260).
    pub environment: Vec<(String, String)>,
    /// The user property `environment`: `existing` or `build` beats the agent's own idea.
    pub environment_mode: Option<String>,
}

/// Why a task cannot be run at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DefinitionError {
    /// E-016
    #[error("Could not parse task execution info: can not run task without script information")]
    NoScript,
}

/// Makes the secrets in the task's own fields known to the masker: passwords in URLs, variables that look like secrets.
pub(super) fn register_secrets(task: &api::Task) {
    let script = task.script.iter();
    let fields =
        script.flat_map(|script| [&script.repository, &script.binary, &script.entry_point]);
    for text in fields.flatten() {
        register_url_passwords(text);
    }
    let requirements = task.script.as_ref().map(|script| &script.requirements);
    let requirements = serde_json::to_value(requirements).unwrap_or_default();
    register_below(&requirements);
    let arguments = [&task.execution.docker_cmd, &task.container.arguments];
    for text in arguments.into_iter().flatten() {
        register_url_passwords(text);
        register_assignments(text);
    }
    let setup = task.container.setup_shell_script.as_deref();
    for line in setup.unwrap_or_default().lines() {
        register_url_passwords(line);
        register_assignments(line);
    }
    for (name, parameter) in task.hyperparams.get("Environment").into_iter().flatten() {
        register_variable(name, parameter.value.as_deref().unwrap_or_default());
    }
}

fn register_below(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => register_url_passwords(text),
        serde_json::Value::Array(items) => items.iter().for_each(register_below),
        serde_json::Value::Object(members) => members.values().for_each(register_below),
        _ => {}
    }
}

/// E-021: a server may tell of the container in the form of its old ones, or not.
fn docker_cmd(old: Option<&str>, container: &api::Container) -> String {
    let words = |text: Option<&str>| text.unwrap_or_default().trim().to_owned();
    let old = words(old);
    let image = words(container.image.as_deref());
    if !old.is_empty() || image.is_empty() {
        return old;
    }
    let arguments = words(container.arguments.as_deref());
    format!("{image} {arguments}").trim_end().to_owned()
}

impl TryFrom<api::Task> for Definition {
    type Error = DefinitionError;

    fn try_from(task: api::Task) -> Result<Self, DefinitionError> {
        register_secrets(&task);
        let script = task.script.ok_or(DefinitionError::NoScript)?;
        let lists = serde_json::to_value(&script.requirements).unwrap_or_default();
        let docker_cmd = docker_cmd(task.execution.docker_cmd.as_deref(), &task.container);
        let mode = task.hyperparams.get("properties");
        let mode = mode.and_then(|section| section.get("environment")?.value.clone());
        let environment = task.hyperparams.get("Environment").into_iter().flatten();
        Ok(Self {
            code: CodeRequest {
                repository: script.repository.unwrap_or_default(),
                branch: script.branch.unwrap_or_default(),
                tag: script.tag.unwrap_or_default(),
                version_num: script.version_num.unwrap_or_default(),
                diff: script.diff.unwrap_or_default(),
                entry_point: script.entry_point.unwrap_or_default(),
                working_dir: script.working_dir.unwrap_or_default(),
                binary: script.binary.unwrap_or_default(),
            },
            requirements: TaskRequirements::from_value(&lists),
            docker_cmd,
            environment: environment
                .map(|(name, parameter)| {
                    (name.clone(), parameter.value.clone().unwrap_or_default())
                })
                .collect(),
            environment_mode: mode.map(|mode| mode.trim().to_lowercase()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(task: serde_json::Value) -> Result<Definition, DefinitionError> {
        serde_json::from_value::<api::Task>(task)
            .expect("a task")
            .try_into()
    }

    /// E-016
    #[test]
    fn a_task_without_a_script_is_refused_and_an_empty_script_is_not() {
        assert_eq!(
            parse(json!({"id": "a"})).err(),
            Some(DefinitionError::NoScript)
        );
        assert!(parse(json!({"id": "a", "script": {}})).is_ok());
    }

    #[test]
    fn what_a_setup_script_sets_is_known_as_secret() {
        let script = "set -e\nexport HF_TOKEN=hf_of-a-setup-script\nexport DB_PASSWORD=\"a pass of setup\"\nA=plain-of-setup\n";
        let task = json!({"id": "a", "script": {}, "container": {"setup_shell_script": script}});
        register_secrets(&serde_json::from_value(task).expect("a task"));
        let shown = crate::secrets::mask(script);
        assert!(
            !shown.contains("hf_of") && !shown.contains("a pass of"),
            "{shown}"
        );
        assert!(shown.contains("plain-of-setup"), "{shown}");
    }

    /// E-021
    #[test]
    fn the_container_is_named_in_the_form_of_old_servers() {
        let docker_cmd = |fields: serde_json::Value| {
            let mut task = json!({ "script": {} });
            task.as_object_mut()
                .expect("an object")
                .extend(fields.as_object().expect("an object").clone());
            parse(task).expect("parsed").docker_cmd
        };
        let container = json!({ "image": "i:1", "arguments": "--ipc=host" });
        assert_eq!(docker_cmd(json!({})), "");
        assert_eq!(
            docker_cmd(json!({ "container": container })),
            "i:1 --ipc=host"
        );
        let without_image = json!({ "container": { "image": "", "arguments": "-e A=B" } });
        assert_eq!(docker_cmd(without_image), "");
        let both = json!({ "container": container, "execution": { "docker_cmd": " old:1 " } });
        assert_eq!(docker_cmd(both), "old:1");
    }

    /// A word of the task about its environment.
    #[test]
    fn the_property_environment_is_read() {
        let property = json!({"environment": {"section": "properties", "value": " Existing "}});
        let task = parse(json!({"script": {}, "hyperparams": {"properties": property}}));
        let mode = task.expect("parsed").environment_mode;
        assert_eq!(mode.as_deref(), Some("existing"));
    }

    /// E-260
    #[test]
    fn the_environment_section_is_read() {
        let section = json!({"A": {"section": "Environment", "name": "A", "value": "1"}});
        let task =
            parse(json!({"script": {}, "hyperparams": {"Environment": section, "Args": {}}}));
        assert_eq!(
            task.expect("parsed").environment,
            [("A".to_owned(), "1".to_owned())]
        );
    }
}
