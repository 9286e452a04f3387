//! A plan as rows for a person.

use serde_json::Value;

use crate::visible;

/// The plan with a heading for each of its parts.
pub(super) fn text(plan: &Value) -> String {
    let mut rows = Rows::default();
    rows.add("task", text_of(&plan["task"]));
    rows.add_repository(&plan["repository"]);
    rows.add_script(&plan["script"]);
    if plan["container"].is_null() {
        rows.add_interpreter(&plan["interpreter"]);
        rows.add_environment(&plan["environment"]);
        rows.add_requirements(&plan["requirements"]);
    } else {
        rows.add_container(&plan["container"]);
    }
    rows.add("variables", "");
    for (name, value) in plan["variables"].as_object().into_iter().flatten() {
        rows.more(&format!("{name}={}", text_of(value)));
    }
    if plan["container"].is_null() {
        rows.add("command", &command_line(&plan["command"]));
    }
    for (place, notice) in items(&plan["notices"]).enumerate() {
        if place == 0 {
            rows.add("notices", "");
        }
        rows.lines(notice.trim());
    }
    rows.0
}

/// Rows with a heading, and what stands below it.
#[derive(Default)]
struct Rows(String);

impl Rows {
    fn add(&mut self, name: &str, text: &str) {
        self.0 += format!("{name:<13} {}", visible::line(text)).trim_end();
        self.0.push('\n');
    }

    fn more(&mut self, text: &str) {
        self.add("", text);
    }

    /// What has lines of its own.
    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.more(line);
        }
    }

    fn add_repository(&mut self, repository: &Value) {
        if repository.is_null() {
            self.add("code", "the task brings its script itself");
            return;
        }
        self.add("repository", text_of(&repository["url"]));
        let wanted = ["commit", "tag", "branch"]
            .into_iter()
            .map(|name| (name, text_of(&repository[name])))
            .find(|(_, value)| !value.is_empty());
        let revision = wanted.map_or_else(
            || "the default branch".to_owned(),
            |(name, value)| format!("{name} {value}"),
        );
        let place = if repository["cached"] == true {
            "on this machine: nothing is fetched"
        } else {
            "fetched from the server"
        };
        self.more(&format!("{revision}, {place}"));
        let credentials = text_of(&repository["credentials"]);
        self.more(&match repository["credential_source"].as_str() {
            Some(source) => format!("credentials: {credentials}, {source}"),
            None => format!("credentials: {credentials}"),
        });
        if repository["has_changes"] == true {
            self.more("uncommitted changes of the task are applied");
        }
    }

    fn add_script(&mut self, script: &Value) {
        let folder = match text_of(&script["working_dir"]) {
            "" => ".",
            folder => folder,
        };
        let (entry_point, kind) = (text_of(&script["entry_point"]), text_of(&script["kind"]));
        self.add("script", &format!("{entry_point} ({kind}) in {folder}"));
    }

    fn add_interpreter(&mut self, interpreter: &Value) {
        if interpreter.is_null() {
            self.add("interpreter", "none is needed");
            return;
        }
        let path = text_of(&interpreter["path"]);
        let version = text_of(&interpreter["version"]);
        self.add("interpreter", &format!("{path} (Python {version})"));
        self.more(text_of(&interpreter["reason"]));
    }

    fn add_environment(&mut self, environment: &Value) {
        let (kind, path) = (text_of(&environment["kind"]), text_of(&environment["path"]));
        self.add("environment", &format!("{kind} in {path}"));
        for (name, key) in [("store", "store_key"), ("cache", "cache_key")] {
            if let Some(key) = environment[key].as_str() {
                self.more(&format!("{name} key {key}"));
            }
        }
        self.more(match kind {
            "as_it_is" | "standalone" | "none" => "nothing is installed",
            "existing" => "packages are installed into it",
            _ if environment["hit"] == true => "taken from the store or the cache",
            _ => "made for this task, from a kept one with nothing but pip where there is one",
        });
    }

    fn add_container(&mut self, container: &Value) {
        self.add("container", text_of(&container["image"]));
        let mut words: Vec<&Value> = container["argv"].as_array().into_iter().flatten().collect();
        words.pop();
        let words = words.into_iter().cloned().collect();
        self.more(&format!("$ {} SCRIPT", command_line(&Value::Array(words))));
        self.more("with this SCRIPT:");
        self.lines(text_of(&container["script"]));
    }

    fn add_requirements(&mut self, requirements: &Value) {
        let source = text_of(&requirements["source"]);
        self.add("requirements", &format!("from: {source}"));
        for (name, key) in [
            ("first", "before"),
            ("list", "lines"),
            ("last", "after"),
            ("index", "extra_index_urls"),
        ] {
            for line in items(&requirements[key]) {
                self.more(&format!("{name}: {line}"));
            }
        }
        for call in requirements["install"].as_array().into_iter().flatten() {
            self.more(&format!("$ {}", command_line(call)));
        }
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().map(text_of)
}

fn command_line(words: &Value) -> String {
    let words: Vec<&str> = items(words).collect();
    shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
}
