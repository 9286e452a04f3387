//! A whole environment that a task has stored, as conda exported it (E-209).

use serde_json::Value;

use super::super::requirement::{Requirement, Target};

/// What of a stored environment is installed again.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct FullEnvironment {
    /// Channels of the environment itself.
    pub(super) channels: Vec<String>,
    /// `name=version=build`, as they were.
    pub(super) dependencies: Vec<String>,
    /// Lines for pip.
    pub(super) pip: Vec<String>,
}

impl FullEnvironment {
    /// Reads `conda_env_json`; `pip` is the task's list, whose links count more than the versions that they gave.
    pub(super) fn read(text: &str, pip: &str, has_gpu: bool) -> Option<Self> {
        let stored: Value = serde_json::from_str(text).ok()?;
        let members = stored.as_object()?;
        let texts = |value: Option<&Value>| -> Vec<String> {
            let items = value.and_then(Value::as_array).into_iter().flatten();
            items
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        let mut environment = Self {
            channels: texts(members.get("channels")),
            ..Self::default()
        };
        let links = links(pip);
        let items = members.get("dependencies").and_then(Value::as_array);
        for item in items.into_iter().flatten() {
            match item {
                Value::String(line) => {
                    if let Some(line) = dependency(line.trim(), has_gpu) {
                        let name = name_of(&line).to_owned();
                        environment
                            .dependencies
                            .retain(|other| name_of(other) != name);
                        environment.dependencies.push(line);
                    }
                }
                Value::Object(others) => {
                    environment.pip = texts(others.get("pip"));
                }
                _ => {}
            }
        }
        let is_pips = |line: &String| !["pip", "virtualenv"].contains(&name_of(line));
        environment.pip.retain(is_pips);
        for line in &mut environment.pip {
            let link = links.iter().find(|(name, _)| name == name_of(line));
            if let Some((_, link)) = link {
                line.clone_from(link);
            }
        }
        Some(environment)
    }
}

fn dependency(line: &str, has_gpu: bool) -> Option<String> {
    let name = name_of(line).to_lowercase();
    let version = line
        .split('=')
        .find(|part| *part != name_of(line) && !part.is_empty());
    let of_version = |name: &str, version: &str| match version {
        "" => name.to_owned(),
        version => format!("{name}={version}"),
    };
    let version = version.unwrap_or_default();
    Some(match name.as_str() {
        "" | "pip" | "cupti" | "cudnn" => return None,
        name if name.starts_with('_') => return None,
        "python" => {
            let short: Vec<&str> = version.split('.').take(2).collect();
            of_version("python", &short.join("."))
        }
        "tensorflow-gpu" if !has_gpu => of_version("tensorflow", version),
        "tensorflow" if has_gpu => of_version("tensorflow-gpu", version),
        _ => line.to_owned(),
    })
}

fn name_of(line: &str) -> &str {
    line.split(['=', ' ', '<', '>', '~', '@'])
        .next()
        .unwrap_or(line)
        .trim()
}

/// Links of a list, by the names of their packages.
fn links(list: &str) -> Vec<(String, String)> {
    list.lines()
        .filter_map(|line| {
            let line = line.trim();
            let parsed = Requirement::parse(line).ok()?;
            matches!(parsed.target, Target::Vcs(_)).then_some(())?;
            Some((parsed.name?, line.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// E-209
    #[test]
    fn a_stored_environment_is_installed_as_it_was() {
        let stored = json!({
            "channels": ["bioconda"],
            "dependencies": [
                "python=3.11.4=h1", "_libgcc_mutex=0.1=main", "pip=23.1", "cudnn=8.2", "cupti=11",
                "numpy=1.26.0=py311h1", "tensorflow-gpu=2.4.1=gpu",
                {"pip": ["pip==23.1", "six==1.16.0", "lib==1.0"]},
            ],
        })
        .to_string();
        let pip = "six\nlib @ git+https://h/lib.git@abc\n";
        let read = FullEnvironment::read(&stored, pip, false).expect("an environment");
        assert_eq!(read.channels, ["bioconda"]);
        assert_eq!(
            read.dependencies,
            ["python=3.11", "numpy=1.26.0=py311h1", "tensorflow=2.4.1"]
        );
        assert_eq!(read.pip, ["six==1.16.0", "lib @ git+https://h/lib.git@abc"]);
        let gpu = json!({"dependencies": ["tensorflow=2.4.1=cpu"]}).to_string();
        let read = FullEnvironment::read(&gpu, "", true).expect("an environment");
        assert_eq!(read.dependencies, ["tensorflow-gpu=2.4.1"]);
        for broken in ["", "[]", "{", "3"] {
            assert_eq!(FullEnvironment::read(broken, "", false), None, "{broken}");
        }
    }
}
