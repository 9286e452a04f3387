//! `build --docker`: an image with code and packages of a task (C section 4).
//!
//! The container is one of a task, in which this program runs `build` instead of `execute`. It is watched, and what has failed
//! in it becomes no image (C-408).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::builds::{BUILD_LABEL, BuildFolder, clear_dead_builds};
use super::console::{Console, Listener, OwnOutput};
use super::start::{DRAIN, NotContained};
use super::{Containment, end, files, forget};
use crate::container::boot::InnerAgent;
use crate::container::command::{ContainerCommand, Launch, Purpose, secret_variables};
use crate::container::engine::{End, Engine, EngineError};
use crate::process::Output;
use crate::task::build::{BUILT, COMMIT};
use crate::task::failure::{Failure, PrepareError};
use crate::task::outcome::Outcome;
use crate::task::server::TaskServer;

/// Labels of the image: what is in it (C-408).
const IMAGE_TASK: &str = "clearml-task-id";
const IMAGE_COMMIT: &str = "clearml-task-commit";
/// Where the program is in the image (C-234).
const PROGRAM: &str = "usr/local/bin/clearml-agent";

/// How long a build that is cancelled waits for what the engine makes at that moment: it would come when nobody looks for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the image is to be.
#[derive(Clone, Debug)]
pub struct ImageBuild {
    /// Its name, as it was given (C-401).
    pub name: String,
    /// What it runs (C-405); without, it is an image for tasks.
    pub entry_point: Option<EntryPoint>,
    /// The container of the task does not count (C-400).
    pub is_forced: bool,
    /// The agent's credentials are not in it (C-408).
    pub forgets: bool,
    /// Where each build has a folder, while it goes on, for the files that its container needs.
    pub builds: PathBuf,
}

/// What an image runs (C-405).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryPoint {
    /// The task itself.
    Reuse,
    /// A clone of the task.
    Clone,
}

/// What the output of the container says of the build.
#[derive(Debug)]
struct Seen {
    /// The line that the agent inside prints when all is installed.
    last: String,
    line: Vec<u8>,
    is_built: bool,
    commit: Option<String>,
}

