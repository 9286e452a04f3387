//! The configuration as it is printed at start-up and by `config`, secrets starred (F-160 to F-165).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use super::hocon::{Kind, Object, Value, float_text};
use super::{Settings, env_vars};

/// What stands for a hidden value.
const HIDDEN: &str = "****";

/// What stands for a hidden password or variable inside a longer text.
const HIDDEN_PART: &str = "********";

/// Variables that are always hidden in docker commands (F-165).
const SECRET_VARIABLES: [&str; 7] = [
    "CLEARML_AGENT_GIT_PASS",
    "TRAINS_AGENT_GIT_PASS",
    "CLEARML_API_SECRET_KEY",
    "TRAINS_API_SECRET_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
    "CLEARML_AUTH_TOKEN",
];

impl Settings {
    /// The whole text that `config` prints and every worker command begins with (F-160); its last line is empty.
    pub fn printout(&self) -> String {
        let location = self.location().unwrap_or("None");
        let version = crate::REFERENCE_VERSION;
        let mut out = format!(
            "Current configuration (clearml_agent v{version}, location: {location}):\n\
             ----------------------\n"
        );
        for line in self.printout_lines() {
            out += &line;
            out.push('\n');
        }
        out
    }

    /// One line a value, in the order of F-163. The line of a text with line breaks holds them.
    pub fn printout_lines(&self) -> Vec<String> {
        let masks = Masks::of(self);
        let mut root = self.root().clone();
        if masks.is_active() {
            masks.object(&mut root);
        }
        leave_out(&mut root);
        let mut lines = Vec::new();
        let first = ["agent", "api", "sdk"];
        let others = root.keys().map(String::as_str);
        let others = others.filter(|key| !first.contains(key));
        for key in first.into_iter().chain(others) {
            if let Some(value) = root.get(key) {
                write_lines(&mut lines, key, &value.kind);
            }
        }
        lines
    }
}

impl Settings {
    /// The lines of one key, or what they would be with this value.
    pub(super) fn printout_of(&self, path: &str, value: Option<&Value>) -> Vec<String> {
        let changed = value.map(|value| self.with(path, value.clone()));
        let lines = changed.as_ref().unwrap_or(self).printout_lines();
        let own = |line: &String| {
            let rest = line.strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with(" = ") || rest.starts_with('.'))
        };
        lines.into_iter().filter(own).collect()
    }
}

/// F-162
fn leave_out(root: &mut Object) {
    root.shift_remove("env");
    let member = |value: &mut Object, key: &str, then: &dyn Fn(&mut Object)| {
        if let Some(Value {
            kind: Kind::Object(members),
            ..
        }) = value.get_mut(key)
        {
            then(members);
        }
    };
    member(root, "logging", &|logging| {
        logging.shift_remove("version");
        member(logging, "loggers", &|loggers| {
            member(loggers, "urllib3", &|urllib3| {
                urllib3.shift_remove("level");
            });
        });
    });
}

/// F-161
fn write_lines(lines: &mut Vec<String>, path: &str, kind: &Kind) {
    let text = match kind {
        Kind::Null => return,
        Kind::Object(members) => {
            for (key, value) in members {
                write_lines(lines, &format!("{path}.{key}"), &value.kind);
            }
            return;
        }
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                write_lines(lines, &format!("{path}.{index}"), &item.kind);
            }
            return;
        }
        Kind::Boolean(boolean) => boolean.to_string(),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => float_text(*number),
        Kind::Text(text) => escaped(text),
    };
    lines.push(format!("{path} = {text}"));
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '=' | '!' | '#' | '\n') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// The patterns of `agent.sanitize_config_printout` (F-164).
struct Masks {
    hide: Vec<Pattern>,
    hide_below: Vec<Pattern>,
    show: Vec<Pattern>,
    docker: Vec<Pattern>,
    urls: Vec<Pattern>,
    arguments: DockerArgumentMask,
}

/// A pattern, or what its author wrote where it is none.
enum Pattern {
    Regex(Regex),
    Literal(String),
}

impl Pattern {
    fn new(text: &str) -> Self {
        Regex::new(text).map_or_else(|_| Self::Literal(text.to_owned()), Self::Regex)
    }

    fn found_in(&self, key: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(key),
            Self::Literal(text) => key.contains(text),
        }
    }
}

