//! `clearml-agent k8s`: queues whose tasks run as pods of a Kubernetes cluster (C-600).

pub(super) use crate::cli::Kubernetes as Arguments;

use std::path::Path;
use std::time::Duration;

use super::connect::{self, Patience};
use super::container::container_options;
use super::daemon::check_owner_tokens;
use super::{ExitStatus, Failed, glue, renewal};
use crate::container::command::{ContainerOptions, configuration};
use crate::glue::{Kind, KubernetesOptions, PodConfiguration, PodTemplate, Pods, PortsMode};
use crate::settings::env_vars::{self, Variable};
use crate::settings::{Environment, Settings, hocon, truth};
use crate::task::RunOptions;
use crate::ui::Printer;

/// Beside the worker's name, where the user has given no id; and in the reasons of statuses.
const WORKER: &str = "k8s";
const EXECUTE: &str = "--full-monitoring --require-queue";
const HOPELESS: [&str; 2] = ["ImagePullBackOff", "InvalidImageName"];
const TAGS: [&str; 1] = ["k8s-glue"];

/// Submits tasks until a signal ends it.
pub(super) async fn k8s(
    settings: Settings,
    arguments: Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    if arguments.ssh_server_port != 0 {
        return Err(Failed::message(
            "`--ssh-server-port` is not offered: the official agent starts a server that everybody can log in to",
            "`kubectl exec -it POD -- bash` opens a shell in a pod for those who may",
        ));
    }
    let kind = settings.environment().text(&env_vars::K8S_KIND);
    let kind = Kind::of(kind.unwrap_or("pod")).ok_or_else(|| {
        Failed::message(
            format!(
                "`{}` is \"{}\"",
                env_vars::K8S_KIND.name,
                kind.unwrap_or_default()
            ),
            "it is `pod` or `job`",
        )
    })?;
    let overrides = arguments.overrides_yaml.as_deref();
    let template = PodTemplate::read(&arguments.template_yaml, overrides, kind)?;
    let is_look = arguments.render.is_some();
    let (session, settings) = connect::begin(settings, Patience::Short, is_look, printer).await?;
    check_owner_tokens(&session, arguments.use_owner_token).await?;
    let agent = settings.agent()?;
    let worker = glue::worker(&agent, WORKER)?;
    let names: Option<Vec<String>> = arguments.queue.as_ref().map(|words| {
        let names = words.iter().flat_map(|word| word.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    });
    let queues = glue::queues(&session, names.as_deref(), arguments.create_queue).await?;
    let options = options(&settings, &arguments, template)?;
    let namespace = options.namespace.clone();
    let pods = Pods::new(options, session.clone(), worker.clone());
    if let Some(task) = &arguments.render {
        let work = glue::work(&session, task, &queues).await?;
        printer.data(pods.render(&work).await?.trim_end());
        return Ok(ExitStatus::SUCCESS);
    }
    let (kubernetes, line) = pods.connect().await?;
    if let Some(line) = line {
        printer.warning(&format!("Kubernetes takes no pod at present: {line}"));
    }
    let environment = settings.environment();
    let tags = environment.words(&env_vars::K8S_SCHEDULER_QUEUE_TAGS);
    let tags = tags.unwrap_or_else(|| TAGS.map(str::to_owned).to_vec());
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let limit = arguments.ports_mode.then_some(arguments.num_of_services);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let start = glue::Start {
        session: &session,
        settings: &settings,
        worker,
        queues,
        holding: (&arguments.k8s_pending_queue_name, &tags),
        holding_option: "--k8s-pending-queue-name",
        name: WORKER,
        found: format!("Kubernetes, namespace {namespace}"),
        limit: arguments.max_pods.or(limit),
        holds_again: !is_on(environment, &env_vars::K8S_DISABLE_ENQUEUE_ON_PREEMPTION),
        metrics_listen: arguments.metrics_listen.as_deref(),
    };
    glue::run(kubernetes, start, printer).await
}

fn options(
    settings: &Settings,
    arguments: &Arguments,
    template: PodTemplate,
) -> Result<KubernetesOptions, Failed> {
    let environment = settings.environment();
    let text = |variable: &Variable| environment.text(variable).map(str::to_owned);
    let mut container =
        container_options(settings, &RunOptions::default(), arguments.use_owner_token)?;
    container.settings.system_site_packages = !arguments.no_system_packages;
    let minutes = text(&env_vars::K8S_POD_DELETION_DELAY_MINUTES);
    let minutes = minutes.map_or(Ok(0.0), |text| {
        let number = text.parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| {
            let name = env_vars::K8S_POD_DELETION_DELAY_MINUTES.name;
            Failed::message(
                format!("`{name}` is \"{text}\""),
                "it is a number of minutes",
            )
        })
    })?;
    let hopeless = environment.words(&env_vars::K8S_EVICTION_REASONS);
    Ok(KubernetesOptions {
        namespace: arguments.namespace.clone(),
        template,
        prefix: arguments.pod_name_prefix.clone(),
        configuration: pod_configuration(settings, arguments, &container)?,
        container,
        agent_image: arguments
            .agent_image
            .clone()
            .or_else(|| text(&env_vars::K8S_AGENT_IMAGE)),
        execute_arguments: text(&env_vars::K8S_EXECUTE_ARGS).unwrap_or_else(|| EXECUTE.to_owned()),
        install_arguments: text(&env_vars::K8S_AGENT_INSTALL_ARGS).unwrap_or_default(),
        script: arguments
            .container_bash_script
            .as_deref()
            .map(file)
            .transpose()?,
        keeps_entry_point: is_on(environment, &env_vars::K8S_USE_IMAGE_ENTRYPOINT),
        hopeless: hopeless.unwrap_or_else(|| HOPELESS.map(str::to_owned).to_vec()),
        deletion_delay: Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX),
        ports: arguments.ports_mode.then(|| PortsMode {
            first: arguments.base_pod_num,
            count: arguments.num_of_services,
            label: arguments.limit_pod_label.clone(),
            base_port: arguments.base_port,
            gateway: arguments.gateway_address.clone(),
        }),
    })
}

