//! The pip backend: every call of `<py> -m pip`, with its flags, and what it leaves on the console (E-134..E-141).

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::conda::Activation;
use super::error::{FailedCommand, PythonError};
use super::index_url::IndexUrl;
use super::list_file::ListFile;
use super::marker;
use super::options::PythonOptions;
use super::requirements::TaskRequirements;
use super::tool::{self, ToolContext};
use super::uv::Uv;
use super::version::{self, PythonVersion};
use crate::process::{Command, Output};

/// pip of one interpreter, with what every call of a run has in common.
pub(super) struct Pip<'a> {
    pub(super) python: PathBuf,
    pub(super) options: &'a PythonOptions,
    pub(super) output: &'a Output,
    pub(super) cancel: &'a CancellationToken,
    /// Folder in which requirements are installed; the agent's own where none is set.
    pub(super) folder: Option<PathBuf>,
    /// The flag of the old resolver is given (E-140).
    pub(super) is_legacy: bool,
    /// All extra indexes, configured ones first (E-141).
    pub(super) indexes: Vec<IndexUrl>,
    /// Options that the requirements themselves name (E-147).
    pub(super) list_options: Vec<String>,
    /// Beside those of the options.
    pub(super) link_variables: Vec<(OsString, OsString)>,
    /// Where it keeps its temporary files; the agent's own place where none is set.
    pub(super) temporary: Option<PathBuf>,
    /// Does the work in pip's place (E-224).
    pub(super) uv: Option<Uv>,
    /// The environment of conda whose pip it is (E-204).
    pub(super) conda: Option<Activation>,
}

/// The specifications of pip itself that a task gets (E-134, E-135); a bare name in its list says nothing (E-136).
pub(super) fn pip_specifications(
    options: &PythonOptions,
    requirements: &TaskRequirements,
) -> Vec<String> {
    if let Some(own) = tool::requested("pip", requirements) {
        return vec![own];
    }
    let configured: Vec<String> = options
        .pip_version
        .iter()
        .map(|entry| entry.trim())
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            if entry.contains(['=', '~', '<', '>']) {
                format!("pip{entry}")
            } else {
                format!("pip=={entry}")
            }
        })
        .collect();
    if configured.is_empty() {
        vec!["pip".to_owned()]
    } else {
        configured
    }
}

/// Whether a rule asks for the old resolver (E-140).
pub(super) fn wants_legacy_resolver(rules: &[String], pip_version: &str) -> bool {
    rules
        .iter()
        .any(|rule| version::satisfies(pip_version, rule))
}

/// Whether the newest pip that these specifications allow would be told to use the old resolver (E-140).
pub(super) fn has_old_resolver(
    specifications: &[String],
    python: PythonVersion,
    options: &PythonOptions,
) -> bool {
    let fitting = specifications.iter().filter_map(|specification| {
        let (versions, marker) = specification.split_once(';').unwrap_or((specification, ""));
        let fits = marker.trim().is_empty() || marker::fits(marker.trim(), python) == Ok(true);
        fits.then(|| versions.trim().trim_start_matches("pip"))
    });
    let limits = fitting.flat_map(|versions| versions.split(','));
    limits.into_iter().any(|limit| {
        let exact = ["===", "==", "<=", "~="]
            .iter()
            .find_map(|operator| limit.trim().strip_prefix(operator));
        // What is below a limit is as good as the limit itself: rules compare whole versions.
        let newest = exact.or(limit.trim().strip_prefix('<'));
        newest.is_some_and(|version| {
            wants_legacy_resolver(&options.pip_legacy_resolver, version.trim())
        })
    })
}

