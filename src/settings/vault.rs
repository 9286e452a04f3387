//! Configuration vaults: documents that the server keeps, laid over the files (F-100 to F-102, F-012).

use super::environment::Environment;
use super::hocon::{Kind, Object, Source, Value, merge};
use super::layers::{Recipe, parse_text, value};
use super::{Settings, SettingsError};

/// Keys that say what this machine is; no vault changes them (F-012).
const OWN: [&str; 6] = [
    "agent.cuda_version",
    "agent.cudnn_version",
    "agent.default_python",
    "agent.worker_id",
    "agent.worker_name",
    "agent.debug",
];

/// A vault's document with the name that messages give it.
#[derive(Clone)]
pub struct VaultDocument {
    /// Its description, or its id.
    pub name: String,
    /// The document; it may hold secrets.
    pub text: String,
}

/// Without the document.
impl std::fmt::Debug for VaultDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VaultDocument").field(&self.name).finish()
    }
}

impl Settings {
    /// With these vaults below the variables and above everything else that is written (F-010, F-011), and what is
    /// to be said about it. A vault that cannot be read is left out.
    pub fn with_vaults(
        &self,
        documents: &[VaultDocument],
    ) -> Result<(Self, Vec<String>), SettingsError> {
        let mut notices = Vec::new();
        let mut recipe = Recipe::clone(&self.0.recipe);
        for VaultDocument { name, text } in documents {
            let source = Source::Vault(name.clone());
            match parse_text(text, source, &recipe.environment) {
                Ok(vault) => recipe.vaults.push(vault),
                Err(error) => notices.push(format!("Failed parsing vault {name}: {error}")),
            }
        }
        for key in OWN {
            let wanted = recipe
                .vaults
                .iter()
                .rev()
                .find_map(|vault| value(vault, key));
            let Some(wanted) = wanted.cloned() else {
                continue;
            };
            let own = value(self.root(), key).cloned();
            if own.as_ref() != Some(&wanted) {
                let shown = own.as_ref().and_then(super::Value::to_text);
                notices.push(format!(
                    "Ignoring vault value for '{key}' (agent config takes precedence), using '{}'",
                    shown.unwrap_or_else(|| "None".to_owned())
                ));
            }
            for vault in &mut recipe.vaults {
                super::layers::remove(vault, key);
            }
        }
        Ok((Self::made_by(recipe)?, notices))
    }
}

/// Vaults in one document, the later ones above, for who looks into it alone (C-036), and what is to be said about it.
pub fn merged_vaults(
    documents: &[VaultDocument],
    environment: &Environment,
) -> (serde_json::Value, Vec<String>) {
    let mut root = Object::new();
    let mut notices = Vec::new();
    for VaultDocument { name, text } in documents {
        match parse_text(text, Source::Vault(name.clone()), environment) {
            Ok(vault) => merge(&mut root, vault),
            Err(error) => notices.push(format!("Failed parsing vault {name}: {error}")),
        }
    }
    let root = Value::new(Kind::Object(root), Source::Text.into());
    (serde_json::to_value(root).unwrap_or_default(), notices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    const FILE: &str =
        "agent { worker_name: mine, git_user: file, debug: false }\nsdk.aws.s3.key: file";

    fn vaults(texts: &[&str]) -> Vec<VaultDocument> {
        let numbered = texts.iter().enumerate();
        numbered
            .map(|(number, text)| VaultDocument {
                name: format!("vault {number}"),
                text: (*text).to_owned(),
            })
            .collect()
    }

    fn with(variables: &[(&str, &str)], texts: &[&str]) -> (Settings, Vec<String>) {
        let environment = variables.iter().copied().collect();
        let settings = Settings::from_text(FILE, &environment).unwrap();
        settings.with_vaults(&vaults(texts)).unwrap()
    }

    fn text(settings: &Settings, key: &str) -> String {
        settings.text(key).unwrap_or_else(|| panic!("no {key}"))
    }

    /// F-010, F-011
    #[test]
    fn a_vault_is_above_files_and_dynamic_variables_and_below_the_registered_ones() {
        let variables = [
            ("CLEARML_AGENT__AGENT__GIT_USER", "dynamic"),
            ("AWS_ACCESS_KEY_ID", "registered"),
        ];
        let vault =
            "agent.git_user: vault, agent.git_host: h, sdk.aws.s3 { key: vault, region: r }";
        let (settings, notices) = with(&variables, &[vault]);
        assert_eq!(text(&settings, "agent.git_user"), "vault");
        assert_eq!(text(&settings, "agent.git_host"), "h");
        assert_eq!(text(&settings, "sdk.aws.s3.key"), "registered");
        assert_eq!(text(&settings, "sdk.aws.s3.region"), "r");
        let origin = settings.origin("agent.git_user").unwrap();
        assert_eq!(origin.to_string(), "vault `vault 0`");
        assert_eq!(notices, Vec::<String>::new());
    }

    /// F-101: the later one wins, and one that cannot be read costs no other.
    #[test]
    fn vaults_are_laid_over_each_other() {
        let (settings, notices) = with(
            &[],
            &[
                "agent.git_user: first, agent.git_host: h",
                "agent { x: @",
                "agent.git_user: last",
            ],
        );
        assert_eq!(text(&settings, "agent.git_user"), "last");
        assert_eq!(text(&settings, "agent.git_host"), "h");
        assert_eq!(notices.len(), 1);
        assert!(
            notices[0].starts_with("Failed parsing vault vault 1: "),
            "{notices:?}"
        );
    }

    /// F-012
    #[test]
    fn what_the_machine_is_no_vault_changes() {
        let vault = "agent { worker_name: theirs, debug: false, cuda_version: 12, git_user: v }";
        let (settings, notices) = with(&[], &[vault]);
        assert_eq!(text(&settings, "agent.worker_name"), "mine");
        assert_eq!(text(&settings, "agent.git_user"), "v");
        let notice = |key, value| {
            format!(
                "Ignoring vault value for '{key}' (agent config takes precedence), using '{value}'"
            )
        };
        // `debug` would not have changed.
        let expected = [
            notice("agent.cuda_version", "None"),
            notice("agent.worker_name", "mine"),
        ];
        assert_eq!(notices, expected);
    }

    /// F-015: registered variables and vaults are still there after the files were read again.
    #[test]
    fn a_second_reading_makes_all_layers_again() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("clearml.conf");
        std::fs::write(&file, "agent { git_user: one, git_host: gone }").unwrap();
        let environment = Environment::from([("CLEARML_WORKER_NAME", "mine")]);
        let settings = Settings::load(&environment, home.path(), &Overrides::default()).unwrap();
        let (settings, _) = settings
            .with_vaults(&vaults(&["agent.git_pass: v"]))
            .unwrap();
        std::fs::write(&file, "agent { git_user: two, worker_name: file }").unwrap();
        let reread = settings.reread().unwrap();
        assert_eq!(text(&reread, "agent.git_user"), "two");
        assert_eq!(reread.filled_text("agent.git_host"), None);
        assert_eq!(text(&reread, "agent.git_pass"), "v");
        assert_eq!(text(&reread, "agent.worker_name"), "mine");
        std::fs::write(&file, "agent {").unwrap();
        assert!(settings.reread().is_err());
    }
}
