//! The key of a cached environment, in the format that the official agent uses (E-240, E-241).

use std::fmt;

use md5::{Digest, Md5};

use super::super::requirements::{RequirementList, TaskRequirements};
use crate::ui::python_literal as repr;

/// Name of a cached environment: lower-case hexadecimal digits.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::python) struct CacheKey(String);

/// What an environment depends on, apart from its packages.
#[derive(Clone, Debug)]
pub(in crate::python) struct KeyInputs {
    /// Image and arguments of the container.
    pub(in crate::python) docker_cmd: String,
    /// `agent.cuda_version`.
    pub(in crate::python) cuda_version: String,
    /// The interpreter as it was named (E-115); for conda its version.
    pub(in crate::python) interpreter: String,
    /// The environment is conda's.
    pub(in crate::python) is_conda: bool,
}

impl CacheKey {
    /// The key of an environment with these packages; none where they do not determine it (E-241).
    pub(in crate::python) fn new(
        inputs: &KeyInputs,
        requirements: &TaskRequirements,
    ) -> Option<Self> {
        let pip = lines(requirements.pip.as_ref());
        let conda = lines(requirements.conda.as_ref());
        let includes_files = pip
            .iter()
            .any(|line| line.starts_with("-r ") || line.starts_with("--requirement "));
        if includes_files || pip.is_empty() && conda.is_empty() {
            return None;
        }
        let image = match inputs.docker_cmd.split_whitespace().next() {
            Some(image) => format!("OrderedDict([('docker_cmd', {})])", repr::string(image)),
            None => String::new(),
        };
        let list = |lines: &[String]| {
            if lines.is_empty() {
                String::new()
            } else {
                repr::list(lines)
            }
        };
        let class = if inputs.is_conda {
            "<class 'clearml_agent.helper.package.conda_api.CondaAPI'>"
        } else {
            "<class 'clearml_agent.helper.package.pip_api.venv.VirtualenvPip'>"
        };
        let text = [
            class,
            &image,
            &inputs.cuda_version,
            &inputs.interpreter,
            &list(&pip),
            &list(&conda),
        ]
        .join("\n");
        let digest = Md5::digest(text.as_bytes());
        Some(Self(format!("{digest:x}")))
    }

    /// True where `entry`, the name of a folder, has this key as one of its parts (E-242).
    pub(super) fn names(&self, entry: &str) -> bool {
        entry.split('.').any(|part| part == self.0)
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn lines(list: Option<&RequirementList>) -> Vec<String> {
    let text = list.map(RequirementList::text).unwrap_or_default();
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::cases::{case_id, cases, strings};

    /// E-240, E-241, E-291: keys of the official agent.
    #[test]
    fn keys_are_those_of_the_official_agent() {
        let cases = cases("venv_cache_key");
        assert_eq!(cases.len(), 7);
        for case in cases {
            let inputs = KeyInputs {
                docker_cmd: case["docker_cmd"].as_str().unwrap_or_default().to_owned(),
                cuda_version: case["cuda_version"].as_str().unwrap_or_default().to_owned(),
                interpreter: case["python_version"]
                    .as_str()
                    .expect("interpreter")
                    .to_owned(),
                is_conda: false,
            };
            let dictionaries = match &case["requirements"] {
                serde_json::Value::Array(items) => items.clone(),
                one => vec![one.clone()],
            };
            let keys: Vec<String> = dictionaries
                .iter()
                .filter_map(|value| CacheKey::new(&inputs, &TaskRequirements::from_value(value)))
                .map(|key| key.to_string())
                .collect();
            let mut expected = strings(&case["expect"]["keys"]);
            let mut found = keys.clone();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{}", case_id(&case));
        }
    }

    /// E-240: an environment of conda is known by another first line, and by the version of Python.
    #[test]
    fn an_environment_of_conda_has_a_key_of_its_own() {
        let inputs = KeyInputs {
            docker_cmd: String::new(),
            cuda_version: "0".to_owned(),
            interpreter: "3.11".to_owned(),
            is_conda: true,
        };
        let lists = serde_json::json!({"pip": "a==1", "conda": ["b"]});
        let key = CacheKey::new(&inputs, &TaskRequirements::from_value(&lists));
        let key = key.map(|key| key.to_string());
        assert_eq!(key.as_deref(), Some("134a09187bd85a1b3692229c04d62bf0"));
    }
}