impl Containment {
    /// Builds the image in a container of its own, which is gone afterwards.
    pub async fn build_image(
        &self,
        server: &TaskServer,
        image: &ImageBuild,
        output: &Output,
        cancel: &CancellationToken,
    ) -> Result<(), PrepareError> {
        Engine::check_name(&image.name).map_err(|error| failed(NotContained::by_engine(&error)))?;
        clear_dead_builds(&image.builds, &self.source).await;
        let random = Launch::random_text();
        let folder = BuildFolder::create(&image.builds, &random).await;
        let folder = folder.map_err(|error| failed(NotContained::by_files(&error)))?;
        let making = watch::Sender::new(false);
        let mut is_late = false;
        let built = {
            let building = self.build_in(&folder, server, image, random, output, &making);
            let mut building = Box::pin(building);
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    let mut answered = making.subscribe();
                    tokio::select! {
                        biased;
                        built = &mut building => built.map_err(failed),
                        _ = answered.wait_for(|making| !making) => Err(PrepareError::Cancelled),
                        () = sleep(PATIENCE) => {
                            is_late = true;
                            Err(PrepareError::Cancelled)
                        }
                    }
                }
                built = &mut building => built.map_err(failed),
            }
        };
        if is_late {
            // Whoever comes next looks again.
            folder.clear_but_folder(&self.source).await;
        } else {
            folder.clear(&self.source).await;
        }
        built
    }

    /// C-400, C-402, C-403
    async fn build_command(
        &self,
        engine: &Engine,
        server: &TaskServer,
        launch: &Launch,
        output: &Output,
    ) -> Result<ContainerCommand, NotContained> {
        let (facts, lines) = self.facts(server, None).await?;
        for line in lines {
            output.line(line);
        }
        let command = self.assemble(engine, &facts, launch).await?;
        for line in command.warnings.iter().chain(&command.console) {
            output.line(line.trim_end());
        }
        Ok(command)
    }

    async fn build_in(
        &self,
        folder: &BuildFolder,
        server: &TaskServer,
        image: &ImageBuild,
        random: String,
        output: &Output,
        making: &watch::Sender<bool>,
    ) -> Result<(), NotContained> {
        let by_engine = |error: EngineError| NotContained::by_engine(&error);
        let engine = self.engine(output).await?;
        let launch = Launch {
            worker: server.worker().to_string(),
            parent: self.parent.clone(),
            purpose: Purpose::Build {
                is_forced: image.is_forced,
                forgets: image.forgets,
            },
            is_service: false,
            random: random.clone(),
            configuration: folder.path().join("clearml.conf"),
            ssh_copy: folder.path().join("ssh"),
            runner: self.runner.clone(),
        };
        let command = self.build_command(&engine, server, &launch, output).await?;
        let (mut request, configuration) = self.request(&engine, &command, output)?;
        self.check_devices(&engine, &request).await?;
        self.bring_image(&engine, &command, &request, output)
            .await?;
        folder
            .remember(files::made(&command), &engine)
            .and_then(|()| files::make(&command, &configuration))
            .map_err(|error| NotContained::by_files(&error))?;
        output.line("Starting docker build");
        let labels = request.body.labels.get_or_insert_default();
        labels.insert(BUILD_LABEL.to_owned(), random.clone());
        // A name of the task's own arguments is for its runs.
        request.name = None;
        let secrets = image
            .forgets
            .then(|| secret_variables(request.body.env.as_deref().unwrap_or_default()));
        let has_terminal = request.body.tty == Some(true);
        let base = request.body.image.clone().unwrap_or_default();
        let parcels = self.parcels(&engine, &command, &mut request, output).await;
        if image.forgets {
            forget::check(&engine, &command, &parcels)?;
        }
        self.keep(&mut request, output);
        making.send_replace(true);
        let made = self.create(&engine, &command, request, &parcels).await;
        making.send_replace(false);
        let container = made.map_err(|error| self.not_made(&command, &error))??.id;
        engine.start(&container).await.map_err(by_engine)?;
        let seen = Seen::new(server.task().as_str());
        let mut console = Console::new(OwnOutput::new(output), seen);
        let ending = engine.wait(&container);
        let end = console.follow(&engine, &container, has_terminal, ending, || DRAIN, output);
        let end = end.await.map_err(by_engine)?;
        let seen = console.listener;
        succeeded(&end, &seen)?;
        output.line("Docker build done");
        if let (InnerAgent::Runner(_), Some(folder)) = (&command.boot.agent, &self.runner) {
            let archive = archive(&folder.join("clearml-agent")).await;
            let archive = archive.map_err(|error| {
                NotContained::because(
                    &format!("could not read the program for the image: {error}"),
                    None,
                )
            })?;
            let sent = engine.upload(&container, "/", archive).await;
            sent.map_err(by_engine)?;
        }
        output.line(format!("Committing docker container to: {}", image.name));
        let own = engine.image_command(&base).await.map_err(by_engine)?;
        let changes = image.changes(server.task().as_str(), &command.boot.agent, own, &seen);
        making.send_replace(true);
        let id = match secrets {
            None => engine.commit(&container, Some(&image.name), &changes).await,
            Some(names) => {
                if !names.is_empty() {
                    output.line(format!("Left out of the image: {}", names.join(", ")));
                }
                let label = (BUILD_LABEL, random.as_str());
                forget::commit(&engine, &container, &image.name, changes, &names, label).await
            }
        };
        output.line(id.map_err(by_engine)?);
        Ok(())
    }
}

impl ImageBuild {
    /// What the image has beside the container's files, as lines of a Dockerfile (C-405, C-408); `own` is the command of the
    /// image on which it stands.
    fn changes(
        &self,
        task: &str,
        agent: &InnerAgent,
        own: Vec<String>,
        seen: &Seen,
    ) -> Vec<String> {
        let entry_point = match self.entry_point {
            None => "[]".to_owned(),
            Some(what) => {
                let program = match agent {
                    InnerAgent::Runner(_) => format!("/{PROGRAM}"),
                    InnerAgent::Python(_) => "clearml-agent".to_owned(),
                };
                let clone = match what {
                    EntryPoint::Reuse => "",
                    EntryPoint::Clone => " --clone",
                };
                format!(
                    "if [ ! -s /tmp/clearml.conf ]; then cp -p ~/default_clearml.conf /tmp/clearml.conf; \
                     export CLEARML_CONFIG_FILE=/tmp/clearml.conf; fi; \
                     exec {program} execute --id {task} --standalone-mode{clone}"
                )
            }
        };
        // The engine fills an empty command with that of the container, unless there is an entry point.
        let words = match (self.entry_point, own.is_empty()) {
            (Some(_), _) => Vec::new(),
            (None, true) => vec!["sh".to_owned()],
            (None, false) => own,
        };
        let words = serde_json::Value::from(words);
        let mut changes = vec![
            format!("ENTRYPOINT {entry_point}"),
            format!("CMD {words}"),
            // Each container of the image is a worker of its own, and a token has an end.
            "ENV CLEARML_WORKER_ID=\"\" CLEARML_AUTH_TOKEN=\"\"".to_owned(),
            // A container of the image is none of the build.
            format!("LABEL {BUILD_LABEL}="),
            format!("LABEL {IMAGE_TASK}={task}"),
        ];
        if let Some(commit) = &seen.commit {
            changes.push(format!("LABEL {IMAGE_COMMIT}={commit}"));
        }
        changes
    }
}