/// `0` and `false` mean no, unlike in the official glue.
fn is_on(environment: &Environment, variable: &Variable) -> bool {
    let text = environment.text(variable);
    text.is_some_and(|text| truth(text) != Some(false))
}

/// The configuration of the agents in pods (C-624).
fn pod_configuration(
    settings: &Settings,
    arguments: &Arguments,
    container: &ContainerOptions,
) -> Result<PodConfiguration, Failed> {
    let text = |container: &ContainerOptions, settings: &Settings| {
        hocon::print(configuration(container, settings, true).root())
    };
    if let Some(path) = &arguments.pod_clearml_conf {
        let own = Settings::from_text(&file(path)?, settings.environment())?;
        let text = text(container, &own);
        return Ok(PodConfiguration::new(move || text.clone()));
    }
    let (first, container) = (settings.clone(), container.clone());
    Ok(PodConfiguration::new(move || {
        // Other changes count from the next start on, as everywhere.
        let reread = first.reread().ok();
        let reread = reread.filter(|new| renewal::keys(new) != renewal::keys(&first));
        text(&container, reread.as_ref().unwrap_or(&first))
    }))
}

fn file(path: &Path) -> Result<String, Failed> {
    std::fs::read_to_string(path).map_err(|error| {
        Failed::message(
            format!("could not read `{}`: {error}", path.display()),
            "check its name and the rights of the agent's user",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-600
    #[test]
    fn no_means_no() {
        let variable = &env_vars::K8S_USE_IMAGE_ENTRYPOINT;
        let environment = Environment::default();
        assert!(!is_on(&environment, variable));
        for (word, expected) in [("0", false), ("false", false), ("1", true), ("yes", true)] {
            assert_eq!(
                is_on(&environment.with(variable.name, word), variable),
                expected
            );
        }
    }
}
