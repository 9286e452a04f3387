//! From the task's fields to a container that is about to be started (C 3.1).

use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::create::Order;
use super::upload::Parcel;
use super::{
    Contained, ContainedRun, Containment, RUN_LABEL, TASK_LABEL, end, files, gateway, host_mount,
    upload, watch,
};
use crate::api::QueueId;
use crate::container::args::{self, ApiVersion, ArgsError, CreateRequest, PullPolicy};
use crate::container::boot::{InnerAgent, RUNNER_FOLDER};
use crate::container::command::{
    ContainerCommand, ContainerFacts, HostFacts, Launch, Purpose, WriteBack, own_container,
};
use crate::container::engine::{Created, EndpointSource, Engine, EngineError, Label, Logins};
use crate::logs::Level;
use crate::process::{Output, Step, reached};
use crate::secrets::{SecretString, register_assignment};
use crate::task::container_facts::{container_facts, tell_container};
use crate::task::journal::{Journal, Phase};
use crate::task::outcome::Outcome;
use crate::task::server::TaskServer;
use crate::task::streams::Streams;
use crate::task::timeline::{EARLIER, Earlier};

/// How long a task waits for an engine that is being restarted.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
/// How long an engine may take for what a container leaves.
pub(super) const END: Duration = Duration::from_secs(10);
/// How long the last output of a container that has ended may take.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// Why there is no container, in words for the user.
#[derive(Debug)]
pub(super) struct NotContained {
    pub(super) outcome: Outcome,
    pub(super) hint: Option<String>,
    /// The engine may answer later.
    pub(super) is_passing: bool,
}

impl NotContained {
    pub(super) fn because(message: &dyn Display, hint: Option<&str>) -> Self {
        Self {
            outcome: Outcome::not_started(message.to_string()),
            hint: hint.map(str::to_owned),
            is_passing: false,
        }
    }

    pub(super) fn by_files(error: &io::Error) -> Self {
        Self::because(
            &format!("could not write what the container needs: {error}"),
            Some("free space, and let this user write there"),
        )
    }

    /// The image is to blame, which the status says.
    fn of_image(mut self) -> Self {
        if let Outcome::Failed { why, .. } = &mut self.outcome
            && !self.is_passing
        {
            *why = format!("image: {why}");
        }
        self
    }

    /// What and why, without the hint.
    pub(super) fn message(&self) -> &str {
        match &self.outcome {
            Outcome::NotStarted { message, .. } => message,
            Outcome::Failed { why, .. } => why,
            _ => "there is no container",
        }
    }

    pub(super) fn by_engine(error: &EngineError) -> Self {
        Self {
            outcome: end::not_started(error),
            hint: error.hint(),
            is_passing: error.is_passing(),
        }
    }
}

impl Containment {
    /// Makes the container of a run; it is started by who attends to it.
    pub(super) async fn make(
        &self,
        run: &ContainedRun<'_>,
    ) -> Result<(Order, Contained), NotContained> {
        let ContainedRun {
            server,
            journal,
            streams,
            ..
        } = *run;
        let output = &streams.output;
        let engine = self.engine(output).await?;
        let command = self.command(&engine, server, journal, streams).await?;
        self.announce(&command, server, streams).await;
        let (mut request, configuration) = self.request(&engine, &command, output)?;
        self.check_devices(&engine, &request).await?;
        let begun = Instant::now();
        self.bring_image(&engine, &command, &request, output)
            .await?;
        let image = begun.elapsed();
        let labels = request.body.labels.get_or_insert_default();
        labels.insert(RUN_LABEL.to_owned(), journal.folder().name());
        labels.insert(TASK_LABEL.to_owned(), journal.entry().task);
        let mut contained = Contained {
            id: None,
            has_terminal: request.body.tty == Some(true),
            base: 0,
            copies: files::made(&command),
            is_late: false,
        };
        // Keys must not stay where this process is killed while it copies them.
        journal.update(|entry| entry.container = Some(contained.clone()));
        files::make(&command, &configuration).map_err(|error| NotContained::by_files(&error))?;
        let written = |contained: &Contained| {
            let contained = contained.clone();
            journal.update(|entry| {
                entry.phase = Phase::Contained;
                entry.container = Some(contained);
            });
        };
        written(&contained);
        reached(Step::Copied);
        let parcels = self.parcels(&engine, &command, &mut request, output).await;
        self.keep(&mut request, output);
        let owner = journal.entry().owner;
        let store = self
            .store_for(&engine, &command, owner.as_ref(), &request)
            .await;
        self.tell_time(&engine, &command, image, &mut request);
        let mut order = Order {
            store,
            engine,
            command,
            request,
            parcels,
            run: journal.folder().name(),
        };
        let made = self.fill(&mut order, output).await?;
        reached(Step::Created);
        written(&note(made, &mut contained, run));
        Ok((order, contained))
    }

