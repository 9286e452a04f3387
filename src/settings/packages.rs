//! `agent.package_manager` with the variables that beat it.

use super::agent::{PackageManagerKind, PackageManagerSettings, PytorchResolve};
use super::env_vars;
use super::lookup::wrong_type;
use super::{Settings, SettingsError};

impl Settings {
    pub(super) fn package_manager(&self) -> Result<PackageManagerSettings, SettingsError> {
        let key = |name: &str| format!("agent.package_manager.{name}");
        let text = |name| self.filled_text(&key(name));
        let list = |name| self.list(&key(name)).unwrap_or_default();
        let is_on = |name| self.is_on(&key(name));
        let template = |name, default: &str| text(name).unwrap_or_else(|| default.to_owned());
        let kind = self.package_manager_kind(&key("type"))?;
        let (pytorch_resolve, pytorch_resolve_unknown) =
            self.pytorch_resolve(&key("pytorch_resolve"));
        Ok(PackageManagerSettings {
            kind: kind.unwrap_or(PackageManagerKind::Pip),
            kind_unknown: if kind.is_none() { text("type") } else { None },
            pip_version: list("pip_version"),
            poetry_version: text("poetry_version"),
            poetry_install_extra_args: list("poetry_install_extra_args"),
            poetry_files_from_working_dir: is_on("poetry_files_from_repo_working_dir"),
            uv_version: text("uv_version"),
            uv_sync_extra_args: list("uv_sync_extra_args"),
            uv_run_extra_args: list("uv_run_extra_args"),
            uv_sync_locked_if_lock_file: is_on("uv_sync_locked_if_lock_file"),
            uv_unsafe_best_match: is_on("uv_unsafe_best_match"),
            uv_files_from_working_dir: is_on("uv_files_from_repo_working_dir"),
            system_site_packages: is_on("system_site_packages"),
            force_upgrade: is_on("force_upgrade"),
            extra_index_url: list("extra_index_url"),
            extra_pip_install_flags: self
                .environment()
                .words(&env_vars::EXTRA_PIP_INSTALL_FLAGS)
                .unwrap_or_else(|| list("extra_pip_install_flags")),
            pip_legacy_resolver: list("pip_legacy_resolver"),
            pytorch_resolve,
            pytorch_resolve_unknown,
            torch_nightly: is_on("torch_nightly"),
            torch_index_template: template(
                "extra_index_url_template",
                "https://download.pytorch.org/whl/cu{}/",
            ),
            torch_nightly_index_template: template(
                "nightly_extra_index_url_template",
                "https://download.pytorch.org/whl/nightly/cu{}/",
            ),
            torch_rocm_index_template: template(
                "rocm_extra_index_url_template",
                "https://download.pytorch.org/whl/rocm{}.{}/",
            ),
            torch_nightly_rocm_index_template: template(
                "nightly_rocm_extra_index_url_template",
                "https://download.pytorch.org/whl/nightly/rocm{}.{}/",
            ),
            torch_page: template(
                "torch_page",
                "https://download.pytorch.org/whl/cu{}/torch_stable.html",
            ),
            torch_nightly_page: template(
                "torch_nightly_page",
                "https://download.pytorch.org/whl/nightly/cu{}/torch_nightly.html",
            ),
            conda_channels: list("conda_channels"),
            conda_full_env_update: is_on("conda_full_env_update"),
            conda_env_as_base_docker: is_on("conda_env_as_base_docker"),
            use_conda_base_env: self
                .environment()
                .lenient(&env_vars::USE_CONDA_BASE_ENV)
                .unwrap_or_else(|| is_on("use_conda_base_env")),
            force_repo_requirements_txt: is_on("force_repo_requirements_txt"),
            force_original_requirements: is_on("force_original_requirements"),
            priority_packages: self.list(&key("priority_packages")),
            priority_optional_packages: list("priority_optional_packages"),
            post_packages: self.list(&key("post_packages")),
            post_optional_packages: list("post_optional_packages"),
        })
    }

    /// None where the word is not known, which counts as pip (E-200).
    fn package_manager_kind(&self, key: &str) -> Result<Option<PackageManagerKind>, SettingsError> {
        let environment = self.environment();
        if environment.boolean(&env_vars::FORCE_POETRY)? == Some(true) {
            return Ok(Some(PackageManagerKind::Poetry));
        }
        if environment.boolean(&env_vars::FORCE_UV)? == Some(true) {
            return Ok(Some(PackageManagerKind::Uv));
        }
        let Some(word) = self.filled_text(key) else {
            return Ok(Some(PackageManagerKind::Pip));
        };
        Ok(match word.as_str() {
            "pip" => Some(PackageManagerKind::Pip),
            "poetry" => Some(PackageManagerKind::Poetry),
            "uv" => Some(PackageManagerKind::Uv),
            word if word.eq_ignore_ascii_case("conda") => Some(PackageManagerKind::Conda),
            _ => None,
        })
    }

    /// `agent.environment.mode`
    pub(super) fn environment_is_existing(&self) -> Result<bool, SettingsError> {
        let key = "agent.environment.mode";
        match self.filled_text(key).as_deref() {
            None | Some("build") => Ok(false),
            Some("existing") => Ok(true),
            Some(_) => Err(self.none_of(key, "one of build, existing")),
        }
    }

    fn none_of(&self, key: &str, expected: &'static str) -> SettingsError {
        self.value(key)
            .map_or(SettingsError::NoConfiguration, |value| {
                wrong_type(key, expected, value)
            })
    }

    /// A word that nobody knows counts as `pip` (E-163).
    fn pytorch_resolve(&self, key: &str) -> (PytorchResolve, Option<String>) {
        let variable = self.environment().text(&env_vars::PACKAGE_PYTORCH_RESOLVE);
        let word = variable
            .map(str::to_owned)
            .or_else(|| self.filled_text(key));
        match word.as_deref() {
            None | Some("pip") => (PytorchResolve::Pip, None),
            Some("direct") => (PytorchResolve::Direct, None),
            Some("none") => (PytorchResolve::None, None),
            Some(_) => (PytorchResolve::Pip, word),
        }
    }
}