impl Seen {
    fn new(task: &str) -> Self {
        Self {
            last: format!("{BUILT} [{task}]:"),
            line: Vec::new(),
            is_built: false,
            commit: None,
        }
    }

    fn look_at(&mut self, line: &str) {
        // pip leaves a terminal's codes at the beginning of the line behind its own.
        if line.ends_with(&self.last) {
            self.is_built = true;
        }
        let commit = line.strip_prefix(COMMIT).map(str::trim);
        let is_id = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(commit) = commit.filter(is_id).filter(|_| self.is_built) {
            self.commit = Some(commit.to_owned());
        }
    }
}

impl Listener for Seen {
    fn look(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.look_at(String::from_utf8_lossy(&line).trim());
            }
        }
    }
}

/// C-408: only what was built to its end becomes an image.
fn succeeded(ended: &End, seen: &Seen) -> Result<(), NotContained> {
    let hint = "what went wrong stands above; there is no new image";
    match end::outcome(ended, seen.is_built) {
        Outcome::Exited(0) => Ok(()),
        Outcome::Failed { why, .. } if ended.code == 0 => Err(NotContained::because(
            &why.replace("running the task", "building"),
            Some(hint),
        )),
        Outcome::Failed { why, .. } => Err(NotContained::because(&why, Some(hint))),
        _ => {
            let text = format!("the build in the container ended with code {}", ended.code);
            Err(NotContained::because(&text, Some(hint)))
        }
    }
}

/// The program, as it is unpacked in the root of the container (C-234).
async fn archive(program: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = tokio::fs::read(program).await?;
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(Vec::with_capacity(bytes.len() + 4096));
    archive.append_data(&mut header, PROGRAM, bytes.as_slice())?;
    archive.into_inner()
}

fn failed(failure: NotContained) -> PrepareError {
    let message = failure.message().to_owned();
    PrepareError::Failed(Box::new(Failure {
        hint: failure.hint,
        ..Failure::new(message)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(entry_point: Option<EntryPoint>) -> ImageBuild {
        ImageBuild {
            name: "mine:1".to_owned(),
            entry_point,
            is_forced: false,
            forgets: false,
            builds: PathBuf::new(),
        }
    }

    /// C-405, C-408
    #[test]
    fn an_image_runs_what_was_asked_for_and_says_what_is_in_it() {
        let mut seen = Seen::new("t1");
        for piece in [
            "Commit: abc1\r\n\x1b[0mRestoring running envi",
            "ronment of task id [t1]:\r\n",
        ] {
            seen.look(piece.as_bytes());
        }
        assert!(seen.is_built);
        assert_eq!(seen.commit, None, "it was printed by somebody else");
        seen.look(b"Commit: abc2\r\n");
        let runner = InnerAgent::default();
        let own = || vec!["python3".to_owned()];
        let changes = image(None).changes("t1", &runner, own(), &seen);
        let labels = ["LABEL clearml-task-id=t1", "LABEL clearml-task-commit=abc2"];
        assert_eq!(changes[..2], ["ENTRYPOINT []", "CMD [\"python3\"]"]);
        let emptied = "ENV CLEARML_WORKER_ID=\"\" CLEARML_AUTH_TOKEN=\"\"";
        assert_eq!(changes[2], emptied);
        assert_eq!(changes[3], "LABEL clearml-agent-build=");
        assert_eq!(changes[4..], labels);
        for (what, last) in [(EntryPoint::Reuse, ""), (EntryPoint::Clone, " --clone")] {
            let changes = image(Some(what)).changes("t1", &runner, own(), &seen);
            let program = "exec /usr/local/bin/clearml-agent";
            let end = format!("{program} execute --id t1 --standalone-mode{last}");
            assert!(changes[0].ends_with(&end), "{}", changes[0]);
            assert_eq!(changes[1], "CMD []");
        }
    }

    /// C-408
    #[test]
    fn what_has_not_built_becomes_no_image() {
        let end = |code| End {
            code,
            is_out_of_memory: false,
            error: String::new(),
            engine_was_away: false,
        };
        let mut seen = Seen::new("t1");
        assert!(succeeded(&end(0), &seen).is_err());
        seen.is_built = true;
        assert!(succeeded(&end(0), &seen).is_ok());
        assert!(succeeded(&end(1), &seen).is_err());
    }
}
