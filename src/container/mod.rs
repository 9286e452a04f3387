//! Containers: the command line of docker that a task asks for, what it means, and the engine that runs it.

pub mod args;
pub mod boot;
pub mod command;
pub mod engine;
