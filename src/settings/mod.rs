//! Settings: the HOCON dialect, the layers and the origin of each value.
//!
//! [`Settings::load`] reads all layers once; afterwards the values do not change. Copies share one memory.

mod agent;
mod api;
mod container;
pub mod env_vars;
mod environment;
mod error;
mod files;
pub mod hocon;
mod layers;
mod lookup;
mod packages;
mod printout;
pub mod schema;
mod sections;
mod start;
mod vault;

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
pub use container::{
    CacheFolders, Condition, ContainerSettings, HostMount, InternalMounts, MatchRule,
};
pub use environment::{Environment, InvalidTruth, truth};
pub use error::SettingsError;
pub use files::{FILE_NAME, LEGACY_FILE_NAME};
pub use layers::Overrides;
pub use printout::{DockerArgumentMask, mask_url_passwords};
pub use sections::{FileEntry, TargetFormat};
pub use start::Detected;
pub use vault::{VaultDocument, merged_vaults};

use hocon::{Object, Value};
use layers::Recipe;

/// The resolved configuration. Cheap to clone.
#[derive(Clone)]
pub struct Settings(Arc<Inner>);

struct Inner {
    root: Object,
    environment: Environment,
    home: PathBuf,
    location: Option<String>,
    notices: Vec<String>,
    /// Variables that the section `environment` has set.
    applied: Vec<(String, String)>,
    recipe: Arc<Recipe>,
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
        Self::made_by(Recipe {
            environment: environment.clone(),
            home: home.to_owned(),
            overrides: overrides.clone(),
            text: None,
            vaults: Vec::new(),
        })
    }

    /// As [`Settings::load`], with this text in the place of all files; `~` is `/home/user` unless HOME is set.
    pub fn from_text(text: &str, environment: &Environment) -> Result<Self, SettingsError> {
        Self::made_by(Recipe {
            environment: environment.clone(),
            home: environment.get("HOME").unwrap_or("/home/user").into(),
            overrides: Overrides::default(),
            text: Some(text.to_owned()),
            vaults: Vec::new(),
        })
    }

    /// All layers made again from files, vaults and the variables of the start (F-015). What was found out at
    /// start-up is not in them.
    pub fn reread(&self) -> Result<Self, SettingsError> {
        let mut settings = Self::made_by(Recipe::clone(&self.0.recipe))?;
        if !self.0.applied.is_empty() {
            settings = settings.with_variables(self.0.applied.clone());
        }
        Ok(settings)
    }

    /// What each layer made of a key, from weak to strong; for [`Settings::explain`].
    fn history(&self, key: &str) -> Result<Vec<Value>, SettingsError> {
        let mut history: Vec<Value> = Vec::new();
        layers::load_watched(&self.0.recipe, &mut |root| {
            let last = history.last();
            if let Some(value) = layers::value(root, key)
                && last.is_none_or(|last| last.origin != value.origin || last.kind != value.kind)
            {
                history.push(value.clone());
            }
        })?;
        Ok(history)
    }

    fn made_by(recipe: Recipe) -> Result<Self, SettingsError> {
        let layers = layers::load(&recipe)?;
        let settings = Self(Arc::new(Inner {
            root: layers.root,
            environment: layers.environment,
            home: recipe.home.clone(),
            location: layers.location,
            notices: layers.notices,
            applied: Vec::new(),
            recipe: Arc::new(recipe),
        }));
        settings.register_secrets();
        Ok(settings)
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

    /// The same without this key of a section.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let mut root = self.0.root.clone();
        layers::remove(&mut root, key);
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
            applied: self.0.applied.clone(),
            recipe: self.0.recipe.clone(),
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