    /// Lets the agent inside say what the agent outside has spent time on; by another machine's clock it could not be told.
    fn tell_time(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        image: Duration,
        request: &mut CreateRequest,
    ) {
        let is_told = matches!(command.boot.agent, InnerAgent::Runner(_))
            && !self.is_own_worker
            && !engine.endpoint().is_remote();
        if is_told {
            let text = Earlier::text(image, self.says_timings);
            let variables = request.body.env.get_or_insert_default();
            variables.push(format!("{EARLIER}={text}"));
        }
    }

    /// Starts what was ordered; another one without the store where the engine finds out only now that it cannot mount it.
    /// False where the container has ended already, or is gone: who waits for it finds out what that means.
    pub(super) async fn begin(
        &self,
        order: &mut Order,
        contained: &mut Contained,
        run: &ContainedRun<'_>,
    ) -> Result<bool, NotContained> {
        let output = &run.streams.output;
        let by_engine = |error: EngineError| NotContained::by_engine(&error);
        let written = |contained: &Contained| {
            let contained = contained.clone();
            run.journal
                .update(|entry| entry.container = Some(contained));
        };
        let id = contained.id.as_deref().unwrap_or_default();
        match watch::start(&order.engine, id).await {
            Err(error) if order.leaves_store_out(&error, output) => {}
            started => return started.map_err(by_engine),
        }
        // Nothing has run; and where this process ends now, the other may come all the same.
        contained.id = None;
        contained.is_late = true;
        written(contained);
        self.discard(order).await;
        let made = self.fill(order, output).await?;
        contained.is_late = false;
        written(&note(made, contained, run));
        let id = contained.id.as_deref().unwrap_or_default();
        watch::start(&order.engine, id).await.map_err(by_engine)
    }

