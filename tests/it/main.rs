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

mod background;
mod bad_packages;
mod cache;
mod cli;
mod code;
mod cold_start;
mod conda;
mod configuration;
mod contract;
mod control;
mod custom_build;
mod day;
mod dialect;
mod differential;
mod dynamic_gpus;
mod execute;
mod execute_shapes;
mod execute_signals;
mod existing;
mod fuzz;
mod gpus;
mod grace;
mod hours;
mod init;
mod layers;
mod lifecycle;
mod list;
mod log_format;
mod metrics;
mod official;
mod official_config;
mod options;
mod outage;
mod owner;
mod plan;
mod poetry;
mod private_git;
mod recovery;
mod sdk;
mod service;
mod services;
mod side_by_side;
mod start_up;
mod stop;
mod store;
mod support;
mod surroundings;
mod systemd;
mod torch;
mod trouble;
mod units;
mod uv;
