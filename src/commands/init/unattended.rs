//! `init --non-interactive`: all answers from options and variables, for provisioning scripts.

use std::io::Read;

use super::hosts::{Address, Derived};
use super::{Answers, Failed, Git, Hosts, Keys};
use crate::cli::Init;
use crate::secrets::SecretString;
use crate::settings::env_vars::{self, Variable};
use crate::settings::{Environment, mask_url_passwords};

/// The answers, and what should be said about them.
pub(super) struct Unattended {
    pub(super) answers: Answers,
    pub(super) warnings: Vec<String>,
}

/// Collects the answers; says all that is missing at once. `stdin` is read for `--secret-key-stdin` alone.
pub(super) fn collect(
    options: &Init,
    environment: &Environment,
    stdin: impl Read,
) -> Result<Unattended, Failed> {
    let given = |option: &Option<String>, variable: &Variable| {
        let option = option.as_deref().map(str::trim);
        let text = option.or_else(|| environment.text(variable));
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut missing = Vec::new();
    let hosts = hosts(options, &given, &mut missing)?;
    let access_key = given(&options.access_key, &env_vars::API_ACCESS_KEY);
    if access_key.is_none() {
        missing.push("the access key: --access-key or CLEARML_API_ACCESS_KEY".to_owned());
    }
    let secret_key = if options.secret_key_stdin {
        first_line(stdin)?
    } else {
        given(&None, &env_vars::API_SECRET_KEY)
    };
    if secret_key.is_none() {
        let source = if options.secret_key_stdin {
            "a line on standard input"
        } else {
            "CLEARML_API_SECRET_KEY, or --secret-key-stdin and a line on standard input"
        };
        missing.push(format!("the secret key: {source}"));
    }
    let git = git(
        given(&options.git_user, &env_vars::GIT_USER),
        environment,
        &mut missing,
    );
    let (Some(hosts), Some(access_key), Some(secret_key), []) =
        (hosts, access_key, secret_key, &*missing)
    else {
        return Err(Failed::message(
            format!("missing {}", missing.join("; ")),
            "see `clearml-agent init --help`",
        ));
    };
    let indexes: Vec<String> = options
        .extra_index_url
        .iter()
        .map(|index| index.trim().to_owned())
        .filter(|index| !index.is_empty())
        .collect();
    let warnings = indexes
        .iter()
        .filter(|index| mask_url_passwords(index) != **index)
        .map(|index| {
            format!(
                "other users of this machine can see the password of --extra-index-url {}",
                mask_url_passwords(index)
            )
        })
        .collect();
    let answers = Answers {
        hosts,
        keys: Keys {
            access_key,
            secret_key: SecretString::new(secret_key),
        },
        output_uri: options
            .output_uri
            .as_deref()
            .map(|uri| uri.trim().to_owned())
            .filter(|uri| !uri.is_empty()),
        git,
        indexes,
    };
    Ok(Unattended { answers, warnings })
}

/// One of the addresses tells the others, where they follow from it (F-150).
fn hosts(
    options: &Init,
    given: &impl Fn(&Option<String>, &Variable) -> Option<String>,
    missing: &mut Vec<String>,
) -> Result<Option<Hosts>, Failed> {
    let address = |option: &Option<String>, variable: &Variable, name: &str| {
        let text = given(option, variable);
        let parsed = text.map(|text| Address::parse(&text)).transpose();
        parsed.map_err(|error| {
            let hint = format!("check {name} and {}", variable.name);
            Failed::message(error.to_string(), &hint)
        })
    };
    let web = address(&options.web_host, &env_vars::WEB_HOST, "--web-host")?;
    let api = address(&options.api_host, &env_vars::API_HOST, "--api-host")?;
    let files = address(&options.files_host, &env_vars::FILES_HOST, "--files-host")?;
    // From another port or a bare host nothing follows, the API server least of all.
    let derived = [&web, &api]
        .into_iter()
        .flatten()
        .filter_map(Address::derive)
        .find(|derived| derived.web.is_some());
    let derived = |part: fn(Derived) -> Option<Address>| derived.clone().and_then(part);
    let found = [
        (
            api.or_else(|| derived(|derived| Some(derived.api))),
            "API",
            "--api-host or CLEARML_API_HOST",
        ),
        (
            web.or_else(|| derived(|derived| derived.web)),
            "web",
            "--web-host or CLEARML_WEB_HOST",
        ),
        (
            files.or_else(|| derived(|derived| derived.files)),
            "file",
            "--files-host or CLEARML_FILES_HOST",
        ),
    ];
    for (address, name, source) in &found {
        if address.is_none() {
            missing.push(format!("the {name} server's address: {source}"));
        }
    }
    let [(Some(api), ..), (Some(web), ..), (Some(files), ..)] = found else {
        return Ok(None);
    };
    Ok(Some(Hosts {
        web: web.to_string(),
        api: api.to_string(),
        files: files.to_string(),
    }))
}

fn git(user: Option<String>, environment: &Environment, missing: &mut Vec<String>) -> Option<Git> {
    let user = user?;
    let token = environment.text(&env_vars::GIT_PASS);
    if token.is_none() {
        missing.push(format!(
            "the token of the git user {user}: CLEARML_AGENT_GIT_PASS"
        ));
    }
    Some(Git {
        user,
        token: SecretString::new(token?),
    })
}

fn first_line(mut stdin: impl Read) -> Result<Option<String>, Failed> {
    let mut text = String::new();
    stdin.read_to_string(&mut text).map_err(|error| {
        Failed::message(
            format!("cannot read the secret key: {error}"),
            "write it as one line of text to standard input",
        )
    })?;
    let line = text.lines().next().unwrap_or_default().trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const KEYS: [(&str, &str); 2] = [
        ("CLEARML_API_ACCESS_KEY", "K"),
        ("CLEARML_API_SECRET_KEY", "SECRET"),
    ];

    fn collected(
        options: &Init,
        variables: &[(&str, &str)],
        stdin: &str,
    ) -> Result<Answers, String> {
        let environment = variables.iter().copied().collect();
        collect(options, &environment, stdin.as_bytes())
            .map(|found| found.answers)
            .map_err(|failed| failed.text())
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn hosts(web: &str, api: &str, files: &str) -> Hosts {
        Hosts {
            web: web.to_owned(),
            api: api.to_owned(),
            files: files.to_owned(),
        }
    }

    #[test]
    fn variables_stand_in_for_options() {
        let variables = [
            ("CLEARML_API_HOST", "http://a:1"),
            ("CLEARML_WEB_HOST", "http://w:2"),
            ("CLEARML_FILES_HOST", "http://f:3"),
            ("CLEARML_AGENT_GIT_USER", "me"),
            ("CLEARML_AGENT_GIT_PASS", "git-token"),
            KEYS[0],
            KEYS[1],
        ];
        let expected = Answers {
            hosts: hosts("http://w:2", "http://a:1", "http://f:3"),
            keys: Keys {
                access_key: "K".to_owned(),
                secret_key: SecretString::new("SECRET"),
            },
            output_uri: None,
            git: Some(Git {
                user: "me".to_owned(),
                token: SecretString::new("git-token"),
            }),
            indexes: Vec::new(),
        };
        assert_eq!(
            collected(&Init::default(), &variables, "").as_ref(),
            Ok(&expected)
        );
        let options = Init {
            api_host: Some(text("http://b:1")),
            access_key: Some(text("K2")),
            secret_key_stdin: true,
            git_user: Some(text("you")),
            extra_index_url: vec!["http://i/simple".to_owned(), " ".to_owned()],
            output_uri: Some(text("s3://bucket")),
            ..Init::default()
        };
        let found = collected(&options, &variables, "FROM-STDIN\nrest").unwrap();
        assert_eq!(found.hosts, hosts("http://w:2", "http://b:1", "http://f:3"));
        assert_eq!(found.keys.access_key, "K2");
        assert_eq!(found.keys.secret_key.expose(), "FROM-STDIN");
        assert_eq!(found.git.unwrap().user, "you");
        assert_eq!(found.indexes, ["http://i/simple"]);
        assert_eq!(found.output_uri.as_deref(), Some("s3://bucket"));
    }

    #[test]
    fn one_address_tells_the_others_where_they_follow() {
        let from = |web: Option<&str>, api: Option<&str>| {
            let options = Init {
                web_host: web.map(str::to_owned),
                api_host: api.map(str::to_owned),
                ..Init::default()
            };
            collected(&options, &KEYS, "").map(|found| found.hosts)
        };
        let local = Ok(hosts("http://h:8080", "http://h:8008", "http://h:8081"));
        assert_eq!(from(None, Some("h:8008")), local);
        assert_eq!(from(Some("h:8080"), None), local);
        assert_eq!(
            from(Some("https://clearml.x"), Some("http://h:8008")),
            Ok(hosts("https://clearml.x", "http://h:8008", "http://h:8081"))
        );
        let error = from(None, Some("https://clearml.x")).expect_err("nothing follows");
        assert_eq!(
            error,
            "missing the web server's address: --web-host or CLEARML_WEB_HOST; \
             the file server's address: --files-host or CLEARML_FILES_HOST"
        );
        assert_eq!(
            from(None, Some("h:x")),
            Err("Port could not be cast to integer value as 'x'".to_owned())
        );
    }

    #[test]
    fn all_that_is_missing_is_said_at_once() {
        let options = Init {
            git_user: Some(text("me")),
            ..Init::default()
        };
        let error = collected(&options, &[], "").expect_err("nothing is there");
        for name in [
            "CLEARML_API_HOST",
            "--web-host",
            "--files-host",
            "--access-key",
            "CLEARML_API_SECRET_KEY",
            "CLEARML_AGENT_GIT_PASS",
        ] {
            assert!(error.contains(name), "{error}");
        }
        let options = Init {
            secret_key_stdin: true,
            ..Init::default()
        };
        let error = collected(&options, &KEYS, "\n").expect_err("no line");
        assert!(error.contains("a line on standard input"), "{error}");
    }

    #[test]
    fn a_password_on_the_command_line_is_warned_about() {
        let options = Init {
            api_host: Some(text("h:8008")),
            extra_index_url: vec!["https://u:indexpassword@i/simple".to_owned()],
            ..Init::default()
        };
        let environment = KEYS.into_iter().collect();
        let found =
            collect(&options, &environment, io::empty()).unwrap_or_else(|_| panic!("complete"));
        assert_eq!(found.warnings.len(), 1);
        assert!(!found.warnings[0].contains("indexpassword"));
    }
}