impl Masks {
    fn of(settings: &Settings) -> Self {
        let patterns = |name: &str| {
            settings
                .list(&format!("agent.sanitize_config_printout.{name}"))
                .unwrap_or_default()
                .iter()
                .map(|text| Pattern::new(text))
                .collect()
        };
        Self {
            hide: patterns("hide_secrets"),
            hide_below: patterns("hide_secrets_recursive"),
            show: patterns("dont_hide_secrets"),
            docker: patterns("docker_commands"),
            urls: patterns("urls"),
            arguments: DockerArgumentMask::of(settings),
        }
    }

    fn is_active(&self) -> bool {
        [&self.hide, &self.hide_below, &self.docker, &self.urls]
            .iter()
            .any(|patterns| !patterns.is_empty())
    }

    fn object(&self, object: &mut Object) {
        for (key, value) in object.iter_mut() {
            self.member(key, value);
        }
    }

    fn member(&self, key: &str, value: &mut Value) {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.found_in(key));
        if !any(&self.show) {
            if any(&self.hide) {
                value.kind = Kind::Text(HIDDEN.to_owned());
                return;
            }
            if any(&self.hide_below) {
                hide_each(value);
                return;
            }
        }
        if any(&self.urls) {
            each_text(value, &mask_url_passwords);
        }
        if any(&self.docker) {
            self.arguments.value(value);
        }
        self.below(value);
    }

    fn below(&self, value: &mut Value) {
        match &mut value.kind {
            Kind::Object(members) => self.object(members),
            Kind::List(items) => items.iter_mut().for_each(|item| self.below(item)),
            _ => {}
        }
    }
}

/// An object keeps its keys.
fn hide_each(value: &mut Value) {
    match &mut value.kind {
        Kind::Object(members) => {
            for value in members.values_mut() {
                value.kind = Kind::Text(HIDDEN.to_owned());
            }
        }
        kind => *kind = Kind::Text(HIDDEN.to_owned()),
    }
}

fn each_text(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match &mut value.kind {
        Kind::Text(text) => *text = change(text),
        Kind::List(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Kind::Object(members) => members
            .values_mut()
            .for_each(|value| each_text(value, change)),
        _ => {}
    }
}

static URL_PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:)([^/\s]+)@")
        .expect("the pattern is constant")
});

/// An assignment in a script, with its value in or out of quotes.
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^\s;&|]*)"#)
        .expect("the pattern is constant")
});

/// What is behind the joined letters of a docker command that take no value: `e` of `-ite`.
fn switches(word: &str) -> Option<&str> {
    let letters = word
        .strip_prefix('-')
        .filter(|rest| !rest.starts_with('-'))?;
    Some(letters.trim_start_matches(['d', 'i', 'q', 't', 'P']))
}

/// The text with the passwords of its URLs starred: `scheme://user:********@host`.
pub fn mask_url_passwords(text: &str) -> String {
    URL_PASSWORD
        .replace_all(text, format!("${{1}}{HIDDEN_PART}@"))
        .into_owned()
}

/// Hides the values of secret variables in the words of a docker command (F-165).
#[derive(Clone, Debug)]
pub struct DockerArgumentMask {
    names: BTreeSet<String>,
    active: bool,
    parse_urls: bool,
}

impl DockerArgumentMask {
    /// The mask that these settings ask for.
    pub fn of(settings: &Settings) -> Self {
        let section = "agent.hide_docker_command_env_vars";
        let from_variable = settings
            .environment()
            .words(&env_vars::DOCKER_ARGS_HIDE_ENV);
        let active = settings.is_on(&format!("{section}.enabled")) || from_variable.is_some();
        let keys = settings.list(&format!("{section}.extra_keys"));
        Self {
            names: SECRET_VARIABLES
                .map(str::to_owned)
                .into_iter()
                .chain(keys.unwrap_or_default())
                .chain(from_variable.unwrap_or_default())
                .collect(),
            active,
            parse_urls: settings.is_on(&format!("{section}.parse_embedded_urls")),
        }
    }

    /// The words with the values of secret variables starred, after `-e`, `--env` and in `--env=NAME=value`.
    pub fn mask(&self, words: &[String]) -> Vec<String> {
        if !self.active {
            return words.to_vec();
        }
        let mut follows = false;
        words
            .iter()
            .map(|word| {
                let is_assignment = follows;
                follows = word == "--env" || switches(word) == Some("e");
                if is_assignment {
                    return self.assignment(word);
                }
                for flag in ["--env=", "-e="] {
                    if let Some(assignment) = word.strip_prefix(flag) {
                        return format!("{flag}{}", self.assignment(assignment));
                    }
                }
                match switches(word).and_then(|rest| rest.strip_prefix('e')) {
                    Some(assignment) if assignment.contains('=') => {
                        let flag = &word[..word.len() - assignment.len()];
                        format!("{flag}{}", self.assignment(assignment))
                    }
                    _ => self.other(word),
                }
            })
            .collect()
    }

