//! The layers of F-010, from the defaults to the command line, laid over each other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::env_vars::{self, DYNAMIC_PREFIX, Variable};
use super::environment::Environment;
use super::error::SettingsError;
use super::files;
use super::hocon::{self, Kind, Object, Origin, Source, Value, World, merge};

/// What the command line says about the configuration; the strongest layer.
#[derive(Clone, Default)]
pub struct Overrides {
    config_file: Option<PathBuf>,
    values: Vec<(String, Value)>,
}

impl Overrides {
    /// With this file in place of the user's (F-005).
    #[must_use]
    pub fn of_file(config_file: Option<PathBuf>) -> Self {
        Self {
            config_file,
            ..Self::default()
        }
    }

    /// With the value that an option such as `--git-user` gives a key.
    #[must_use]
    pub fn with(mut self, key: &str, kind: Kind, option: &str) -> Self {
        let origin = Source::Option(option.to_owned()).into();
        self.values.push((key.to_owned(), Value::new(kind, origin)));
        self
    }
}

/// Keys only; `--git-pass` gives one of them a secret.
impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.values.iter().map(|(key, _)| key);
        f.debug_list().entries(keys).finish()
    }
}

/// What the layers are made of; kept so that they can be made again.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) environment: Environment,
    pub(super) home: PathBuf,
    pub(super) overrides: Overrides,
    /// In the place of all files.
    pub(super) text: Option<String>,
    /// Configuration vaults, the strongest last.
    pub(super) vaults: Vec<Object>,
}

/// All layers in one, and what was met on the way.
pub(super) struct Layers {
    pub(super) root: Object,
    pub(super) environment: Environment,
    pub(super) location: Option<String>,
    pub(super) notices: Vec<String>,
}

/// Sees the layers grow.
type Watch<'a> = &'a mut dyn FnMut(&Object);

/// The variables that set a key, each as text (F-070); the other ones have functions of their own.
const REGISTERED: [(&str, &Variable); 13] = [
    ("api.api_server", &env_vars::API_HOST),
    ("api.files_server", &env_vars::FILES_HOST),
    ("api.web_server", &env_vars::WEB_HOST),
    ("api.credentials.access_key", &env_vars::API_ACCESS_KEY),
    ("api.credentials.secret_key", &env_vars::API_SECRET_KEY),
    ("agent.worker_name", &env_vars::WORKER_NAME),
    ("agent.worker_id", &env_vars::WORKER_ID),
    ("agent.cuda_version", &env_vars::CUDA_VERSION),
    ("agent.cudnn_version", &env_vars::CUDNN_VERSION),
    ("sdk.aws.s3.key", &env_vars::AWS_ACCESS_KEY_ID),
    ("sdk.aws.s3.secret", &env_vars::AWS_SECRET_ACCESS_KEY),
    ("sdk.aws.s3.region", &env_vars::AWS_DEFAULT_REGION),
    (
        "sdk.google.storage.credentials_json",
        &env_vars::GOOGLE_APPLICATION_CREDENTIALS,
    ),
];

/// Keys of options whose variables otherwise beat the configuration (E-027).
const BEATEN_BY_OPTION: [(&str, &Variable); 2] = [
    ("agent.git_user", &env_vars::GIT_USER),
    ("agent.git_pass", &env_vars::GIT_PASS),
];

/// Reads everything (F-010).
pub(super) fn load(recipe: &Recipe) -> Result<Layers, SettingsError> {
    load_watched(recipe, &mut |_| {})
}

/// As [`load`]; `after` sees what there is after each layer.
pub(super) fn load_watched(recipe: &Recipe, after: Watch<'_>) -> Result<Layers, SettingsError> {
    let Recipe {
        environment,
        home,
        overrides,
        text,
        ..
    } = recipe;
    if let Some(text) = text {
        return from_text(text, recipe, after);
    }
    let mut environment = environment.clone();
    let named = overrides
        .config_file
        .as_deref()
        .map(|path| files::named_by_option(path, &environment, home))
        .transpose()?;
    if let Some(path) = &named {
        // Children inherit the file (F-005).
        for name in env_vars::CONFIG_FILE.names() {
            environment = environment.with(name, &path.to_string_lossy());
        }
    }
    for (key, variable) in BEATEN_BY_OPTION {
        if overrides.values.iter().any(|(given, _)| given == key) {
            environment = environment.without(variable);
        }
    }
    let found = files::discover(&environment, home)?;
    let mut root = DEFAULTS.clone();
    after(&root);
    for (section, path) in &found.sections {
        let object = parse_file(path, &environment)?;
        let object = section.iter().rev().fold(object, |object, key| {
            let origin = Source::File(path.clone()).into();
            Object::from([(key.clone(), Value::new(Kind::Object(object), origin))])
        });
        merge(&mut root, object);
        after(&root);
    }
    for path in &found.files {
        merge(&mut root, parse_file(path, &environment)?);
        after(&root);
    }
    finish(&mut root, &environment, recipe, after)?;
    Ok(Layers {
        root,
        environment,
        location: found.location,
        notices: found.notices,
    })
}

fn from_text(text: &str, recipe: &Recipe, after: Watch<'_>) -> Result<Layers, SettingsError> {
    let environment = &recipe.environment;
    let mut root = DEFAULTS.clone();
    merge(&mut root, parse_text(text, Source::Text, environment)?);
    finish(&mut root, environment, recipe, after)?;
    Ok(Layers {
        root,
        environment: environment.clone(),
        location: None,
        notices: Vec::new(),
    })
}

