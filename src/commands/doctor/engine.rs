//! The engine of containers, and GPUs: what the driver says, and whether containers would get them.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::super::docker_arguments;
use super::report::Finding;
use crate::container::engine::{About, EndpointSource, Engine, EngineError, podman_gives_devices};
use crate::monitor::{GpuList, GpuReading, gpu_list};
use crate::settings::Settings;
use crate::task::RunOptions;

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const IN_CONTAINERS: &str = "GPUs in containers";
/// There where the driver's kernel module is loaded.
const DRIVER: &str = "/proc/driver/nvidia/version";

pub(super) async fn look(settings: &Settings, docker: bool, podman: bool) -> Vec<Finding> {
    let gpus = gpu_list().await;
    let mut findings = vec![of_driver(&gpus, Path::new(DRIVER).exists())];
    let environment = settings.environment();
    let source = EndpointSource::of(|name| environment.get(name), settings.home(), podman);
    match timeout(PATIENCE, about(&source)).await {
        Ok(Ok(about)) => {
            findings.push(Finding::ok("containers", description(&about)));
            if matches!(&gpus, GpuList::Known(list) if !list.is_empty()) {
                let is_there = |folder: &str| {
                    std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
                };
                findings.push(of_containers(&about, CDI_FOLDERS.into_iter().any(is_there)));
            } else if docker || podman {
                findings.extend(without_gpus(settings, podman).await);
            }
        }
        Ok(Err(error)) => findings.push(away(
            docker || podman,
            &error.to_string(),
            error.hint().as_deref(),
        )),
        Err(_) => {
            let text = format!(
                "the engine does not answer in {} seconds",
                PATIENCE.as_secs()
            );
            findings.push(away(docker || podman, &text, None));
        }
    }
    findings
}

/// What a daemon in containers says of GPUs when it starts.
async fn without_gpus(settings: &Settings, podman: bool) -> Option<Finding> {
    let run = RunOptions {
        docker: Some(Vec::new()),
        podman,
        ..RunOptions::default()
    };
    match docker_arguments::lacks_gpus(settings, &run).await {
        Ok(lacks) => {
            let (text, hint) = docker_arguments::NO_GPUS;
            lacks.then(|| Finding::warn(IN_CONTAINERS, text, hint))
        }
        Err(failed) => Some(Finding::fail(
            "containers",
            failed.text(),
            "`clearml-agent config` shows the configuration as the agent reads it",
        )),
    }
}

async fn about(source: &EndpointSource) -> Result<About, EngineError> {
    Engine::connect(&source.endpoint()?).await?.about().await
}

fn description(about: &About) -> String {
    format!(
        "engine {} at {}, API {}.{}, storage driver {}",
        about.version,
        about.endpoint,
        about.api_version.0,
        about.api_version.1,
        about.storage_driver
    )
}

/// Without an engine tasks run on the machine itself, which may be all that is wanted.
fn away(is_wanted: bool, text: &str, hint: Option<&str>) -> Finding {
    const SUBJECT: &str = "containers";
    if !is_wanted {
        return Finding::ok(
            SUBJECT,
            format!("none, which matters for `--docker` alone ({text})"),
        );
    }
    Finding::fail(
        SUBJECT,
        text,
        hint.unwrap_or("look at what the engine says of itself: journalctl -u docker"),
    )
}

fn of_driver(gpus: &GpuList<GpuReading>, has_driver: bool) -> Finding {
    const SUBJECT: &str = "GPUs";
    match gpus {
        GpuList::Known(list) if !list.is_empty() => {
            let names: Vec<String> = list
                .iter()
                .map(|gpu| match gpu.part {
                    None => format!("{} {}", gpu.index, gpu.name),
                    Some(part) => format!("{}:{part} {}", gpu.index, gpu.name),
                })
                .collect();
            Finding::ok(SUBJECT, names.join(", "))
        }
        GpuList::Unknown(error) => Finding::fail(
            SUBJECT,
            format!("the driver answers with an error: {error}"),
            "try nvidia-smi; after an update of the driver the machine has to be restarted",
        ),
        GpuList::Known(_) | GpuList::NoDriver if has_driver => Finding::warn(
            SUBJECT,
            "the driver's kernel module is loaded, but its library (libnvidia-ml.so.1) gives no GPU",
            "install the driver's libraries (nvidia-utils); in a container, start it with --gpus",
        ),
        GpuList::Known(_) | GpuList::NoDriver => {
            Finding::ok(SUBJECT, "none on this machine: no driver of NVIDIA or AMD")
        }
    }
}

