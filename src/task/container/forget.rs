//! `build --without-credentials`: an image without keys, passwords and tokens (C-408).
//!
//! The files are the business of the container's own last step (`boot forget`). Here it is about what the engine itself writes
//! into an image: variables, the command, and, in older engines, the whole configuration of the container.

use bollard::models::ContainerCreateBody;

use super::start::NotContained;
use super::upload::Parcel;
use crate::container::boot::{InnerAgent, RUNNER_FOLDER};
use crate::container::command::ContainerCommand;
use crate::container::engine::{Engine, EngineError, Label};

/// Has the script of the container, whose command becomes the history of the image.
const SCRIPT: &str = "CLEARML_AGENT_BOOT_SCRIPT";

/// Refuses what cannot be done.
pub(super) fn check(
    engine: &Engine,
    command: &ContainerCommand,
    parcels: &[Parcel],
) -> Result<(), NotContained> {
    let refused = |reason: &str, hint: &str| {
        let text = format!("could not leave the credentials out of the image: {reason}");
        Err(NotContained::because(&text, Some(hint)))
    };
    if matches!(command.boot.agent, InnerAgent::Python(_)) {
        return refused(
            "the Python agent in the container does not clear them away",
            "leave FORCE_CLEARML_AGENT_REPO out",
        );
    }
    let is_copied = |parcel: &Parcel| !parcel.to.starts_with(RUNNER_FOLDER);
    if engine.endpoint().is_remote() || parcels.iter().any(is_copied) {
        return refused(
            "the engine does not see this agent's files, so that they are not mounted but copied",
            "build the image on the machine of the engine, outside of containers",
        );
    }
    Ok(())
}

/// Moves the script from the command to a variable.
pub(super) fn hide_script(body: &mut ContainerCreateBody) {
    let script = body.cmd.as_mut().and_then(|words| words.last_mut());
    let Some(script) = script else {
        return;
    };
    let reads = format!("clearml_boot=${SCRIPT}; unset {SCRIPT}; eval \"$clearml_boot\"");
    let text = std::mem::replace(script, reads);
    let variables = body.env.get_or_insert_default();
    variables.retain(|variable| !variable.starts_with(SCRIPT));
    variables.push(format!("{SCRIPT}={text}"));
}

/// Makes the image of a container that never had the variables: one with the files of `container`.
pub(super) async fn commit(
    engine: &Engine,
    container: &str,
    name: &str,
    mut changes: Vec<String>,
    variables: &[String],
    (label, value): Label<'_>,
) -> Result<String, EngineError> {
    let names = variables.iter().map(String::as_str).chain([SCRIPT]);
    changes.extend(names.map(|name| format!("ENV {name}=\"\"")));
    // By its label it is found where there will be no other image.
    let own = format!("LABEL {label}={value}");
    let first = [changes.as_slice(), &[own]].concat();
    let image = engine.commit(container, None, &first).await?;
    let body = ContainerCreateBody {
        image: Some(image),
        labels: Some([(label.to_owned(), value.to_owned())].into()),
        ..ContainerCreateBody::default()
    };
    let clean = engine.create(None, None, body).await?.id;
    engine.commit(&clean, Some(name), &changes).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-408
    #[test]
    fn the_script_is_not_in_the_command() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mut body = ContainerCreateBody {
            cmd: Some(texts(&["bash", "-c", "export K=v"])),
            env: Some(texts(&["A=1"])),
            ..ContainerCreateBody::default()
        };
        hide_script(&mut body);
        let words = body.cmd.as_deref().unwrap();
        assert!(!words[2].contains("export"), "{words:?}");
        let last = body.env.as_deref().unwrap().last().unwrap();
        assert_eq!(last, "CLEARML_AGENT_BOOT_SCRIPT=export K=v");
    }
}