impl<'a> Pip<'a> {
    pub(super) fn new(
        python: &Path,
        options: &'a PythonOptions,
        output: &'a Output,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            python: python.to_owned(),
            options,
            output,
            cancel,
            folder: None,
            is_legacy: false,
            indexes: options.extra_index_url.clone(),
            list_options: Vec::new(),
            link_variables: Vec::new(),
            temporary: None,
            uv: None,
            conda: None,
        }
    }

    /// Adds extra indexes that are not there yet.
    pub(super) fn add_indexes(&mut self, indexes: &[IndexUrl]) {
        for index in indexes {
            if !self.indexes.contains(index) {
                self.indexes.push(index.clone());
            }
        }
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.plain_command(words);
        for (name, value) in &self.link_variables {
            command = command.env(name, value);
        }
        match &self.temporary {
            Some(folder) => command.env("TMPDIR", folder),
            None => command,
        }
    }

    fn plain_command(&self, words: &[&str]) -> Command {
        if let (Some(uv), Some((verb, rest))) = (&self.uv, words.split_first()) {
            let folder = self.folder.as_deref().unwrap_or(Path::new("/"));
            let context = ToolContext {
                options: self.options,
                output: self.output,
                cancel: self.cancel,
            };
            return uv
                .command(context, folder)
                .args(["pip", verb, "--python"])
                .arg(&self.python)
                .args(rest);
        }
        let mut command = match &self.conda {
            Some(conda) => conda.command(&[&["pip"], words].concat()),
            None => Command::new(&self.python)
                .args(["-m", "pip", "--disable-pip-version-check"])
                .args(words),
        }
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME");
        for (name, value) in &self.options.installer_variables {
            command = command.env(name, value);
        }
        match &self.folder {
            Some(folder) => command.folder(folder),
            None => command,
        }
    }

    /// Installs the pip that the interpreter carries.
    pub(super) async fn ensure_pip(&self) -> Result<(), PythonError> {
        let command = Command::new(&self.python)
            .args(["-m", "ensurepip", "--default-pip"])
            .env_remove("PYTHONPATH");
        let finished = command.run(self.output, self.cancel).await?;
        if finished.is_success() {
            return Ok(());
        }
        let failed = FailedCommand::new(&command.words(), &finished);
        Err(PythonError::PipVersion(failed))
    }

    /// Brings pip itself to the wanted version; without index flags (E-134).
    pub(super) async fn upgrade_itself(
        &self,
        specifications: &[String],
    ) -> Result<(), PythonError> {
        let words: Vec<&str> = std::iter::once("install")
            .chain(specifications.iter().map(String::as_str))
            .chain(["--upgrade"])
            .collect();
        let command = self.command(&words);
        let finished = command.run(self.output, self.cancel).await?;
        if finished.is_success() {
            Ok(())
        } else {
            Err(PythonError::PipVersion(FailedCommand::new(
                &command.words(),
                &finished,
            )))
        }
    }

    /// Flags of `install` behind its packages, as they are shown (E-139).
    pub(super) fn shown_install_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.is_legacy {
            flags.push("--use-deprecated=legacy-resolver".to_owned());
        }
        flags.extend(self.shown_index_flags());
        flags.extend(self.options.extra_install_flags.iter().cloned());
        if self.options.force_upgrade {
            flags.push("--upgrade".to_owned());
        }
        flags.extend(self.list_options.iter().cloned());
        flags
    }

    fn shown_index_flags(&self) -> Vec<String> {
        self.indexes
            .iter()
            .flat_map(|index| ["--extra-index-url".to_owned(), index.to_string()])
            .collect()
    }

    /// The words of a call as they are shown.
    pub(super) fn shown(&self, words: &[String]) -> Vec<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.command(&words).words()
    }

    /// The words of `install <packages> <flags>` as they are shown.
    pub(super) fn shown_install(&self, packages: &[String]) -> Vec<String> {
        let mut words = vec!["install".to_owned()];
        words.extend_from_slice(packages);
        words.extend(self.shown_install_flags());
        self.shown(&words)
    }

    /// `install <packages> <flags>`; `shown` stands for the packages in messages.
    pub(super) async fn install(
        &self,
        packages: &[&str],
        shown: &[&str],
    ) -> Result<Result<(), FailedCommand>, PythonError> {
        self.call("install", packages, shown, self.shown_install_flags())
            .await
    }

    /// Fetches `url` into `folder` (E-184).
    pub(super) async fn download(
        &self,
        url: &str,
        folder: &Path,
    ) -> Result<Result<(), FailedCommand>, PythonError> {
        let folder = folder.to_string_lossy();
        let packages = [url, "--dest", &folder, "--no-deps"];
        self.call("download", &packages, &packages, self.shown_index_flags())
            .await
    }

    async fn call(
        &self,
        verb: &str,
        packages: &[&str],
        shown: &[&str],
        shown_flags: Vec<String>,
    ) -> Result<Result<(), FailedCommand>, PythonError> {
        // What holds a password stands in a private file, so that no other user sees it in the process list,
        // and the indexes of the user's own pip configuration still count.
        let (private_packages, packages): (Vec<&str>, Vec<&str>) =
            packages.iter().partition(|word| is_private(word));
        let private = self.private_file(&private_packages)?;
        let mut words: Vec<String> = vec![verb.to_owned()];
        words.extend(packages.iter().map(|&package| package.to_owned()));
        words.extend(without_private_indexes(&shown_flags, &self.indexes));
        if let Some(file) = &private {
            words.extend(["-r".to_owned(), file.path().display().to_string()]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let finished = self.command(&words).run(self.output, self.cancel).await?;
        if finished.is_success() {
            return Ok(Ok(()));
        }
        let mut words: Vec<&str> = vec![verb];
        words.extend(shown);
        words.extend(shown_flags.iter().map(String::as_str));
        Ok(Err(FailedCommand::new(
            &self.command(&words).words(),
            &finished,
        )))
    }

    pub(super) fn private_file(&self, packages: &[&str]) -> Result<Option<ListFile>, PythonError> {
        let indexes = self.indexes.iter().filter(|index| index.is_private());
        let lines: Vec<String> = indexes
            .map(|index| format!("--extra-index-url {}", index.expose()))
            .chain(packages.iter().map(|&package| package.to_owned()))
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        list_file(&lines.join("\n")).map(Some)
    }

    /// Lines of `freeze`, with the installers themselves where `all` is set; none where the call failed.
    pub(super) async fn freeze(&self, all: bool) -> Result<Option<Vec<String>>, PythonError> {
        // uv has no such option, and lists everything.
        let words: &[&str] = if all && self.uv.is_none() {
            &["freeze", "--all"]
        } else {
            &["freeze"]
        };
        let finished = self.command(words).capture(self.cancel).await?;
        if !finished.is_success() {
            self.output
                .line(String::from_utf8_lossy(&finished.stderr).trim());
            return Ok(None);
        }
        Ok(Some(package_lines(&finished.text())))
    }
}

/// Lines of `freeze` that name packages: old versions also print the options of the user's own configuration.
fn package_lines(freeze: &str) -> Vec<String> {
    freeze
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter(|line| !line.starts_with('-') || line.starts_with("-e "))
        .collect()
}

/// A list for one call, which no other user can read (E-159).
pub(super) fn list_file(text: &str) -> Result<ListFile, PythonError> {
    ListFile::new(text).map_err(PythonError::files("make a list in", Path::new("memory")))
}

/// A file for one call, readable by this user alone and removed with the value (E-159).
pub(super) fn temporary_file(
    prefix: &str,
    suffix: &str,
    text: &str,
) -> Result<NamedTempFile, PythonError> {
    let folder = std::env::temp_dir();
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(suffix)
        .tempfile()
        .map_err(PythonError::files("create a file in", &folder))?;
    file.write_all(text.as_bytes())
        .map_err(PythonError::files("write", file.path()))?;
    Ok(file)
}

/// True for a link with a user or password.
fn is_private(word: &str) -> bool {
    let authority = word
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@')) && !word.contains("ssh://")
}

pub(super) fn without_private_indexes(flags: &[String], indexes: &[IndexUrl]) -> Vec<String> {
    let private: Vec<String> = indexes
        .iter()
        .filter(|index| index.is_private())
        .map(ToString::to_string)
        .collect();
    let mut kept = Vec::with_capacity(flags.len());
    let mut flags = flags.iter().peekable();
    while let Some(flag) = flags.next() {
        if flag == "--extra-index-url" && flags.peek().is_some_and(|url| private.contains(url)) {
            flags.next();
        } else {
            kept.push(flag.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::cases::{case_id, cases, strings};
    use serde_json::json;

    /// E-134
    #[test]
    fn the_version_of_pip_is_specified_as_configured() {
        let cases = cases("pip_version");
        assert_eq!(cases.len(), 7);
        for case in cases {
            let pip_version = match &case["pip_version"] {
                serde_json::Value::String(text) => vec![text.clone()],
                list => strings(list),
            };
            let options = PythonOptions {
                pip_version,
                ..PythonOptions::default()
            };
            assert_eq!(
                pip_specifications(&options, &TaskRequirements::default()),
                strings(&case["expect"]["arguments"]),
                "{}",
                case_id(&case)
            );
        }
    }

    /// E-194
    #[test]
    fn only_packages_of_a_freeze_are_reported() {
        let text = "-f /opt/wheels\n--extra-index-url x\n# c\n-e git+https://h/a@1#egg=a\nsix==1\n";
        assert_eq!(
            package_lines(text),
            ["-e git+https://h/a@1#egg=a", "six==1"]
        );
    }

    /// E-135, E-136: the whole specifier counts, a bare name does not.
    #[test]
    fn a_line_for_pip_overrides_the_configured_version() {
        let of = |value| {
            let requirements = TaskRequirements::from_value(&value);
            pip_specifications(&PythonOptions::default(), &requirements)
        };
        assert_eq!(of(json!({"pip": "six\npip<22.3"})), ["pip<22.3"]);
        assert_eq!(
            of(json!({"pip": ["six"], "org_pip": "pip==21.0 # old"})),
            ["pip==21.0"]
        );
        assert_eq!(of(json!({"pip": "pip\n./lib"})).len(), 3);
    }

    /// E-140
    #[test]
    fn rules_decide_about_the_resolver() {
        let cases = cases("legacy_resolver");
        assert_eq!(cases.len(), 8);
        for case in cases {
            let rules = match &case["rules"] {
                serde_json::Value::Null => PythonOptions::default().pip_legacy_resolver,
                rules => strings(rules),
            };
            let wanted = !strings(&case["expect"]["flags"]).is_empty();
            let pip = case["pip"].as_str().expect("version");
            assert_eq!(
                wants_legacy_resolver(&rules, pip),
                wanted,
                "{}",
                case_id(&case)
            );
        }
    }

    /// E-139
    #[test]
    fn flags_stand_in_the_order_of_the_reference() {
        let cases = cases("install_flags");
        assert_eq!(cases.len(), 5);
        let output = Output::stdout().expect("stdout");
        let cancel = CancellationToken::new();
        for case in cases {
            let config = &case["config"];
            let extra = match case["env"]["CLEARML_EXTRA_PIP_INSTALL_FLAGS"].as_str() {
                Some(text) => shlex::split(text).expect("words"),
                None => strings(&config["package_manager.extra_pip_install_flags"]),
            };
            let options = PythonOptions {
                extra_index_url: strings(&case["indices"])
                    .into_iter()
                    .map(IndexUrl::new)
                    .collect(),
                extra_install_flags: extra,
                force_upgrade: config["package_manager.force_upgrade"] == true,
                system_site_packages: config["package_manager.system_site_packages"] == true,
                ..PythonOptions::default()
            };
            let pip = Pip::new(Path::new("python"), &options, &output, &cancel);
            let (id, expect) = (case_id(&case), &case["expect"]);
            assert_eq!(
                pip.shown_install_flags(),
                strings(&expect["install_flags"]),
                "{id}"
            );
            assert_eq!(
                pip.shown_index_flags(),
                strings(&expect["download_flags"]),
                "{id}"
            );
            assert_eq!(
                super::super::venv::create_flags(&options),
                strings(&expect["create_flags"]),
                "{id}"
            );
        }
    }

    /// E-141
    #[test]
    fn links_with_a_password_are_private() {
        let private = [
            "https://me:pw@h/x.whl",
            "git+https://token@h/x.git@main#egg=x",
        ];
        let public = [
            "https://h/x.whl",
            "git+ssh://git@h/x",
            "six==1.0",
            "--dest",
            "/a@b/c",
            "https://h/a@b",
        ];
        assert!(private.iter().all(|word| is_private(word)));
        assert!(!public.iter().any(|word| is_private(word)));
    }

    /// E-141: a password is in a private file, never among the words.
    #[test]
    fn private_indexes_leave_the_command_line() {
        let indexes = [
            IndexUrl::new("https://a/simple"),
            IndexUrl::new("https://bob:passwd-77@b/simple"),
        ];
        let flags: Vec<String> = indexes
            .iter()
            .flat_map(|index| ["--extra-index-url".to_owned(), index.to_string()])
            .chain(["--pre".to_owned()])
            .collect();
        assert_eq!(
            without_private_indexes(&flags, &indexes),
            ["--extra-index-url", "https://a/simple", "--pre"]
        );
    }
}
