//! Hands a task over to a supervisor of its own, and sees to it that there is one until the run is settled.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::gpus::Lease;
use super::keys;
use super::poller::Pulled;
use crate::api::{QueueId, Session, TaskOwner, UserId, WorkerId};
use crate::control::service;
use crate::process::{Output, ProcessIdentity, Step, reached, start_session};
use crate::secrets::{Registry, SecretString};
use crate::settings::{Settings, env_vars};
use crate::storage::{Places, Slot, temporary_name};
use crate::task::{Ending, Entry, Owner, RunFolder, RunOptions};
use crate::ui::{is_quiet, logs_as_json};

/// The first pause before a supervisor that died is replaced.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long one try of a login as a task's owner may take.
const LOGIN: Duration = Duration::from_secs(30);
/// What a task that acts as its owner must not have.
const CREDENTIALS: [env_vars::Variable; 2] = [env_vars::API_ACCESS_KEY, env_vars::API_SECRET_KEY];
/// How often a starting supervisor is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A supervisor that fails sooner than this has failed at its start.
const START: Duration = Duration::from_secs(10);
/// How many supervisors may fail at their start, one after the other, before the run is given up.
const TRIES: u32 = 8;

/// How supervisors are started.
#[derive(Clone, Debug)]
pub struct Nursery {
    /// Where runs and their files are.
    pub places: Places,
    /// What supervisor and program get as their configuration, but for what depends on slot and worker.
    pub settings: Settings,
    /// The worker.
    pub worker: WorkerId,
    /// Its queues.
    pub queues: Vec<QueueId>,
    /// Its slot.
    pub slot: u32,
    /// How tasks are run, by the command line.
    pub options: RunOptions,
    /// Global options that supervisors get as well.
    pub arguments: Vec<String>,
    /// The way to the server, for tokens of owners.
    pub session: Session,
    /// Tasks act on the server as their owners (D-278).
    pub as_owner: bool,
}

/// A run that this worker watches.
#[derive(Debug)]
pub(super) struct WatchedRun {
    /// The run.
    pub(super) run: RunFolder,
    supervisor: Supervisor,
    started: Instant,
    failed_starts: u32,
    /// Where the supervisor of an earlier worker says how the task ended.
    ending: Option<File>,
    /// Until the supervisor holds the slot itself.
    claim: Option<Slot>,
    /// The GPUs that are the run's until it is settled, whoever supervises it.
    pub(super) lease: Option<Lease>,
}

/// A place of its own for a task that is its own worker (D-256).
#[derive(Debug)]
pub(super) struct Placement {
    /// Its id.
    pub(super) worker: String,
    /// Its slot.
    pub(super) number: u32,
    /// The slot, held until the supervisor holds it itself.
    pub(super) claim: Option<Slot>,
    /// Its GPUs, where they are dynamic; the slot is the lease's then.
    pub(super) lease: Option<Lease>,
    /// How the task is run.
    pub(super) options: RunOptions,
}

/// How the watch over a run ended.
#[derive(Debug)]
pub(super) enum RunEnd {
    /// The server has everything.
    Settled(Ending),
    /// The server does not let the task run with its owner's rights; nobody has told the server about the task.
    NotAllowed(String),
    /// Nobody has begun the task, and the worker leaves.
    Untouched,
    /// Its supervisor was told to end and has; what it could not tell the server is left to the next worker.
    Left,
    /// Its supervisors fail at their start, the last one with this status; nobody has told the server.
    Hopeless(ExitStatus),
}

/// Why there is no supervisor.
#[derive(Debug)]
enum StartError {
    /// Another time it may work.
    Later(String),
    /// It never will.
    NotAllowed(String),
}

#[derive(Debug)]
enum Supervisor {
    /// Started by an earlier worker.
    Adopted(ProcessIdentity),
    /// Started by this one.
    Child(tokio::process::Child),
    /// Died; the run is not settled.
    Missing,
}

impl Nursery {
    /// Writes the run down and starts its supervisor; the task is a worker of its own in the place that it is given.
    pub(super) fn hand_over(
        &self,
        pulled: &Pulled,
        place: Option<Placement>,
    ) -> io::Result<WatchedRun> {
        let worker = place
            .as_ref()
            .map_or_else(|| self.worker.to_string(), |place| place.worker.clone());
        let slot = place.as_ref().map_or(self.slot, |place| place.number);
        let name = |folder: &Path, prefix, suffix| folder.join(temporary_name(prefix, suffix));
        let mut entry = Entry::new(
            pulled.task.to_string(),
            worker,
            pulled.queue.to_string(),
            name(&self.places.temporary, ".clearml_agent.", ".cfg"),
            name(&self.places.temporary, ".clearml_agent_out.", ".txt"),
        );
        entry.slot = slot;
        entry.origin = self.settings.location().map(PathBuf::from);
        entry.keeps_output = self.options.debug;
        entry.owner = self.as_owner.then(|| owner(pulled));
        if let Some(place) = &place {
            entry.parent = Some(self.worker.to_string());
            entry.options = place.options.clone();
        } else {
            entry.queues = self.queues.iter().map(ToString::to_string).collect();
            entry.options = self.options.clone();
        }
        let run = RunFolder::create(&self.places, &entry)?;
        reached(Step::Recorded);
        // The task is marked as failed then: nobody must find it here and run it.
        let mut watched = self
            .adopt(run.clone())
            .inspect_err(|_| run.remove(&entry))?;
        if let Some(place) = place {
            watched.claim = place.claim;
            watched.lease = place.lease;
        }
        reached(Step::Supervised);
        Ok(watched)
    }

