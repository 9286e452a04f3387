//! `clearml-agent cache`: what is in the store of environments, why a task finds its own or not, what goes.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::execute::not_taken;
use super::plan::look_up;
use super::store;
use super::{ExitStatus, Failed};
use crate::cli::{Cache as Arguments, CacheCommand};
use crate::process::since_epoch;
use crate::python::{self, Explained, Explanation, Listed, PruneLimits, StoreOptions};
use crate::settings::Settings;
use crate::task::RunOptions;
use crate::ui::Printer;

const MEBIBYTE: u64 = 1024 * 1024;
const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;
const DAY: f64 = 24.0 * 60.0 * 60.0;

/// Does one of the things that can be done with the store.
pub(super) async fn cache(
    settings: Settings,
    arguments: Arguments,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    match arguments.command {
        CacheCommand::List { json } => list(&store(&settings)?, json, printer),
        CacheCommand::Explain {
            task,
            cpu_only,
            json,
        } => Box::pin(explain(settings, &task, cpu_only, json, printer)).await,
        CacheCommand::Prune {
            all,
            older_than,
            max_size,
            dry_run,
        } => {
            let limits = PruneLimits {
                all,
                unused_for: older_than.map(days).transpose()?,
                max_bytes: max_size.map(gigabytes).transpose()?,
            };
            prune(&store(&settings)?, limits, dry_run, printer).await
        }
    }
}

fn store(settings: &Settings) -> Result<StoreOptions, Failed> {
    let settings = settings.clone().with_folders(0);
    let store = store::store(&settings, &settings.agent()?);
    if store.is_enabled() {
        return Ok(store);
    }
    Err(Failed::message(
        "no environments are kept: `agent.store.path` or `agent.venvs_cache.path` is empty",
        "set both to a folder",
    ))
}

/// What containers keep is theirs: they may put links there that lead anywhere, so nothing here follows them.
fn say_what_containers_keep(store: &StoreOptions, printer: Printer) {
    let folder = store::below(&store.path);
    if folder.is_dir() {
        let folder = folder.display();
        printer.line(format!(
            "{folder}: environments of containers, which keep to the same limits"
        ));
        printer.line(format!(
            "hint: `rm -rf {folder}`, as root where containers run as root, removes them while no container of a task runs"
        ));
    }
}

fn unusable(store: &StoreOptions, error: &std::io::Error) -> Failed {
    let path = store.path.display();
    Failed::message(
        format!("could not use the store `{path}`: {error}"),
        "`agent.store.path` names a folder of your own; a lock is held by an agent that keeps an environment",
    )
}

