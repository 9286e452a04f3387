//! The text of the new configuration file (F-155).

use std::fmt::Write as _;

use super::Answers;
use crate::settings::hocon::{self, Kind, Object, Value, quoted};
use crate::settings::{Environment, Settings, SettingsError};

/// Comments and switched-off keys for the section `agent`.
const SAMPLE: &str = include_str!("../../../clearml.conf.sample");

/// The section `sdk`.
const DEFAULTS: &str = include_str!("../../settings/defaults.conf");

/// The file: what was answered, then all defaults, as standard HOCON that the official agent and the SDK read too.
pub(super) fn text(answers: &Answers) -> Result<String, SettingsError> {
    let hosts = &answers.hosts;
    let (user, token) = answers
        .git
        .as_ref()
        .map_or(("", ""), |git| (&*git.user, git.token.expose()));
    let mut out = format!(
        "# CLEARML-AGENT configuration file\n\
         api {{\n    \
             # The API server (mostly port 8008), not the page in the browser.\n    \
             api_server: {api}\n    \
             web_server: {web}\n    \
             files_server: {files}\n    \
             # Made in the browser, {page}/settings\n    \
             # CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY come before them.\n    \
             credentials {{\"access_key\": {access}, \"secret_key\": {secret}}}\n\
         }}\n\n\
         # User and token for git over https; empty: ssh keys.\n\
         agent.git_user={user}\n\
         agent.git_pass={token}\n\n\
         # Package indexes beside PyPI, such as \"https://user:password@pypi.example.org/simple\"\n\
         agent.package_manager.extra_index_url= [\n",
        api = quoted(&hosts.api),
        web = quoted(&hosts.web),
        files = quoted(&hosts.files),
        page = hosts.web.trim_end_matches('/'),
        access = quoted(&answers.keys.access_key),
        secret = quoted(answers.keys.secret_key.expose()),
        user = quoted(user),
        token = quoted(token),
    );
    for index in &answers.indexes {
        let _ = writeln!(out, "{}", quoted(index));
    }
    out.push_str("]\n\n");
    if let Some(uri) = &answers.output_uri {
        let _ = writeln!(
            out,
            "# Where models and artifacts go, unless the task says otherwise.\n\
             sdk.development.default_output_uri={}\n",
            quoted(uri)
        );
    }
    out.push_str(&agent_section()?);
    // The comments there are for those who work on this program.
    for line in section(DEFAULTS, "sdk").lines() {
        let off = match line.trim_start() {
            line if line.starts_with('#') => continue,
            // What stands further down would win.
            line => answers.output_uri.is_some() && line.starts_with("default_output_uri"),
        };
        let _ = writeln!(out, "{}{line}", if off { "#" } else { "" });
    }
    Ok(out)
}

/// The sample's section with the defaults that the sample leaves out.
fn agent_section() -> Result<String, SettingsError> {
    let sample = section(SAMPLE, "agent");
    let nothing = Environment::default();
    let defaults = Settings::from_text("", &nothing)?;
    let sample_alone = hocon::parse(sample, hocon::Source::Text, hocon::World::new(&|_| None))?;
    let left_out = match (defaults.root().get("agent"), sample_alone.get("agent")) {
        (Some(all), Some(shown)) => missing(all, shown),
        _ => None,
    };
    let Some(Kind::Object(left_out)) = left_out.map(|value| value.kind) else {
        return Ok(format!("{sample}\n"));
    };
    let printed = hocon::print(&left_out);
    let members = printed.strip_prefix("{\n").unwrap_or(&printed);
    let members = members.strip_suffix("}\n").unwrap_or(members);
    let open = sample.strip_suffix("}\n").unwrap_or(sample);
    Ok(format!("{open}\n    # Further defaults.\n{members}}}\n\n"))
}