/// The built-in defaults (F-001).
pub(super) static DEFAULTS: LazyLock<Object> = LazyLock::new(|| {
    let world = World {
        variable: &|_| None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    hocon::parse(include_str!("defaults.conf"), Source::Defaults, world)
        .expect("the built-in defaults are read by a test")
});

/// Layers 4 to 6, the command line, and what follows from them.
fn finish(
    root: &mut Object,
    environment: &Environment,
    recipe: &Recipe,
    after: Watch<'_>,
) -> Result<(), SettingsError> {
    apply_dynamic(root, environment, after)?;
    // The older name of the server, for programs that still read it (F-016).
    let derives_host = value(root, "api.host").is_none_or(Value::is_null);
    let has_host = value(root, "api.api_server").is_some();
    // What is found out at start-up stands behind the keys of the files and before those of the variables (F-163).
    for key in [
        "agent.default_python",
        "agent.cuda_version",
        "agent.cudnn_version",
    ] {
        if value(root, key).is_none() {
            set(root, key, detected(Kind::Null));
        }
    }
    for vault in &recipe.vaults {
        merge(root, vault.clone());
        after(root);
    }
    apply_registered(root, environment)?;
    after(root);
    for (key, value) in &recipe.overrides.values {
        set(root, key, value.clone());
    }
    after(root);
    if derives_host
        && has_host
        && let Some(server) = value(root, "api.api_server").cloned()
    {
        set(root, "api.host", server);
    }
    Ok(())
}

/// `CLEARML_AGENT__A__B=text` is a document `a.b: text` of its own (F-080 to F-083).
fn apply_dynamic(
    root: &mut Object,
    environment: &Environment,
    after: Watch<'_>,
) -> Result<(), SettingsError> {
    for (name, text) in environment.iter() {
        let Some(path) = name.strip_prefix(DYNAMIC_PREFIX) else {
            continue;
        };
        let path = path.replace("__", ".").to_lowercase();
        let source = Source::Variable(name.to_owned());
        let object = parse_text(&format!("{path}: {text}"), source, environment)?;
        merge(root, object);
        after(root);
    }
    Ok(())
}

/// The variables of F-070.
fn apply_registered(root: &mut Object, environment: &Environment) -> Result<(), SettingsError> {
    for (key, variable) in REGISTERED {
        if let Some((name, text)) = environment.named_text(variable) {
            set(root, key, from_variable(name, Kind::Text(text.to_owned())));
        }
    }
    if let Some(crash) = environment.boolean(&env_vars::CRASH_ON_EXCEPTION)? {
        let value = from_variable(env_vars::CRASH_ON_EXCEPTION.name, Kind::Boolean(crash));
        set(root, "agent.crash_on_exception", value);
    }
    apply_azure(root, environment);
    Ok(())
}

/// One more storage account behind those of the files; a missing half is null (F-071).
fn apply_azure(root: &mut Object, environment: &Environment) {
    const KEY: &str = "sdk.azure.storage.containers";
    let halves = [
        ("account_name", &env_vars::AZURE_STORAGE_ACCOUNT),
        ("account_key", &env_vars::AZURE_STORAGE_KEY),
    ]
    .map(|(member, variable)| {
        let text = environment.text(variable).map(str::to_owned);
        let kind = text.map_or(Kind::Null, Kind::Text);
        (member.to_owned(), from_variable(variable.name, kind))
    });
    if halves.iter().all(|(_, value)| value.is_null()) {
        return;
    }
    let entry = from_variable(
        env_vars::AZURE_STORAGE_ACCOUNT.name,
        Kind::Object(Object::from(halves)),
    );
    let mut entries = match value(root, KEY) {
        Some(Value {
            kind: Kind::List(entries),
            ..
        }) => entries.clone(),
        _ => Vec::new(),
    };
    let origin = entry.origin.clone();
    entries.push(entry);
    set(root, KEY, Value::new(Kind::List(entries), origin));
}

fn from_variable(name: &str, kind: Kind) -> Value {
    Value::new(kind, Source::Variable(name.to_owned()).into())
}

fn parse_file(path: &Path, environment: &Environment) -> Result<Object, SettingsError> {
    let text = files::read(path)?;
    parse_text(&text, Source::File(path.to_owned()), environment)
}

/// A document of its own (F-014).
pub(super) fn parse_text(
    text: &str,
    source: Source,
    environment: &Environment,
) -> Result<Object, SettingsError> {
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    Ok(hocon::parse(text, source, World::new(&variable))?)
}

/// The value at a dotted key.
pub(super) fn value<'o>(root: &'o Object, key: &str) -> Option<&'o Value> {
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    let value = root.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => rest
            .split('.')
            .try_fold(value, |value, key| value.member(key)),
    }
}

/// Takes one key out of a document.
pub(super) fn remove(root: &mut Object, key: &str) {
    let Some((section, member)) = key.split_once('.') else {
        root.shift_remove(key);
        return;
    };
    if let Some(Value {
        kind: Kind::Object(members),
        ..
    }) = root.get_mut(section)
    {
        remove(members, member);
    }
}

/// Sets a dotted key; whatever stands in the way is replaced.
pub(super) fn set(root: &mut Object, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            root.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let origin: Origin = value.origin.clone();
            let below = root
                .entry(first.to_owned())
                .or_insert_with(|| Value::new(Kind::Object(Object::new()), origin.clone()));
            if !matches!(below.kind, Kind::Object(_)) {
                *below = Value::new(Kind::Object(Object::new()), origin);
            }
            if let Kind::Object(members) = &mut below.kind {
                set(members, rest, value);
            }
        }
    }
}

/// The origin of a value that this program found out itself.
pub(super) fn detected(kind: Kind) -> Value {
    static SOURCE: LazyLock<Arc<Source>> = LazyLock::new(|| Arc::new(Source::Detected));
    Value::new(kind, Origin::new(&SOURCE, 1))
}