/// Specifications of devices for podman, which does not say what it knows.
const CDI_FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

fn of_containers(about: &About, has_specification: bool) -> Finding {
    const SUBJECT: &str = IN_CONTAINERS;
    match &about.podman {
        Some(version) if !podman_gives_devices(version) => Finding::warn(
            SUBJECT,
            format!(
                "podman {version} gives containers no GPU over its socket: tasks that are to have one fail"
            ),
            "podman 5.4 or newer does; `--cpu-only` runs tasks without",
        ),
        Some(_) if has_specification => {
            Finding::ok(SUBJECT, "podman gives them by their CDI names")
        }
        Some(_) => Finding::warn(
            SUBJECT,
            "no specification of the GPUs for podman in /etc/cdi or /var/run/cdi",
            "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        ),
        None if about.has_nvidia_runtime => Finding::ok(SUBJECT, "the engine has NVIDIA's runtime"),
        None if about.has_nvidia_cdi => {
            Finding::ok(SUBJECT, "the engine knows them by their CDI names")
        }
        None => Finding::warn(
            SUBJECT,
            "cannot be told: the engine names neither NVIDIA's runtime nor CDI devices",
            "`docker run --rm --gpus all IMAGE nvidia-smi` tells; what is missing is NVIDIA's container toolkit",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32) -> GpuReading {
        GpuReading {
            index,
            part: None,
            uuid: String::new(),
            part_uuid: None,
            name: "NVIDIA A100".to_owned(),
            temperature: None,
            usage: None,
            memory: None,
        }
    }

    #[test]
    fn a_driver_without_gpus_is_told_from_none() {
        let known = GpuList::Known(vec![gpu(0), gpu(1)]);
        assert_eq!(
            of_driver(&known, true),
            Finding::ok("GPUs", "0 NVIDIA A100, 1 NVIDIA A100")
        );
        let is_ok = |finding: Finding| finding == Finding::ok("GPUs", finding_text(&finding));
        assert!(is_ok(of_driver(&GpuList::NoDriver, false)));
        assert!(!is_ok(of_driver(&GpuList::NoDriver, true)));
        assert!(!is_ok(of_driver(&GpuList::Unknown("no".to_owned()), true)));
    }

    fn finding_text(finding: &Finding) -> String {
        serde_json::to_value(finding).unwrap()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn containers_need_a_runtime_or_cdi() {
        let about = |podman: Option<&str>, has_nvidia_runtime, has_nvidia_cdi| About {
            podman: podman.map(str::to_owned),
            has_nvidia_runtime,
            has_nvidia_cdi,
            ..About::default()
        };
        let state = |about: &About, has_specification| {
            let finding = serde_json::to_value(of_containers(about, has_specification)).unwrap();
            finding["state"].as_str().unwrap().to_owned()
        };
        assert_eq!(state(&about(None, true, false), false), "ok");
        assert_eq!(state(&about(None, false, true), false), "ok");
        assert_eq!(state(&about(None, false, false), true), "warn");
        assert_eq!(state(&about(Some("4.3.1"), false, false), true), "warn");
        assert_eq!(state(&about(Some("5.4.0"), false, false), false), "warn");
        assert_eq!(state(&about(Some("5.4.0"), false, false), true), "ok");
    }

    #[test]
    fn an_engine_matters_where_containers_are_wanted() {
        let state = |is_wanted| serde_json::to_value(away(is_wanted, "away", None)).unwrap();
        assert_eq!(state(false)["state"], "ok");
        assert_eq!(state(true)["state"], "fail");
    }
}
