//! The integration tests: one binary, one module a subject.
//!
//! Each test has a server, a home and a temporary folder of its own, so that all run at once.

#![allow(clippy::unwrap_used)]
// Lints about speed and about interfaces have nothing to win in a test.
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::type_complexity
)]

mod air_gapped;
mod background;
mod bad_packages;
mod boot;
mod build;
mod build_image;
mod cache;
mod checkpoints;
mod cli;
mod code;
mod colab;
mod cold_start;
mod compose;
mod conda;
mod configuration;
mod container;
mod container_deaths;
mod container_engine;
mod container_host_mount;
mod container_inside;
mod container_pull;
mod container_services;
mod container_signals;
mod container_store;
mod container_store_agents;
mod container_trust;
mod contract;
mod control;
mod custom_build;
mod day;
mod diagnosis;
mod dialect;
mod differential;
mod docker_args;
mod docker_start;
mod doctor;
mod documents;
mod dynamic_gpus;
mod execute;
mod execute_shapes;
mod execute_signals;
mod existing;
mod fast_motion;
mod faults;
mod full_disk;
mod fuzz;
mod glue_others;
mod glue_scale;
mod glue_status;
mod glue_strays;
mod gpus;
mod grace;
mod hostile;
mod hours;
mod images;
mod init;
mod instructions;
mod kubernetes;
mod kubernetes_manifests;
mod kubernetes_watch;
mod large_output;
mod layers;
mod lifecycle;
mod list;
mod log_format;
mod loss;
mod metrics;
mod minutes;
mod official;
mod official_config;
mod official_containers;
mod options;
mod outage;
mod owner;
mod plan;
mod podman;
mod poetry;
mod prefetch;
mod private_git;
mod progress;
mod recovery;
mod replaced_program;
mod rotated_keys;
mod sdk;
mod service;
mod services;
mod shared_folder;
mod side_by_side;
mod slurm;
mod slurm_day;
mod start_up;
mod stop;
mod store;
mod support;
mod surroundings;
mod systemd;
mod taken;
mod torch;
mod trouble;
mod units;
mod uv;
mod wheel;