/// What of `all` is not in `shown`; what is only known at start-up is no default.
fn missing(all: &Value, shown: &Value) -> Option<Value> {
    let Kind::Object(members) = &all.kind else {
        return None;
    };
    let left_out: Object = members
        .iter()
        .filter(|(_, value)| !value.is_null())
        .filter_map(|(key, value)| {
            let value = match shown.member(key) {
                None => Some(value.clone()),
                Some(shown) => missing(value, shown),
            };
            Some((key.clone(), value?))
        })
        .collect();
    let kind = Kind::Object(left_out.clone());
    (!left_out.is_empty()).then(|| Value::new(kind, all.origin.clone()))
}

/// The text of a section, from its name at the beginning of a line to the brace at the beginning of a line.
fn section<'t>(text: &'t str, name: &str) -> &'t str {
    let begin = text.find(&format!("\n{name} {{\n")).map_or(0, |at| at + 1);
    let end = text[begin..]
        .find("\n}\n")
        .map_or(text.len(), |at| begin + at + 3);
    &text[begin..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Git, Hosts, Keys};
    use super::*;
    use crate::secrets::SecretString;

    fn answers() -> Answers {
        Answers {
            hosts: Hosts {
                web: "http://h:8080".to_owned(),
                api: "http://h:8008".to_owned(),
                files: "http://h:8081".to_owned(),
            },
            keys: Keys {
                access_key: "ACCESS".to_owned(),
                secret_key: SecretString::new("007"),
            },
            output_uri: None,
            git: None,
            indexes: Vec::new(),
        }
    }

    /// Key and value of everything that was answered.
    fn entered(answers: &Answers) -> Vec<(&'static str, Vec<String>)> {
        let git = answers.git.as_ref();
        let one = |text: &str| vec![text.to_owned()];
        vec![
            ("api.api_server", one(&answers.hosts.api)),
            ("api.web_server", one(&answers.hosts.web)),
            ("api.files_server", one(&answers.hosts.files)),
            ("api.credentials.access_key", one(&answers.keys.access_key)),
            (
                "api.credentials.secret_key",
                one(answers.keys.secret_key.expose()),
            ),
            ("agent.git_user", one(git.map_or("", |git| &git.user))),
            (
                "agent.git_pass",
                one(git.map_or("", |git| git.token.expose())),
            ),
            (
                "agent.package_manager.extra_index_url",
                answers.indexes.clone(),
            ),
            (
                "sdk.development.default_output_uri",
                one(answers.output_uri.as_deref().unwrap_or_default()),
            ),
        ]
    }

    /// The file over the defaults: the entered values, and not a difference more.
    fn assert_read_by_us(answers: &Answers, text: &str) {
        let nothing = Environment::default();
        let mut expected = Settings::from_text("", &nothing).unwrap();
        let read = Settings::from_text(text, &nothing).unwrap();
        for (key, values) in entered(answers) {
            let texts = |values: &[String]| -> Vec<Value> {
                let texts = values.iter().cloned().map(Kind::Text);
                texts
                    .map(|kind| Value::new(kind, hocon::Source::Text.into()))
                    .collect()
            };
            let value = if key.ends_with("extra_index_url") {
                Value::new(Kind::List(texts(&values)), hocon::Source::Text.into())
            } else {
                texts(&values).remove(0)
            };
            assert_eq!(read.value(key), Some(&value), "{key}");
            expected = expected.with(key, value);
        }
        // The older name that follows from the server (F-016).
        let host = read.value("api.host").unwrap().clone();
        expected = expected.with("api.host", host);
        assert_eq!(read.root(), expected.root());
    }

    /// The same values, read strictly by the independent parser.
    fn assert_read_by_others(answers: &Answers, text: &str) {
        let theirs = hocon_crate(text);
        for (key, values) in entered(answers) {
            let found = key.split('.').fold(&theirs, |found, member| &found[member]);
            if key.ends_with("default_output_uri") && answers.output_uri.is_none() {
                assert_eq!(found.as_string().as_deref(), Some(""));
            } else if let ::hocon::Hocon::Array(items) = found {
                let items: Vec<String> =
                    items.iter().filter_map(::hocon::Hocon::as_string).collect();
                assert_eq!(items, values, "{key}");
            } else {
                assert!(
                    matches!(found, ::hocon::Hocon::String(text) if *text == values[0]),
                    "{key}: {found:?}"
                );
            }
        }
    }

    fn hocon_crate(text: &str) -> ::hocon::Hocon {
        ::hocon::HoconLoader::new()
            .strict()
            .load_str(text)
            .and_then(::hocon::HoconLoader::hocon)
            .expect("the file is standard HOCON")
    }

    fn assert_read(answers: &Answers) {
        let text = text(answers).unwrap();
        assert_read_by_us(answers, &text);
        assert_read_by_others(answers, &text);
    }

    /// F-155
    #[test]
    fn the_file_gives_what_was_answered_over_the_defaults() {
        let least = answers();
        assert_read(&least);
        let most = Answers {
            output_uri: Some("s3://bucket/out".to_owned()),
            git: Some(Git {
                user: "me".to_owned(),
                token: SecretString::new("git@token=\"#\\"),
            }),
            indexes: vec![
                "http://a/simple".to_owned(),
                "http://u:p@b/simple".to_owned(),
            ],
            ..least
        };
        assert_read(&most);
    }

    /// F-155
    #[test]
    fn the_file_has_the_shape_that_people_know() {
        let text = text(&answers()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let members: Vec<&str> = lines
            .iter()
            .take_while(|line| **line != "}")
            .map(|line| line.trim())
            .filter(|line| !line.starts_with("# ") || line.starts_with("# CLEARML-AGENT"))
            .collect();
        assert_eq!(
            members,
            [
                "# CLEARML-AGENT configuration file",
                "api {",
                "api_server: \"http://h:8008\"",
                "web_server: \"http://h:8080\"",
                "files_server: \"http://h:8081\"",
                "credentials {\"access_key\": \"ACCESS\", \"secret_key\": \"007\"}",
            ]
        );
        let tops: Vec<&str> = lines
            .into_iter()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
            .collect();
        assert_eq!(
            tops,
            [
                "api {",
                "agent.git_user=\"\"",
                "agent.git_pass=\"\"",
                "agent.package_manager.extra_index_url= [",
                "agent {",
                "sdk {",
            ]
        );
        assert!(text.contains("    #default_python"), "{text}");
        assert!(text.contains("free_space_threshold_gb"), "{text}");
    }

    /// W16: the second reader must find every default too.
    #[test]
    fn the_independent_parser_finds_all_defaults() {
        let theirs = hocon_crate(&text(&answers()).unwrap());
        let defaults = Settings::from_text("", &Environment::default()).unwrap();
        for key in ["agent", "sdk"] {
            assert_members(&defaults.root()[key], &theirs[key], key);
        }
    }

    fn assert_members(ours: &Value, theirs: &::hocon::Hocon, path: &str) {
        match &ours.kind {
            Kind::Object(members) => {
                for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    assert_members(value, &theirs[key.as_str()], &format!("{path}.{key}"));
                }
            }
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    assert_members(item, &theirs[index], &format!("{path}[{index}]"));
                }
            }
            Kind::Boolean(ours) => assert_eq!(theirs.as_bool(), Some(*ours), "{path}"),
            Kind::Integer(ours) => assert_eq!(theirs.as_i64(), ours.to_i64(), "{path}"),
            Kind::Float(ours) => assert_eq!(theirs.as_f64(), Some(*ours), "{path}"),
            Kind::Text(ours) => assert_eq!(theirs.as_string().as_ref(), Some(ours), "{path}"),
            Kind::Null => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// W16
        #[test]
        fn whatever_is_typed_reads_back(
            secret in "\\PC{1,24}",
            access in "[ -~]{1,24}",
            user in "[ -~]{1,12}",
            token in "[\"\\\\$#{}=@!a\t]{1,12}",
            uri in "[ -~]{1,24}",
        ) {
            let answers = Answers {
                keys: Keys { access_key: access, secret_key: SecretString::new(secret) },
                git: Some(Git { user, token: SecretString::new(token.clone()) }),
                output_uri: Some(uri.clone()),
                indexes: vec![uri, token],
                ..answers()
            };
            assert_read(&answers);
        }
    }
}