    /// The token of the owner of a run; none where it runs with the worker's own rights.
    async fn owner_token(&self, run: &RunFolder) -> Result<Option<SecretString>, StartError> {
        let entry = run.read().ok();
        let Some((task, owner)) = entry.and_then(|entry| Some((entry.task, entry.owner?))) else {
            return Ok(None);
        };
        let unknown = || {
            StartError::NotAllowed(format!(
                "Error: cannot retrieve owner user for the task '{task}', skipping"
            ))
        };
        let user = owner.user.as_deref().and_then(|user| user.parse().ok());
        let owner = TaskOwner {
            user: Some(user.ok_or_else(unknown)?),
            company: owner.company,
        };
        let session = self.session.clone().with_deadline(LOGIN);
        match session.owner_token(&owner).await {
            Ok(token) => Ok(Some(token.ok_or_else(unknown)?)),
            Err(error) if error.refusal().is_none() => {
                Err(StartError::Later(error.reference_text()))
            }
            Err(error) => {
                let user = owner.user.as_ref().map(UserId::as_str).unwrap_or_default();
                Err(StartError::NotAllowed(format!(
                    "Error: Could not login as the user '{user}' for the task '{task}', skipping: {}",
                    error.reference_text()
                )))
            }
        }
    }

    async fn supervisor(&self, run: &RunFolder) -> Result<Supervisor, StartError> {
        let token = self.owner_token(run).await?;
        let child = self.start(run, token.as_ref());
        if let Some(token) = token {
            // It is the supervisor's from now on.
            Registry::global().forget(token.expose());
        }
        let child = child.map_err(|error| StartError::Later(error.to_string()))?;
        Ok(Supervisor::Child(child))
    }

    /// Watches over a run that is there already; starts a supervisor where it has none.
    pub(super) fn adopt(&self, run: RunFolder) -> io::Result<WatchedRun> {
        run.watch()?;
        let entry = run.read().ok();
        if let Some(entry) = entry.as_ref().filter(|entry| entry.is_untouched()) {
            self.make_files(&run, entry)?;
        } else if let Some(entry) = &entry {
            keys::hand_on(&self.settings, entry);
        }
        let has_owner = entry.as_ref().is_some_and(|entry| entry.owner.is_some());
        let supervisor = match run.supervised().and_then(|entry| entry.supervisor) {
            Some(process) => Supervisor::Adopted(process),
            // It waits for the server's leave.
            None if has_owner => Supervisor::Missing,
            None => Supervisor::Child(self.start(&run, None)?),
        };
        let ending = match &supervisor {
            // Without it nobody knows, which is no reason not to watch.
            Supervisor::Adopted(_) => run.hear_ending().ok(),
            Supervisor::Child(_) | Supervisor::Missing => None,
        };
        Ok(WatchedRun {
            run,
            supervisor,
            ending,
            started: Instant::now(),
            failed_starts: 0,
            claim: None,
            lease: None,
        })
    }

    /// The configuration and the output file that the journal names, for the owner alone (D-150, D-152, D-208).
    ///
    /// What is written before it is complete is in the run's folder: whoever is killed leaves nothing elsewhere that the
    /// journal does not name.
    fn make_files(&self, run: &RunFolder, entry: &Entry) -> io::Result<()> {
        let mut settings = placed(&self.settings, &entry.worker, entry.slot);
        if entry.owner.is_some() {
            settings = settings.without_credentials();
        }
        let draft = run.draft();
        settings.write(&draft)?;
        if fs::rename(&draft, &entry.configuration).is_err() {
            // It is on another disk.
            fs::copy(&draft, &entry.configuration)?;
            fs::remove_file(&draft)?;
        }
        Output::append(&entry.output).map(drop)
    }

    /// The very file that this process runs, also when another one has taken its name in the meantime.
    ///
    /// With a `token` of the task's owner it knows no other way to the server.
    fn start(
        &self,
        run: &RunFolder,
        token: Option<&SecretString>,
    ) -> io::Result<tokio::process::Child> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("clearml-agent")
            .args(&self.arguments)
            .arg("supervise")
            .arg("--journal")
            .arg(run.journal())
            .args(logs_as_json().then_some("--log-format=json"))
            .args(is_quiet().then_some("--quiet"))
            .stdin(Stdio::from(File::open("/dev/null")?));
        for name in self.overruled() {
            command.env_remove(name);
        }
        if let Some(token) = token {
            for variable in CREDENTIALS {
                for name in variable.names() {
                    command.env_remove(name);
                }
            }
            command.env(env_vars::AUTH_TOKEN.name, token.expose());
        }
        start_session(&mut command);
        tokio::process::Command::from(command).spawn()
    }
}

