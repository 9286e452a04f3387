//! The template of pods: read, merged with what overrules it, and checked as far as it can be without a cluster (C-600, C-621).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// What a task becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `pod`
    Pod,
    /// `job`
    Job,
}

impl Kind {
    /// The one of this word (`CLEARML_K8S_GLUE_KIND`).
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "pod" => Some(Self::Pod),
            "job" => Some(Self::Job),
            _ => None,
        }
    }

    /// `apiVersion` and `kind` of a manifest.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Pod => ("v1", "Pod"),
            Self::Job => ("batch/v1", "Job"),
        }
    }

    /// Where the pod stands in a manifest.
    pub(super) fn pod(self) -> &'static str {
        match self {
            Self::Pod => "",
            Self::Job => "/spec/template",
        }
    }
}

/// A template that can be filled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodTemplate {
    pub(super) kind: Kind,
    pub(super) manifest: Value,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum PodTemplateError {
    /// It cannot be read.
    #[error("could not read the template `{}`: {why}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// It is no YAML.
    #[error("`{}` is no YAML: {why} (hint: write it as for `kubectl apply`, one object in one file)", file.display())]
    NotYaml {
        /// Which.
        file: PathBuf,
        /// Why, and where.
        why: String,
    },
    /// A member is not what it should be.
    #[error("`{}`: `{field}` {what} (hint: {hint})", file.display())]
    Shape {
        /// Which.
        file: PathBuf,
        /// The member, as a path.
        field: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: &'static str,
    },
}

const FIRST_CONTAINER: &str = "the first container of the template becomes that of the task: write at least `- resources: {}`";

impl PodTemplate {
    /// The one in `file`, with the members of `overrides` in place of its own: maps are merged, all else is replaced.
    pub fn read(
        file: &Path,
        overrides: Option<&Path>,
        kind: Kind,
    ) -> Result<Self, PodTemplateError> {
        let mut manifest = document(file)?;
        if let Some(overrides) = overrides {
            merge(&mut manifest, document(overrides)?);
        }
        let template = Self { kind, manifest };
        template
            .check()
            .map_err(|(field, what, hint)| PodTemplateError::Shape {
                file: file.to_owned(),
                field,
                what,
                hint,
            })?;
        Ok(template)
    }

    /// The namespace that it names itself (C-617).
    pub(super) fn namespace(&self) -> Option<&str> {
        let namespace = self.manifest.pointer("/metadata/namespace");
        namespace?.as_str().filter(|name| !name.is_empty())
    }

    fn check(&self) -> Result<(), (String, String, &'static str)> {
        let (version, kind) = self.kind.words();
        for (field, expected) in [("kind", kind), ("apiVersion", version)] {
            match self.manifest.get(field) {
                None => {}
                Some(Value::String(found)) if found == expected => {}
                Some(found) => {
                    return Err((
                        field.to_owned(),
                        format!("is {found}, and `{expected}` is wanted"),
                        "`CLEARML_K8S_GLUE_KIND` says whether tasks become pods (`pod`) or jobs (`job`)",
                    ));
                }
            }
        }
        let pod = self.kind.pod();
        let mut maps = vec!["/metadata".to_owned(), "/spec".to_owned()];
        for below in ["", "/metadata", "/spec"] {
            if !pod.is_empty() {
                maps.push(format!("{pod}{below}"));
            }
        }
        maps.push(format!("{pod}/metadata/labels"));
        for map in maps {
            let found = self.manifest.pointer(&map);
            if found.is_some_and(|found| !found.is_object() && !found.is_null()) {
                let hint = "write it as members, `name: value`";
                return Err((dotted(&map), "is no map".to_owned(), hint));
            }
        }
        let spec = format!("{pod}/spec");
        let containers = format!("{spec}/containers");
        match self.manifest.pointer(&containers) {
            Some(Value::Array(found)) if !found.is_empty() => {
                if let Some(place) = found.iter().position(|one| !one.is_object()) {
                    let field = format!("{}[{place}]", dotted(&containers));
                    return Err((field, "is no map".to_owned(), FIRST_CONTAINER));
                }
            }
            _ => {
                let what = "is no list of containers".to_owned();
                return Err((dotted(&containers), what, FIRST_CONTAINER));
            }
        }
        let first = format!("{containers}/0");
        for list in [
            format!("{first}/env"),
            format!("{first}/volumeMounts"),
            format!("{spec}/volumes"),
            format!("{spec}/initContainers"),
        ] {
            let found = self.manifest.pointer(&list);
            if found.is_some_and(|found| !found.is_array() && !found.is_null()) {
                let hint = "write it as a list, with `- ` before each item";
                return Err((dotted(&list), "is no list".to_owned(), hint));
            }
        }
        Ok(())
    }
}

