//! Settings: the HOCON dialect, the layers and the origin of each value.
//!
//! [`Settings::load`] reads all layers once; afterwards the values do not change. Copies share one memory.

mod agent;
mod api;
pub mod env_vars;
mod environment;
mod error;
mod files;
pub mod hocon;
mod layers;
mod lookup;
mod packages;
mod printout;
mod start;

#[cfg(test)]
mod agent_cases;
#[cfg(test)]
mod load_cases;
#[cfg(test)]
mod overrides_cases;
#[cfg(test)]
mod sample;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use agent::{
    AgentSettings, CudaSettings, ExtraCredential, FolderCache, GitSettings, MonitoringSettings,
    PackageManagerKind, PackageManagerSettings, PipDownloadCache, PytorchResolve, VcsCache,
    VenvsCache,
};
pub use api::{
    ApiSettings, CertificateCheck, Credentials, HttpSettings, InitialConnect, RequestMethod,
    RetrySettings,
};
pub use environment::{Environment, InvalidTruth, truth};
pub use error::SettingsError;
pub use files::FILE_NAME;
pub use layers::Overrides;
pub use printout::{DockerArgumentMask, mask_url_passwords};
pub use start::Detected;

use hocon::{Object, Value};

/// The resolved configuration. Cheap to clone.
#[derive(Clone)]
pub struct Settings(Arc<Inner>);

struct Inner {
    root: Object,
    environment: Environment,
    home: PathBuf,
    location: Option<String>,
    notices: Vec<String>,
}

impl Settings {
    /// Reads the defaults, the configuration files, the variables and the command line (F-010).
    ///
    /// `home` is the user's folder. No file at all is no error: the variables may say everything; see [`Settings::api`].
    /// Secrets that are found are known to the masker from here on.
    pub fn load(
        environment: &Environment,
        home: &Path,
        overrides: &Overrides,
    ) -> Result<Self, SettingsError> {
        Ok(Self::new(
            layers::load(environment, home, overrides)?,
            home.to_owned(),
        ))
    }

    /// As [`Settings::load`], with this text in the place of all files; `~` is `/home/user` unless HOME is set.
    pub fn from_text(text: &str, environment: &Environment) -> Result<Self, SettingsError> {
        let home = environment.get("HOME").unwrap_or("/home/user").into();
        Ok(Self::new(layers::from_text(text, environment)?, home))
    }

    fn new(layers: layers::Layers, home: PathBuf) -> Self {
        let settings = Self(Arc::new(Inner {
            root: layers.root,
            environment: layers.environment,
            home,
            location: layers.location,
            notices: layers.notices,
        }));
        settings.register_secrets();
        settings
    }

    /// All values as one object.
    pub fn root(&self) -> &Object {
        &self.0.root
    }

    /// The variables with which the settings were made; `--config-file` is among them, so that children find it (F-005).
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// The user's folder.
    pub fn home(&self) -> &Path {
        &self.0.home
    }

    /// The configuration file as `config` shows it (F-017).
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// `agent.debug`: as `--debug` (D-015).
    pub fn is_debug(&self) -> bool {
        self.is_on("agent.debug")
    }

    /// Lines for standard output, to be printed before anything else (F-003).
    pub fn notices(&self) -> &[String] {
        &self.0.notices
    }

    /// The settings as a document that [`Settings::load`] and every JSON reader read (F-117).
    pub fn to_hocon(&self) -> String {
        hocon::print(&self.0.root)
    }

    /// The same with one value changed.
    #[must_use]
    pub fn with(&self, key: &str, value: Value) -> Self {
        let mut root = self.0.root.clone();
        layers::set(&mut root, key, value);
        self.with_root(root)
    }

    /// The same, written to the file at `path` for another process to read (F-017).
    #[must_use]
    pub fn located(&self, path: &Path) -> Self {
        Self(Arc::new(Inner {
            location: Some(path.display().to_string()),
            ..self.parts(self.0.root.clone())
        }))
    }

    fn with_root(&self, root: Object) -> Self {
        Self(Arc::new(self.parts(root)))
    }

    fn parts(&self, root: Object) -> Inner {
        Inner {
            root,
            environment: self.0.environment.clone(),
            home: self.0.home.clone(),
            location: self.0.location.clone(),
            notices: self.0.notices.clone(),
        }
    }
}

/// No values; some are secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("location", &self.0.location)
            .finish_non_exhaustive()
    }
}