impl Nursery {
    /// Variables that programs of the worker do not get: what the command line has overruled must not come back through
    /// their environment (E-027), and they do not speak to the service manager.
    pub(super) fn overruled(&self) -> Vec<OsString> {
        let variables = self.settings.environment();
        std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| variables.get(&name.to_string_lossy()).is_none())
            .chain(service::VARIABLES.into_iter().map(OsString::from))
            .collect()
    }
}

fn owner(pulled: &Pulled) -> Owner {
    let owner = pulled.owner.as_ref();
    Owner {
        user: owner
            .and_then(|owner| owner.user.as_ref())
            .map(ToString::to_string),
        company: owner.and_then(|owner| owner.company.clone()),
    }
}

/// What depends on slot and worker is in the settings of a task (D-125, D-132).
pub fn placed(settings: &Settings, worker: &str, slot: u32) -> Settings {
    settings
        .with_folders(slot as usize)
        .with_detected("agent.worker_id", worker.to_owned())
}

impl WatchedRun {
    /// True where no supervisor has been started yet.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.supervisor, Supervisor::Missing)
    }

    /// True while the slot is held for a supervisor that does not hold it yet.
    pub(super) fn has_claim(&self) -> bool {
        self.claim.is_some()
    }

    /// The supervisor holds the slot itself.
    pub(super) fn give_claim_up(&mut self) {
        self.claim = None;
    }

    /// Waits until the run is settled, with as many supervisors as it takes; gives up where none comes to its work.
    pub(super) async fn settled(&mut self, nursery: &Nursery) -> RunEnd {
        let mut pause = FIRST_PAUSE;
        loop {
            if matches!(self.supervisor, Supervisor::Missing) {
                self.started = Instant::now();
                match nursery.supervisor(&self.run).await {
                    Ok(supervisor) => self.supervisor = supervisor,
                    Err(StartError::Later(error)) => {
                        tracing::warn!(error, "could not start a supervisor");
                    }
                    Err(StartError::NotAllowed(reason)) => return RunEnd::NotAllowed(reason),
                }
            }
            let status = self.supervisor_ended().await;
            if !self.run.journal().exists() {
                self.run.clear();
                let code = match status {
                    Some(status) => status.code(),
                    None => self.told(),
                };
                return RunEnd::Settled(Ending::of_code(code));
            }
            if let Some(process) = self.supervisor_of_another() {
                self.supervisor = Supervisor::Adopted(process);
                continue;
            }
            match status.filter(|status| !status.success()) {
                Some(status) if self.started.elapsed() < START => {
                    self.failed_starts += 1;
                    if self.failed_starts >= TRIES {
                        return RunEnd::Hopeless(status);
                    }
                }
                _ => self.failed_starts = 0,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.supervisor = Supervisor::Missing;
        }
    }

    /// Two workers may have found the same run: one of their supervisors has it.
    fn supervisor_of_another(&self) -> Option<ProcessIdentity> {
        let process = self.run.supervised()?.supervisor?;
        process.is_alive().then_some(process)
    }

    /// What the supervisor of an earlier worker has said.
    fn told(&self) -> Option<i32> {
        let mut code = [0];
        let file = self.ending.as_ref()?;
        file.read_exact_at(&mut code, 0).ok()?;
        Some(code[0].into())
    }

    /// Removes the run unsettled; gives the file that holds what its program has printed.
    pub(super) fn abandon(&self) -> Option<PathBuf> {
        let mut entry = self.run.read().ok()?;
        let has_output = fs::metadata(&entry.output).is_ok_and(|output| output.len() > 0);
        entry.keeps_output |= has_output;
        self.run.remove(&entry);
        has_output.then_some(entry.output)
    }

    /// Waits for the end of the present supervisor; the run may not be settled then.
    pub(super) async fn supervisor_ended(&mut self) -> Option<ExitStatus> {
        match &mut self.supervisor {
            Supervisor::Adopted(process) => {
                process.ended().await;
                None
            }
            // Whether the run is settled is in the journal, not in its exit status.
            Supervisor::Child(child) => child.wait().await.ok(),
            Supervisor::Missing => None,
        }
    }

    /// Passes a signal on to the supervisor, as soon as it listens.
    pub(super) async fn signal(&self, signal: Signal) {
        let Some(process) = self.listening().await else {
            return;
        };
        // Gone already is what the signal is for.
        let _ = process.signal(signal);
    }

    /// A supervisor that has signed the journal listens; one that is only starting would die of the signal.
    async fn listening(&self) -> Option<ProcessIdentity> {
        loop {
            let process = match &self.supervisor {
                Supervisor::Adopted(process) => Some(*process),
                Supervisor::Child(child) => child
                    .id()
                    .and_then(|pid| ProcessIdentity::of(i32::try_from(pid).ok()?)),
                Supervisor::Missing => None,
            }?;
            if !process.is_alive() || self.run.read().ok()?.supervisor == Some(process) {
                return Some(process);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
