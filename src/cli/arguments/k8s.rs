//! Options of `k8s` (C-600).

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{LogFormat, values};

/// Options of `k8s`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
pub struct Kubernetes {
    /// Queues, the most important first; several in one word have commas between them [default: the server's default queue]
    #[arg(long, value_name = "QUEUE", num_args = 1.., value_parser = values::text)]
    pub queue: Option<Vec<String>>,
    /// The queue in which tasks wait for their pods
    #[arg(long, value_name = "QUEUE", default_value = "k8s_scheduler", value_parser = values::text)]
    pub k8s_pending_queue_name: String,
    /// Where pods are made, unless the template says so
    #[arg(long, value_name = "NAMESPACE", default_value = "clearml", value_parser = values::text)]
    pub namespace: String,
    /// The pod, or job, that is filled with each task
    #[arg(long, value_name = "FILE", required = true, value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub template_yaml: PathBuf,
    /// Members in place of those of the template
    #[arg(long, value_name = "FILE", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub overrides_yaml: Option<PathBuf>,
    /// Configuration file of the agent in the pods [default: the configuration of this one]
    #[arg(long, value_name = "FILE", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub pod_clearml_conf: Option<PathBuf>,
    /// Lines of a shell that do all in a pod, in place of this agent
    #[arg(long, value_name = "FILE", value_parser = values::path, value_hint = ValueHint::FilePath)]
    pub container_bash_script: Option<PathBuf>,
    /// Image with this agent, from which it comes into the pods [default: that of the pod in which this runs]
    #[arg(long, value_name = "IMAGE", value_parser = values::text)]
    pub agent_image: Option<String>,
    /// Most pods at once [default: as many as Kubernetes takes]
    // The beginning is one that meant it before there was `--metrics-listen` (D-004).
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with = "ports_mode",
        alias = "m"
    )]
    pub max_pods: Option<usize>,
    /// Give each pod a number, by which a service finds it
    #[arg(long)]
    pub ports_mode: bool,
    /// In ports mode: so many pods at once
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    pub num_of_services: u32,
    /// In ports mode: the first number
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub base_pod_num: u32,
    /// In ports mode: the port of number 0, for the user properties of tasks
    #[arg(long, value_name = "PORT")]
    pub base_port: Option<u32>,
    /// In ports mode: where the ports are reached, for the user properties of tasks
    #[arg(long, value_name = "ADDRESS", value_parser = values::text)]
    pub gateway_address: Option<String>,
    /// In ports mode: the label with the number
    // The beginning is one that meant it before there was `--log-format` (D-004).
    #[arg(long, value_name = "LABEL", default_value = "ai.allegro.agent.serial=pod-{pod_number}", alias = "l", value_parser = values::text)]
    pub limit_pod_label: String,
    /// What the names of pods begin with
    #[arg(long, value_name = "PREFIX", default_value = "clearml-id-", value_parser = values::text)]
    pub pod_name_prefix: String,
    /// Not offered: 0 alone is taken
    #[arg(long, value_name = "PORT", default_value = "0")]
    pub ssh_server_port: u32,
    /// Do not let tasks use the packages of their image
    #[arg(long)]
    pub no_system_packages: bool,
    /// Let each task act as its owner; not every server can
    #[arg(long)]
    pub use_owner_token: bool,
    /// Make queues that the server does not know
    #[arg(long)]
    pub create_queue: bool,
    /// What is printed: text, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Answer a monitoring system at this address, such as 127.0.0.1:9090: /metrics, /healthz, /readyz
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::text)]
    pub metrics_listen: Option<String>,
    /// Say more, on stderr
    #[arg(long)]
    pub debug: bool,
    /// Print the manifest of this task, and submit nothing
    #[arg(long, value_name = "TASK", value_parser = values::text)]
    pub render: Option<String>,
}
