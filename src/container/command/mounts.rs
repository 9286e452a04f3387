//! What a container sees of this machine (C 1.7, 1.10).

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::facts::{HostFacts, Launch};
use super::options::ContainerOptions;
use super::{Copy, Purpose};
use crate::container::boot::RUNNER_FOLDER;
use crate::settings::ContainerSettings;

/// The configuration in a container (C-107).
const CONFIGURATION: &str = "/tmp/clearml.conf";
/// What a worker's id keeps in the name of a file (C-074).
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The mounts of one container.
#[derive(Default)]
pub(super) struct Mounts {
    /// Wheel and files of git, before the container's name.
    pub(super) before_name: Vec<String>,
    /// The rest.
    pub(super) after_name: Vec<String>,
    /// The folder in the container with ssh keys.
    pub(super) has_ssh: bool,
    /// The folder in the container with the files of git.
    pub(super) has_git: bool,
    pub(super) folders: Vec<PathBuf>,
    pub(super) copies: Vec<Copy>,
    /// Where the agent writes the configuration.
    pub(super) configuration: PathBuf,
}

impl Mounts {
    /// The mounts in their order (C-130).
    pub(super) fn of(
        options: &ContainerOptions,
        host: &HostFacts,
        launch: &Launch,
        is_python: bool,
    ) -> Self {
        let settings = &options.settings;
        let places = Places { settings, launch };
        let mut mounts = Self::default();
        if let Some(wheel) = &settings.agent_wheel {
            let name = file_name(wheel);
            let outside = mounts.shared(&places, wheel, &name);
            push_mount(&mut mounts.before_name, &outside, &format!("/tmp/{name}"));
        }
        let git = settings.inside.git_mount();
        for file in &host.git_files {
            let name = file_name(file);
            let outside = mounts.shared(&places, file, &name);
            push_mount(&mut mounts.before_name, &outside, &format!("{git}/{name}"));
            mounts.has_git = true;
        }
        // A folder that the engine cannot see: the runner gets in by another way.
        let runner = launch.runner.as_ref().filter(|_| !is_python);
        if let Some(outside) = runner.and_then(|folder| places.outside(folder)) {
            push_mount(
                &mut mounts.before_name,
                &outside,
                &format!("{RUNNER_FOLDER}:ro"),
            );
        }
        mounts.configuration = places
            .own("cfg")
            .map_or_else(|| launch.configuration.clone(), |(inside, _)| inside);
        let outside = places
            .own("cfg")
            .map_or_else(|| text(&launch.configuration), |(_, outside)| outside);
        push_mount(&mut mounts.after_name, &outside, CONFIGURATION);
        mounts.after_name.extend([
            "-e".to_owned(),
            format!("CLEARML_CONFIG_FILE={CONFIGURATION}"),
        ]);
        mounts.add_ssh(&places, host);
        mounts.add_caches(&places);
        mounts
    }

    /// C-112: `~/.ssh` itself is never mounted.
    fn add_ssh(&mut self, places: &Places<'_>, host: &HostFacts) {
        let settings = places.settings;
        if settings.ssh_socket.is_some() || settings.disables_ssh_mount || !host.has_ssh_folder {
            return;
        }
        let (to, outside) = places.own("ssh").unwrap_or_else(|| {
            let copy = places.launch.ssh_copy.clone();
            (copy.clone(), text(&copy))
        });
        self.copies.push(Copy {
            from: host.home.join(".ssh"),
            to,
        });
        push_mount(&mut self.after_name, &outside, &settings.inside.ssh_mount);
        self.has_ssh = true;
    }

    fn add_caches(&mut self, places: &Places<'_>) {
        for (folder, inside) in caches(places.settings) {
            if let Some(outside) = places.outside(folder) {
                push_mount(&mut self.after_name, &outside, inside);
                self.folders.push(folder.clone());
            }
        }
    }

    /// Where the engine finds a file; below the host mount, that of a copy (C-074a).
    fn shared(&mut self, places: &Places<'_>, file: &Path, name: &str) -> String {
        if let Some(outside) = places.outside(file) {
            return outside;
        }
        let (to, outside) = places
            .own(name.trim_start_matches('.'))
            .unwrap_or_else(|| (file.to_owned(), text(file)));
        self.copies.push(Copy {
            from: file.to_owned(),
            to,
        });
        outside
    }
}

/// Paths of the agent, as the engine knows them.
#[derive(Clone, Copy)]
struct Places<'a> {
    settings: &'a ContainerSettings,
    launch: &'a Launch,
}

impl Places<'_> {
    fn outside(&self, path: &Path) -> Option<String> {
        engine_path(self.settings, path)
    }

    /// A file of this container below the host mount, as the agent and as the engine see it (C-074).
    fn own(&self, name: &str) -> Option<(PathBuf, String)> {
        let mount = self.settings.host_mount.as_ref()?;
        let worker = utf8_percent_encode(&self.launch.worker, IN_NAMES);
        let name = format!(".clearml_agent.{worker}.{name}");
        Some((
            Path::new(&mount.inside).join(&name),
            text(&Path::new(&mount.host).join(&name)),
        ))
    }
}

/// A path of the agent on the engine's machine; none for what is not below the host mount (C-072, C-073).
pub fn engine_path(settings: &ContainerSettings, path: &Path) -> Option<String> {
    let path = text(path);
    match &settings.host_mount {
        None => Some(path),
        Some(mount) => path
            .contains(&mount.inside)
            .then(|| path.replacen(&mount.inside, &mount.host, 1)),
    }
}

/// The folders of this machine with their places in a container, in their order (C-100 to C-106).
fn caches(settings: &ContainerSettings) -> impl Iterator<Item = (&PathBuf, &str)> {
    let (caches, inside) = (&settings.caches, &settings.inside);
    let poetry = caches.poetry.as_ref().filter(|_| settings.uses_poetry);
    [
        (caches.apt.as_ref(), &inside.apt),
        (caches.pip.as_ref(), &inside.pip),
        (poetry, &inside.poetry),
        (caches.pip_download.as_ref(), &inside.pip_download),
        (caches.sdk.as_ref(), &inside.sdk),
        (caches.vcs.as_ref(), &inside.vcs),
        (caches.venvs.as_ref(), &inside.venvs),
    ]
    .into_iter()
    .filter_map(|(folder, inside)| Some((folder?, inside.as_str())))
}

/// What an agent says once, when it starts: which folders its containers do not see (C-073, C-113).
pub fn start_up_lines(settings: &ContainerSettings, host: &HostFacts) -> Vec<String> {
    let missing = caches(settings).filter(|(folder, _)| engine_path(settings, folder).is_none());
    let mut lines: Vec<String> = missing
        .map(|(folder, _)| {
            let folder = folder.display();
            format!("Warning: K8S mount missing, ignoring cached folder {folder}")
        })
        .collect();
    let wants_ssh = settings.ssh_socket.is_none() && !settings.disables_ssh_mount;
    if wants_ssh && host.has_closed_ssh_folder {
        lines.push(
            "Failed creating temporary copy of ~/.ssh for git credential, removing mount!"
                .to_owned(),
        );
    }
    lines
}

fn push_mount(words: &mut Vec<String>, outside: &str, inside: &str) {
    words.push("-v".to_owned());
    words.push(format!("{outside}:{inside}"));
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Purpose {
    /// An image is made.
    pub(super) fn is_build(self) -> bool {
        matches!(self, Self::Build { .. })
    }
}