fn days(days: f64) -> Result<Duration, Failed> {
    Duration::try_from_secs_f64(days * DAY)
        .map_err(|_| Failed::message(format!("{days} is no number of days"), "for example 7"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a limit in gigabytes, not negative"
)]
fn gigabytes(gigabytes: f64) -> Result<u64, Failed> {
    if gigabytes.is_finite() && gigabytes >= 0.0 {
        return Ok((gigabytes * GIBIBYTE) as u64);
    }
    Err(Failed::message(
        format!("{gigabytes} is no number of gigabytes"),
        "for example 20",
    ))
}

fn list(store: &StoreOptions, json: bool, printer: Printer) -> Result<ExitStatus, Failed> {
    let entries = python::list_store(&store.path).map_err(|error| unusable(store, &error))?;
    if json {
        let answer = json!({ "path": store.path, "entries": entries });
        printer.json(&answer)?;
        return Ok(ExitStatus::SUCCESS);
    }
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    printer.line(format!(
        "{}: {} environments, {}",
        store.path.display(),
        entries.len(),
        size(bytes)
    ));
    for entry in &entries {
        printer.line(shown(entry));
    }
    say_what_containers_keep(store, printer);
    Ok(ExitStatus::SUCCESS)
}

async fn prune(
    store: &StoreOptions,
    limits: PruneLimits,
    dry_run: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let pruned = python::prune_store(store, limits, dry_run).await;
    let pruned = pruned.map_err(|error| unusable(store, &error))?;
    let verb = if dry_run { "would remove" } else { "removed" };
    for entry in &pruned.removed {
        printer.line(format!("{verb} {}", shown(entry)));
    }
    for entry in &pruned.in_use {
        printer.line(format!("in use: {}", shown(entry)));
    }
    let bytes = pruned.removed.iter().map(|entry| entry.bytes).sum();
    printer.line(format!(
        "{verb} {} environments, {}",
        pruned.removed.len(),
        size(bytes)
    ));
    say_what_containers_keep(store, printer);
    Ok(ExitStatus::SUCCESS)
}

async fn explain(
    settings: Settings,
    task: &str,
    cpu_only: bool,
    json: bool,
    printer: Printer,
) -> Result<ExitStatus, Failed> {
    let run = RunOptions {
        cpu_only,
        ..RunOptions::default()
    };
    let printer = if json { printer.beside_data() } else { printer };
    let looked = look_up(settings, task, run, printer).await?;
    let (id, preparation) = (looked.server.task(), looked.preparation);
    let (request, options) = preparation.environment_of(looked.task).map_err(not_taken)?;
    let cancel = CancellationToken::new();
    let explained = python::explain_store(&request, &options, &cancel).await?;
    if json {
        let mut answer = serde_json::to_value(&explained)?;
        answer["task"] = json!(id);
        printer.json(&answer)?;
        return Ok(ExitStatus::SUCCESS);
    }
    print_explained(&explained, id.as_str(), printer);
    Ok(ExitStatus::SUCCESS)
}

fn print_explained(explained: &Explained, task: &str, printer: Printer) {
    match explained {
        Explained::NotKept(reason) => printer.line(format!("task {task}: {reason}")),
        Explained::LookedUp {
            environment,
            official,
            base,
        } => {
            if let (None, Some(entry)) = (&environment.entry, official) {
                let entry = entry.display();
                printer.line(format!(
                    "task {task}: hit, in the official agent's cache: {entry}"
                ));
                return;
            }
            let found = if environment.entry.is_some() {
                "hit"
            } else {
                "miss"
            };
            printer.line(format!("task {task}: {found}"));
            print_explanation(environment, printer);
            if let (None, Some(base)) = (&environment.entry, base) {
                let found = match &base.entry {
                    Some(entry) => format!("hit: {}", entry.display()),
                    None => "miss".to_owned(),
                };
                printer.line(format!("base environment: {found}"));
            }
        }
    }
}

fn print_explanation(explanation: &Explanation, printer: Printer) {
    match &explanation.key {
        Some(key) => printer.line(format!("key: {key}")),
        None => printer.line("key: none, the list of packages does not say what is installed"),
    }
    if let Some(entry) = &explanation.entry {
        printer.line(format!("entry: {}", entry.display()));
    }
    let Some(nearest) = &explanation.nearest else {
        for input in &explanation.inputs {
            printer.line(format!("  {}: {}", input.name, input.value));
        }
        return;
    };
    printer.line(format!(
        "nearest entry: {}, which differs (- entry, + task):",
        nearest.entry.display()
    ));
    for difference in &nearest.differences {
        for value in &difference.entry {
            printer.line(format!("- {}: {value}", difference.name));
        }
        for value in &difference.wanted {
            printer.line(format!("+ {}: {value}", difference.name));
        }
    }
}

/// One line for one entry.
fn shown(entry: &Listed) -> String {
    let unused = since_epoch().as_secs().saturating_sub(entry.last_used);
    format!(
        "{}  {}, {}, {} files, used {} ago: {}",
        entry.path.display(),
        entry.kind.name(),
        size(entry.bytes),
        entry.files,
        age(unused),
        entry.packages.join(" ")
    )
    .trim_end_matches([' ', ':'])
    .to_owned()
}

fn size(bytes: u64) -> String {
    let mebibytes = bytes / MEBIBYTE;
    let tenths = bytes % MEBIBYTE * 10 / MEBIBYTE;
    format!("{mebibytes}.{tenths} MiB")
}

fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_for_people() {
        assert_eq!(size(1_572_864), "1.5 MiB");
        for (seconds, text) in [
            (5, "5 s"),
            (600, "10 min"),
            (10_800, "3 h"),
            (864_000, "10 days"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn limits_are_numbers_that_make_sense() {
        assert_eq!(days(0.5).unwrap(), Duration::from_hours(12));
        assert_eq!(gigabytes(2.0).unwrap(), 2 * 1024 * MEBIBYTE);
        assert!(days(-1.0).is_err() && gigabytes(f64::NAN).is_err() && gigabytes(-1.0).is_err());
    }
}
