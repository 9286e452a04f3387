//! Checks a repository of 100,000 files out of a warm mirror, in turn with `git worktree add` of the same mirror.
//!
//! `cargo bench --bench checkout`; a number behind `--` is another number of files.
#![expect(clippy::print_stdout, reason = "it reports what it measures")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clearml_agent::process::Output;
use clearml_agent::source::{CodeRequest, HttpClients, SourceOptions, UrlRules, fetch_code};
use tokio_util::sync::CancellationToken;

const FILES: usize = 100_000;
const FILES_IN_A_FOLDER: usize = 100;
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        println!("This takes minutes: it runs with `cargo bench --bench checkout` only.");
        return Ok(());
    }
    let files = words
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(FILES);
    let folder = tempfile::tempdir()?;
    let remote = folder.path().join("remote");
    let commit = make_repository(&remote, files)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ours = || runtime.block_on(check_out(folder.path(), &remote, &commit));
    // Fills the mirror.
    ours()?;
    let mirror = fs::read_dir(folder.path().join("cache/mirrors"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .context("no mirror")?;
    let (mut agent, mut git) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        agent.push(ours()?);
        git.push(worktree(&mirror, &folder.path().join("worktree"), &commit)?);
    }
    println!("{files} files, warm mirror, median (least to most) of {ROUNDS} rounds in turn:");
    println!("this agent        {}", summary(&mut agent));
    println!("git worktree add  {}", summary(&mut git));
    Ok(())
}

fn make_repository(path: &Path, files: usize) -> anyhow::Result<String> {
    for index in 0..files {
        let folder = path.join(format!("folder-{:04}", index / FILES_IN_A_FOLDER));
        if index % FILES_IN_A_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        let text = format!("# file {index}\n").repeat(20);
        fs::write(folder.join(format!("file_{index:06}.py")), text)?;
    }
    git(path, &["init", "--quiet"])?;
    git(path, &["add", "--all"])?;
    let author = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(
        path,
        &[&author[..], &["commit", "--quiet", "-m", "all"]].concat(),
    )?;
    git(path, &["repack", "-a", "-d", "--quiet"])?;
    git(path, &["rev-parse", "HEAD"])
}

async fn check_out(folder: &Path, remote: &Path, commit: &str) -> anyhow::Result<Duration> {
    let options = SourceOptions {
        rules: UrlRules::default(),
        cache_folder: folder.join("cache"),
        cache_enabled: true,
        clone_on_pull_fail: false,
        fetch_arguments: None,
        verbose: false,
        is_standalone: false,
        force_code_dir: None,
        force_exec_script: None,
        stall_limit: Duration::from_mins(1),
        http: HttpClients::new(|_| Err("nothing is on a network".to_owned())),
        force_task_init: false,
        askpass_program: "/bin/false".into(),
        environment: std::env::vars().collect(),
    };
    let request = CodeRequest {
        repository: remote.to_string_lossy().into_owned(),
        version_num: commit.to_owned(),
        entry_point: "folder-0000/file_000000.py".to_owned(),
        ..CodeRequest::default()
    };
    let environment = folder.join("environment");
    // What the run before has left is not part of a checkout.
    let _ = fs::remove_dir_all(&environment);
    fs::create_dir_all(&environment)?;
    let output = Output::append(&folder.join("console"))?;
    let start = Instant::now();
    let cancel = CancellationToken::new();
    let code = fetch_code(&request, &options, &environment, &output, &cancel).await?;
    let time = start.elapsed();
    ensure!(code.root.join("folder-0000/file_000000.py").is_file());
    Ok(time)
}

fn worktree(mirror: &Path, folder: &Path, commit: &str) -> anyhow::Result<Duration> {
    let path = folder.to_string_lossy().into_owned();
    let start = Instant::now();
    git(
        mirror,
        &["worktree", "add", "--quiet", "--detach", &path, commit],
    )?;
    let time = start.elapsed();
    fs::remove_dir_all(folder)?;
    git(mirror, &["worktree", "prune"])?;
    Ok(time)
}

fn git(folder: &Path, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .args(words)
        .current_dir(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let seconds = |index: usize| times[index].as_secs_f64();
    format!(
        "{:.2} s ({:.2} to {:.2})",
        seconds(times.len() / 2),
        seconds(0),
        seconds(times.len() - 1)
    )
}