    /// A script with the values of secret variables and the passwords of URLs starred (C-143).
    pub fn mask_text(&self, text: &str) -> String {
        if !self.active {
            return text.to_owned();
        }
        let hidden = ASSIGNMENT.replace_all(text, |found: &regex::Captures<'_>| {
            let name = &found[1];
            if self.names.contains(name) {
                format!("{name}={HIDDEN_PART}")
            } else {
                found[0].to_owned()
            }
        });
        self.other(&hidden)
    }

    fn assignment(&self, text: &str) -> String {
        match text.split_once('=') {
            Some((name, _)) if self.names.contains(name) => format!("{name}={HIDDEN_PART}"),
            // Its value may have words of its own.
            Some((name, value)) if env_vars::DOCKER_IMAGE.names().any(|own| own == name) => {
                let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
                format!("{name}={}", self.mask(&words).join(" "))
            }
            _ => self.other(text),
        }
    }

    fn other(&self, text: &str) -> String {
        if self.parse_urls {
            mask_url_passwords(text)
        } else {
            text.to_owned()
        }
    }

    /// A list is masked word by word; one text is a shell line and is masked by the names in it.
    fn value(&self, value: &mut Value) {
        match &mut value.kind {
            Kind::List(items) => {
                let words: Vec<_> = items
                    .iter()
                    .map(|item| item.to_text().unwrap_or_default())
                    .collect();
                for (item, word) in items.iter_mut().zip(self.mask(&words)) {
                    if let Kind::Text(text) = &mut item.kind {
                        *text = word;
                    }
                }
            }
            Kind::Text(text) if self.active => {
                let words = shlex::split(text)
                    .unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect());
                let masked = self.mask(&words);
                if masked != words {
                    let mut line = String::new();
                    for (index, word) in masked.iter().enumerate() {
                        let blank = if index == 0 { "" } else { " " };
                        let _ = write!(line, "{blank}{word}");
                    }
                    *text = line;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Detected;
    use super::*;
    use crate::settings::Environment;

    fn lines(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        Settings::from_text(text, &variables.iter().copied().collect::<Environment>())
            .expect("the text is good")
            .printout_lines()
    }

    fn starting_with(lines: &[String], start: &str) -> Vec<String> {
        let lines = lines.iter().filter(|line| line.starts_with(start));
        lines.cloned().collect()
    }

    /// F-166
    #[test]
    fn the_defaults_are_printed_as_the_reference_prints_them() {
        let detected = Detected {
            host_name: "{HOSTNAME}".to_owned(),
            python_version: Some("{PYTHON}".to_owned()),
            ..Detected::default()
        };
        let settings = Settings::from_text("", &Environment::default()).expect("no text is good");
        let printed = settings.completed(&detected).printout();
        let expected = include_str!("../../tests/data/settings/config-default-output.txt")
            .replace("{VERSION}", crate::REFERENCE_VERSION);
        assert_eq!(printed + "\n", expected);
    }

    /// F-161
    #[test]
    fn values_are_written_like_java_properties() {
        let printed = lines(
            "x { a: \"p=q!r#s\", b: \"l1\\nl2\", c: 2.0, d: 1e20, e: null, f: {}, g: [], h: \"\", i: [1, {j: true}], \"k.l\": 12345678901234567890 }",
            &[],
        );
        assert_eq!(
            starting_with(&printed, "x."),
            [
                "x.a = p\\=q\\!r\\#s",
                "x.b = l1\\\nl2",
                "x.c = 2.0",
                "x.d = 1e+20",
                "x.h = ",
                "x.i.0 = 1",
                "x.i.1.j = true",
                "x.k.l = 12345678901234567890",
            ]
        );
    }

    /// F-164
    #[test]
    fn secrets_are_hidden_by_the_name_of_their_key() {
        let printed = lines(
            "agent { git_pass: p, git_user: u, enable_git_ask_pass: true }\n\
             api.credentials { access_key: A, secret_key: S }\n\
             environment { A: 1, B { C: 2 } }\n\
             files.f { path: x, contents: y }\n\
             sdk.aws.s3.credentials: [{bucket: b, secret: s}]\n\
             sdk.my_token { deep: 1 }",
            &[],
        );
        for line in [
            "agent.git_pass = ****",
            "agent.git_user = u",
            "agent.enable_git_ask_pass = true",
            "api.credentials.access_key = A",
            "api.credentials.secret_key = ****",
            "environment.A = ****",
            "environment.B = ****",
            "files.f.path = x",
            "files.f.contents = ****",
            "sdk.aws.s3.credentials.0.bucket = b",
            "sdk.aws.s3.credentials.0.secret = ****",
            "sdk.my_token = ****",
        ] {
            assert!(printed.iter().any(|printed| printed == line), "{line}");
        }
    }

    /// F-164
    #[test]
    fn four_empty_lists_hide_nothing() {
        let printed = lines(
            "agent.git_pass: p\nagent.sanitize_config_printout { hide_secrets: [], hide_secrets_recursive: [], docker_commands: [], urls: [] }",
            &[],
        );
        assert!(printed.contains(&"agent.git_pass = p".to_owned()));
    }

    /// F-164
    #[test]
    fn passwords_in_urls_are_hidden() {
        let printed = lines(
            "agent.package_manager.extra_index_url: [\"https://u:p@h/simple\", \"https://h/simple\"]",
            &[],
        );
        assert_eq!(
            starting_with(&printed, "agent.package_manager.extra_index_url"),
            [
                "agent.package_manager.extra_index_url.0 = https://u:********@h/simple",
                "agent.package_manager.extra_index_url.1 = https://h/simple",
            ]
        );
    }

    /// F-164, F-165, W19
    #[test]
    fn secret_variables_in_docker_arguments_are_hidden() {
        let text = "agent.extra_docker_arguments: [\"-e\", \"AWS_SECRET_ACCESS_KEY=x\", \"--env\", \"MINE=y\", \"-e\", \"PLAIN=z\", \"--env=OTHER=q\", \"-e\", \"U=http://u:p@h\"]\n\
                    agent.hide_docker_command_env_vars.extra_keys: [MINE]";
        let printed = lines(text, &[("CLEARML_AGENT_DOCKER_ARGS_HIDE_ENV", "OTHER")]);
        let values: Vec<_> = starting_with(&printed, "agent.extra_docker_arguments")
            .iter()
            .filter_map(|line| line.split_once(" = ").map(|(_, value)| value.to_owned()))
            .collect();
        assert_eq!(
            values,
            [
                "-e",
                "AWS_SECRET_ACCESS_KEY\\=********",
                "--env",
                "MINE\\=********",
                "-e",
                "PLAIN\\=z",
                "--env\\=OTHER\\=********",
                "-e",
                "U\\=http://u:********@h",
            ]
        );
        let one_text = lines(
            "agent.extra_docker_arguments: \"-e AZURE_STORAGE_KEY=k\"",
            &[],
        );
        assert!(one_text.contains(
            &"agent.extra_docker_arguments = -e AZURE_STORAGE_KEY\\=********".to_owned()
        ));
    }

    /// F-163: cloud storage has its place before what follows in the defaults.
    #[test]
    fn storage_keys_stand_behind_those_of_amazon() {
        let printed = lines("", &[("GOOGLE_APPLICATION_CREDENTIALS", "/g.json")]);
        let position = |start: &str| printed.iter().position(|line| line.starts_with(start));
        assert!(position("sdk.aws.boto3") < position("sdk.google.storage"));
        assert!(position("sdk.google.storage") < position("sdk.log."));
    }

    /// F-163
    #[test]
    fn sections_have_a_fixed_order_and_later_keys_come_last() {
        let printed = lines("zoo: 1\nsdk.new: 1\nagent.new: 1\nlogging.mine: 1", &[]);
        let position = |line: &str| {
            printed
                .iter()
                .position(|printed| printed == line)
                .unwrap_or_else(|| panic!("{line} is not printed"))
        };
        assert!(position("agent.disable_task_docker_override = false") < position("agent.new = 1"));
        assert!(position("agent.new = 1") < position("api.version = 1.5"));
        assert!(position("sdk.new = 1") < position("logging.mine = 1"));
        assert!(position("logging.mine = 1") < position("zoo = 1"));
    }
}
