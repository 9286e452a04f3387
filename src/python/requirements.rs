//! The dictionary `script.requirements` of a task, and which list of it is installed (E-127..E-130).

use serde_json::Value;

use super::options::PythonOptions;

/// A list of requirements, in the form in which the task has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequirementList {
    /// One text with line feeds.
    Text(String),
    /// One string for each line.
    Lines(Vec<String>),
}

impl RequirementList {
    /// The list as one text.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Lines(lines) => lines.join("\n"),
        }
    }

    /// True where there is not even a comment in it (E-130).
    pub fn is_empty(&self) -> bool {
        self.text().trim().is_empty()
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Array(items) => Some(Self::Lines(
                items
                    .iter()
                    .filter_map(|item| item.as_str().map(str::to_owned))
                    .collect(),
            )),
            _ => None,
        }
    }
}

/// `script.requirements` of a task.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TaskRequirements {
    /// What to install; after a run: what was found installed.
    pub pip: Option<RequirementList>,
    /// The user's original `pip`.
    pub org_pip: Option<RequirementList>,
    /// Conda packages.
    pub conda: Option<RequirementList>,
    /// The user's original `conda`.
    pub org_conda: Option<RequirementList>,
    /// A whole environment of conda, as JSON (E-209).
    pub conda_env_json: Option<String>,
}

impl TaskRequirements {
    /// Takes what is known of the dictionary; a value of another form counts as missing.
    pub fn from_value(value: &Value) -> Self {
        let list = |key: &str| value.get(key).and_then(RequirementList::from_value);
        Self {
            pip: list("pip"),
            org_pip: list("org_pip"),
            conda: list("conda"),
            org_conda: list("org_conda"),
            conda_env_json: value
                .get("conda_env_json")
                .and_then(Value::as_str)
                .filter(|text| !text.trim().is_empty())
                .map(str::to_owned),
        }
    }

    /// True where the task names nothing to install.
    pub fn is_empty(&self) -> bool {
        [&self.pip, &self.conda]
            .into_iter()
            .flatten()
            .all(RequirementList::is_empty)
    }

    /// The lists that this run uses, and the line that says why they are not the task's own (E-127..E-129).
    pub fn chosen(&self, options: &PythonOptions) -> (Self, Option<String>) {
        if options.force_repo_requirements_txt {
            let notice = "\n[package_manager.force_repo_requirements_txt=true] Skipping requirements, using repository \"requirements.txt\" ";
            return (Self::default(), Some(notice.to_owned()));
        }
        let mut chosen = self.clone();
        if !options.force_original_requirements {
            return (chosen, None);
        }
        let original = match (&self.org_pip, &self.org_conda) {
            (Some(pip), _) => {
                chosen.pip = Some(pip.clone());
                pip
            }
            (None, Some(conda)) => {
                chosen.conda = Some(conda.clone());
                conda
            }
            (None, None) => return (chosen, None),
        };
        let notice = format!(
            "\n[package_manager.force_original_requirements=true] Using original requirements: \n{}",
            original.text()
        );
        (chosen, Some(notice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// E-128, E-129
    #[test]
    fn the_original_list_is_used_where_that_is_asked_for() {
        let requirements = TaskRequirements::from_value(
            &json!({"pip": ["six==1.16.0"], "org_pip": "six\n", "other": 1}),
        );
        let mut options = PythonOptions::default();
        assert_eq!(requirements.chosen(&options), (requirements.clone(), None));
        options.force_original_requirements = true;
        let (chosen, notice) = requirements.chosen(&options);
        assert_eq!(chosen.pip, Some(RequirementList::Text("six\n".into())));
        assert_eq!(
            notice.expect("a notice"),
            "\n[package_manager.force_original_requirements=true] Using original requirements: \nsix\n"
        );
    }

    /// E-127
    #[test]
    fn the_dictionary_is_ignored_where_the_repository_is_forced() {
        let requirements = TaskRequirements::from_value(&json!({"pip": "six"}));
        let options = PythonOptions {
            force_repo_requirements_txt: true,
            ..PythonOptions::default()
        };
        let (chosen, notice) = requirements.chosen(&options);
        assert!(chosen.is_empty() && notice.is_some());
    }

    /// E-130: a list of comments is a list.
    #[test]
    fn comments_count_as_requirements() {
        let is_empty = |value: Value| TaskRequirements::from_value(&value).is_empty();
        assert!(is_empty(json!({"pip": " \n"})) && is_empty(json!({})) && is_empty(json!(null)));
        assert!(!is_empty(json!({"pip": "# nothing"})) && !is_empty(json!({"pip": ["-r a.txt"]})));
    }
}
