//! What is installed, as conda and pip list it, for the report (E-210).

use serde_json::Value;

/// The packages of an environment, by who has installed them.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Packages {
    /// `name==version`
    pub(super) conda: Vec<String>,
    /// As `pip freeze` writes them.
    pub(super) pip: Vec<String>,
}

impl Packages {
    /// From the answer of `conda list --json` and the lines of `pip freeze`; all are pip's where conda has not answered.
    pub(super) fn new(list: Option<&Value>, freeze: Vec<String>) -> Self {
        let Some(list) = list.and_then(Value::as_array) else {
            return Self {
                conda: Vec::new(),
                pip: freeze,
            };
        };
        let mut packages = Self::default();
        for package in list {
            let text = |name: &str| package[name].as_str().unwrap_or_default();
            let (name, version, channel) = (text("name"), text("version"), text("channel"));
            let line = |name: &str| match version {
                "" => name.to_owned(),
                version => format!("{name}=={version}"),
            };
            if name.is_empty() {
                continue;
            }
            if channel.is_empty() || channel == "pypi" {
                // What conda knows of a package from a link is its version alone.
                let frozen = freeze.iter().find(|frozen| is_named(frozen, name));
                let frozen = frozen.filter(|line| !line.contains("@ file://"));
                packages
                    .pip
                    .push(frozen.cloned().unwrap_or_else(|| line(name)));
            } else if !name.starts_with('_') {
                packages
                    .conda
                    .push(line(if name == "pytorch" { "torch" } else { name }));
            }
        }
        packages
    }

    /// The list of pip as the task's page gets it: conda's packages stand in it as well.
    pub(super) fn together(conda: &[String], pip: &[String]) -> Vec<String> {
        if conda.is_empty() {
            return pip.to_vec();
        }
        let text = |text: &str| text.to_owned();
        let mut lines = vec![text("# Conda Packages"), String::new()];
        lines.extend_from_slice(conda);
        lines.extend([String::new(), text("# pip Packages"), String::new()]);
        lines.extend_from_slice(pip);
        lines
    }
}

fn is_named(frozen: &str, name: &str) -> bool {
    let own = frozen.split(['=', '@', ' ']).next().unwrap_or(frozen);
    let plain = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    plain(own) == plain(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn owned(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    /// E-210
    #[test]
    fn packages_are_told_apart_by_who_has_installed_them() {
        let list = json!([
            {"name": "_libgcc_mutex", "version": "0.1", "channel": "defaults"},
            {"name": "pytorch", "version": "2.1.0", "channel": "pytorch"},
            {"name": "python", "version": "3.11.4", "channel": "conda-forge"},
            {"name": "some-lib", "version": "1.0", "channel": "pypi"},
            {"name": "local", "version": "2.0", "channel": "pypi"},
        ]);
        let freeze = owned(&[
            "Some_Lib @ git+https://h/x@1",
            "local @ file:///tmp/x",
            "torch==2.1.0",
        ]);
        let packages = Packages::new(Some(&list), freeze.clone());
        assert_eq!(packages.conda, ["torch==2.1.0", "python==3.11.4"]);
        assert_eq!(packages.pip, ["Some_Lib @ git+https://h/x@1", "local==2.0"]);
        assert_eq!(
            Packages::together(&packages.conda, &packages.pip),
            [
                "# Conda Packages",
                "",
                "torch==2.1.0",
                "python==3.11.4",
                "",
                "# pip Packages",
                "",
                "Some_Lib @ git+https://h/x@1",
                "local==2.0"
            ]
        );
        assert_eq!(Packages::new(None, freeze.clone()).pip, freeze);
        assert_eq!(Packages::together(&[], &freeze), freeze);
    }
}