/// `/spec/containers/0/env` as people write it.
fn dotted(pointer: &str) -> String {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    path.replace(".0", "[0]")
}

fn document(file: &Path) -> Result<Value, PodTemplateError> {
    let text = std::fs::read_to_string(file).map_err(|why| PodTemplateError::Unreadable {
        file: file.to_owned(),
        why,
    })?;
    let map: Map<String, Value> =
        serde_saphyr::from_str_with_options(&text, dialect()).map_err(|why| {
            PodTemplateError::NotYaml {
                file: file.to_owned(),
                why: why
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }
        })?;
    Ok(Value::Object(map))
}

/// YAML as `kubectl` reads it: `defaultMode: 0440` is octal.
fn dialect() -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// Members of `over` in place of those of `value`; maps are merged.
fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(members), Value::Object(over)) => {
            for (name, over) in over {
                merge(members.entry(name).or_insert(Value::Null), over);
            }
        }
        (value, over) => *value = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: Option<&str>, kind: Kind) -> Result<PodTemplate, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pod.yaml");
        std::fs::write(&file, text).unwrap();
        let other = folder.path().join("over.yaml");
        if let Some(overrides) = overrides {
            std::fs::write(&other, overrides).unwrap();
        }
        let read = PodTemplate::read(&file, overrides.map(|_| other.as_path()), kind);
        read.map_err(|error| {
            let folder = format!("{}/", folder.path().display());
            error.to_string().replace(&folder, "")
        })
    }

    /// C-614, C-621: before the first task.
    #[test]
    fn a_template_that_no_pod_can_be_made_of_is_refused_with_the_member() {
        for (text, kind, expected) in [
            (
                "kind: Job\nspec: {}\n",
                Kind::Pod,
                "`pod.yaml`: `kind` is \"Job\", and `Pod` is wanted (hint: ",
            ),
            (
                "spec:\n  containers: []\n",
                Kind::Pod,
                "`pod.yaml`: `spec.containers` is no list of containers (hint: ",
            ),
            (
                "spec:\n  containers: [{}]\n",
                Kind::Job,
                "`pod.yaml`: `spec.template.spec.containers` is no list of containers (hint: ",
            ),
            (
                "spec:\n  containers:\n  - env: {A: 1}\n",
                Kind::Pod,
                "`pod.yaml`: `spec.containers[0].env` is no list (hint: ",
            ),
            ("spec: [\n", Kind::Pod, "`pod.yaml` is no YAML: "),
        ] {
            let error = read(text, None, kind).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    /// What `kubectl` makes of it, so that templates can stay as they are.
    #[test]
    fn a_template_is_read_as_kubectl_reads_it() {
        let text = "spec: {containers: [{a: 0440, b: 1e3, c: 0x10, d: yes, e: 'yes', f: ~, g: 1_000, h: 2G, i: \"1\"}]}";
        let template = read(text, None, Kind::Pod).unwrap();
        let expected = serde_json::json!({
            "a": 288, "b": 1000.0, "c": 16, "d": true, "e": "yes", "f": null, "g": 1000, "h": "2G", "i": "1",
        });
        assert_eq!(template.manifest["spec"]["containers"][0], expected);
    }

    /// C-600: the official glue reads them and does nothing with them.
    #[test]
    fn overrides_are_merged_into_the_template() {
        let template = read(
            "metadata: {labels: {a: b}, namespace: one}\nspec: {containers: [{}]}\n",
            Some("metadata: {namespace: two}\nspec: {nodeSelector: {gpu: 'yes'}}\n"),
            Kind::Pod,
        );
        let template = template.unwrap();
        assert_eq!(template.namespace(), Some("two"));
        let expected = serde_json::json!({
            "metadata": {"labels": {"a": "b"}, "namespace": "two"},
            "spec": {"containers": [{}], "nodeSelector": {"gpu": "yes"}},
        });
        assert_eq!(template.manifest, expected);
    }
}
