//! The scripts with which the container of a task begins (C-625).

use serde_json::{Map, Value};

use super::KubernetesOptions;
use crate::api::TaskId;
use crate::container::boot::{BootScript, POD_SCRIPTS};

/// One for each shell; for an image without any, the agent's words, where nobody's script would be left out.
pub(super) fn scripts(boot: &BootScript, data: &mut Map<String, Value>) {
    let [shells @ .., words] = POD_SCRIPTS;
    for shell in shells {
        data.insert(shell.to_owned(), boot.text(shell).into());
    }
    let has_scripts = !boot.preprocess.is_empty()
        || boot.init.is_some()
        || [&boot.extra_shell, &boot.setup]
            .into_iter()
            .any(|script| !script.trim().is_empty());
    if !has_scripts {
        data.insert(words.to_owned(), boot.arguments.as_str().into());
    }
}

/// The lines of an administrator, in place of all that the agent would do: `--container-bash-script`.
pub(super) fn own_script(
    lines: &str,
    task: &TaskId,
    boot: &BootScript,
    options: &KubernetesOptions,
    data: &mut Map<String, Value>,
) {
    let values = [
        ("task_id", task.as_str()),
        ("extra_bash_init_cmd", boot.extra_shell.as_str()),
        ("extra_docker_bash_script", boot.setup.as_str()),
        (
            "default_execution_agent_args",
            options.execute_arguments.as_str(),
        ),
        ("agent_install_args", options.install_arguments.as_str()),
    ];
    let script: Vec<String> = lines.lines().map(|line| filled(line, &values)).collect();
    let [shells @ .., _] = POD_SCRIPTS;
    for shell in shells {
        data.insert(shell.to_owned(), script.join("\n").into());
    }
}

/// `{name}` becomes its value, `{{` and `}}` a brace; all else stays.
fn filled(line: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(place) = rest.find(['{', '}']) {
        text.push_str(&rest[..place]);
        rest = &rest[place..];
        let brace = &rest[..1];
        let value = values.iter().find_map(|(name, value)| {
            let after = rest.strip_prefix('{')?.strip_prefix(name)?;
            Some((*value, after.strip_prefix('}')?))
        });
        if let Some((value, after)) = value {
            text.push_str(value);
            rest = after;
        } else {
            text.push_str(brace);
            rest = rest[1..].strip_prefix(brace).unwrap_or(&rest[1..]);
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-625
    #[test]
    fn lines_of_an_administrator_are_filled() {
        let values = [("task_id", "t1"), ("agent_install_args", "==3.0.0")];
        let line =
            "pip install clearml-agent{agent_install_args} && A=${{HOME}} run {task_id} {other}";
        assert_eq!(
            filled(line, &values),
            "pip install clearml-agent==3.0.0 && A=${HOME} run t1 {other}"
        );
    }
}