    /// What the engine cannot mount, because it does not see this machine's files, or not these (C-236).
    pub(super) async fn parcels(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        request: &mut CreateRequest,
        output: &Output,
    ) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let own = self.own_files(command);
        if engine.endpoint().is_remote() {
            parcels = upload::take_out(&mut request.body, &own);
        } else if let Some(mounts) = self.own_mounts(engine).await {
            let moved = mounts.apply(&mut request.body, &own, &command.folders);
            if !moved.lost.is_empty() {
                output.line(format!(
                    "NOTICE: the agent is in a container, and its engine does not see {}: this task has no such caches",
                    moved.lost.join(", ")
                ));
            }
            parcels = moved.parcels;
        }
        let host = request.body.host_config.as_ref();
        let mut binds = host
            .and_then(|host| host.binds.as_ref())
            .into_iter()
            .flatten();
        let is_mounted = binds.any(|bind| bind.split(':').nth(1) == Some(RUNNER_FOLDER));
        let is_there = is_mounted || parcels.iter().any(|parcel| parcel.is_at(RUNNER_FOLDER));
        let wants_it = matches!(command.boot.agent, InnerAgent::Runner(_));
        if let (true, false, Some(runner)) = (wants_it, is_there, &self.runner) {
            parcels.push(Parcel::new(runner.clone(), RUNNER_FOLDER));
        }
        if let Some(mount) = &self.options.settings.host_mount {
            host_mount::insist(mount, &own, &mut request.body);
        }
        parcels
    }

    /// Why the engine has made no container.
    pub(super) fn not_made(&self, command: &ContainerCommand, error: &EngineError) -> NotContained {
        let mount = self.options.settings.host_mount.as_ref();
        mount
            .and_then(|mount| host_mount::fault(mount, &self.own_files(command), error))
            .unwrap_or_else(|| NotContained::by_engine(error))
    }

    /// The machine as the containers of this run meet it; an agent in a container finds out about its network (C-071).
    async fn host(&self, engine: &Engine) -> HostFacts {
        let mut host = self.host.clone();
        let settings = &self.options.settings;
        if settings.host_mount.is_some() || settings.is_in_cluster {
            let read = |path: &str| std::fs::read_to_string(path).ok();
            for id in own_container(read, self.options.variables.get("HOSTNAME")) {
                if let Ok(Some(network)) = engine.network(&id).await {
                    host.own_network = Some(network);
                    break;
                }
            }
        }
        host
    }

    async fn command(
        &self,
        engine: &Engine,
        server: &TaskServer,
        journal: &Journal,
        streams: &Streams,
    ) -> Result<ContainerCommand, NotContained> {
        let entry = journal.entry();
        let queue: Option<QueueId> = entry.queue.parse().ok();
        let (facts, lines) = self.facts(server, queue.as_ref()).await?;
        for line in lines {
            streams.echo.say(line);
        }
        let folder = journal.folder().own("container");
        let launch = Launch {
            worker: entry.worker.clone(),
            parent: self.parent.clone(),
            purpose: if self.is_own_worker {
                Purpose::Worker
            } else {
                Purpose::Task
            },
            is_service: self.is_service,
            random: Launch::random_text(),
            configuration: folder.join("clearml.conf"),
            ssh_copy: folder.join("ssh"),
            runner: self.runner.clone(),
        };
        self.assemble(engine, &facts, &launch).await
    }

    /// What the server says of the task's container, and what is to be said of it.
    pub(super) async fn facts(
        &self,
        server: &TaskServer,
        queue: Option<&QueueId>,
    ) -> Result<(ContainerFacts, Vec<String>), NotContained> {
        let facts = container_facts(server, &self.options, queue).await;
        facts.map_err(|error| {
            let reason = error.reference_text();
            NotContained::because(
                &format!("could not read the container of the task: {reason}"),
                error.hint(),
            )
        })
    }

    /// The command of a container, whose secrets are known as such from here on.
    pub(super) async fn assemble(
        &self,
        engine: &Engine,
        facts: &ContainerFacts,
        launch: &Launch,
    ) -> Result<ContainerCommand, NotContained> {
        let host = self.host(engine).await;
        let command = ContainerCommand::of(&self.options, facts, &host, launch);
        let command = command.map_err(|error| {
            let hint = error.hint();
            NotContained::because(&error, Some(hint))
        })?;
        register_secrets(&command);
        Ok(command)
    }

    /// What the task's console and its fields say about the container (C-020, C-063, C-140).
    async fn announce(&self, command: &ContainerCommand, server: &TaskServer, streams: &Streams) {
        for line in &command.warnings {
            streams.echo.say(line.as_str());
        }
        for line in &command.console {
            streams.echo.say(line.trim_end());
            streams
                .log
                .notice(Level::Info, format!("{}\n", line.trim_end_matches('\n')));
        }
        if let Some(WriteBack::ByRule(_)) = command.write_back {
            let text = "INFO: Updating the Task with the selected container with rule";
            streams.echo.say(text);
        }
        for line in tell_container(server, command).await {
            streams.echo.say(format!("WARNING: {line}"));
        }
    }

    /// What the engine is asked for, and the configuration for the container.
    pub(super) fn request(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        output: &Output,
    ) -> Result<(CreateRequest, String), NotContained> {
        let (major, minor) = engine.api_version();
        let refused = |error: ArgsError| {
            let hint = error.hint();
            NotContained::because(&error, hint.as_deref())
        };
        let parsed = args::parse(&command.words[1..]).map_err(refused)?;
        let mut request = parsed
            .create_request(ApiVersion::new(major, minor), &self.context)
            .map_err(refused)?;
        let mut configuration = self.configuration.clone();
        for line in gateway::redirect(&mut configuration, &mut request.body) {
            output.line(line);
        }
        Ok((request, configuration))
    }

    /// The engine; one that is being restarted is waited for.
    pub(super) async fn engine(&self, output: &Output) -> Result<Engine, NotContained> {
        self.engine_for(|line| output.line(line)).await
    }

    /// The same; what is to be said goes to `say`. Behind the first byte of a container's output its file is not ours to write.
    pub(super) async fn engine_for(&self, say: impl Fn(String)) -> Result<Engine, NotContained> {
        let endpoint = self.source.endpoint();
        let endpoint = endpoint.map_err(|error| NotContained::by_engine(&error))?;
        let begin = Instant::now();
        let mut is_said = false;
        loop {
            match Engine::connect(&endpoint).await {
                Ok(engine) => return Ok(engine),
                Err(error) if error.is_passing() && begin.elapsed() < PATIENCE => {
                    if !std::mem::replace(&mut is_said, true) {
                        say(format!(
                            "{error}, trying for {} seconds",
                            PATIENCE.as_secs()
                        ));
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(NotContained::by_engine(&error)),
            }
        }
    }

    /// C-086
    pub(super) async fn bring_image(
        &self,
        engine: &Engine,
        command: &ContainerCommand,
        request: &CreateRequest,
        output: &Output,
    ) -> Result<(), NotContained> {
        let image = request.body.image.as_deref().unwrap_or_default();
        let by_engine = |error: EngineError| NotContained::by_engine(&error);
        let has_it = engine.has_image(image).await.map_err(by_engine)?;
        let is_pulled = match request.pull {
            PullPolicy::Always => true,
            PullPolicy::Missing => command.pulls_first || !has_it,
            PullPolicy::Never if has_it => false,
            PullPolicy::Never => {
                return Err(by_engine(EngineError::NoImage(image.to_owned())).of_image());
            }
        };
        if !is_pulled {
            return Ok(());
        }
        if !has_it {
            output.line(format!("Unable to find image '{image}' locally"));
        }
        let logins = Logins {
            folder: &self.source.folder,
            search_path: &self.search_path,
        };
        let say = |line: String| output.line(line);
        let _doing = output.doing(format!("pulling {image}"));
        let pulled = engine.pull(image, request.platform.as_deref(), logins, say);
        match pulled.await {
            // The one that is here is good enough, as before the pull.
            Err(error) if has_it && request.pull != PullPolicy::Always => {
                output.line(format!(
                    "WARNING: {error}; the image on this machine is used"
                ));
                Ok(())
            }
            other => other.map_err(|error| by_engine(error).of_image()),
        }
    }
}

/// What the engine has made. Its console begins where the output file ends now.
fn note(made: Created, contained: &mut Contained, run: &ContainedRun<'_>) -> Contained {
    for warning in made.warnings {
        run.streams.output.line(format!("WARNING: {warning}"));
    }
    let output = run.journal.entry().output;
    contained.base = output.metadata().map_or(0, |file| file.len());
    contained.id = Some(made.id);
    contained.clone()
}

/// Removes all containers with a label; an engine that does not answer is not waited for.
pub(super) async fn remove_labelled(source: &EndpointSource, label: Label<'_>) -> bool {
    let removed = timeout(END, async {
        let engine = Engine::connect(&source.endpoint()?).await?;
        for container in engine.with_label(label).await? {
            engine.remove(&container).await?;
        }
        Ok::<_, EngineError>(())
    });
    match removed.await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%error, "could not remove the container"),
        Err(_) => tracing::warn!("the engine does not remove the container"),
    }
    false
}

/// What is starred in the command is a secret wherever else it is printed.
fn register_secrets(command: &ContainerCommand) {
    const STARS: &str = "********";
    for (word, shown) in command.words.iter().zip(&command.shown) {
        register_assignment(word);
        let Some((before, after)) = shown.split_once(STARS) else {
            continue;
        };
        let value = word.strip_prefix(before);
        let value = value.and_then(|rest| rest.strip_suffix(after));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            SecretString::new(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::mask;

    /// C-142
    #[test]
    fn what_is_starred_is_known_as_a_secret() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        register_secrets(&ContainerCommand {
            words: texts(&[
                "-e",
                "K=starred-value-1",
                "-e",
                "U=https://u:starred-value-2@h/x",
            ]),
            shown: texts(&["-e", "K=********", "-e", "U=https://u:********@h/x"]),
            ..ContainerCommand::default()
        });
        let text = mask("docker_cmd = a starred-value-1 b starred-value-2 c");
        assert_eq!(text, "docker_cmd = a **** b **** c");
    }
}
