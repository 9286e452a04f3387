//! The dialogue without a terminal and without a server: every branch, with the text around it.
//!
//! Compiled under `#[cfg(test)]` only.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;

const BLOCK: &str = "api {\n  web_server: http://127.0.0.1:8080\n  api_server: http://127.0.0.1:18008\n  \
                     files_server: http://127.0.0.1:18081\n  credentials {\n    \"access_key\" = \"ACCESS\"\n    \
                     \"secret_key\" = \"SECRETKEY\"\n  }\n}";

/// Answers in their order; everything that is said and asked in one text, as on a pipe.
struct Script {
    answers: VecDeque<String>,
    text: String,
    secrets: Vec<String>,
}

impl Console for Script {
    fn say(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    async fn ask(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.text.push_str(prompt);
        self.answers.pop_front().ok_or(NoAnswer::End)
    }

    async fn ask_with_secrets(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        self.ask(prompt).await
    }

    async fn ask_secret(&mut self, prompt: &str) -> Result<String, NoAnswer> {
        let answer = self.ask(prompt).await?;
        self.secrets.push(answer.clone());
        Ok(answer)
    }
}

/// Knows one secret.
struct Knows(&'static str, RefCell<Vec<String>>);

impl Server for Knows {
    async fn verify(&self, api_host: &str, keys: &Keys) -> Result<Verified, Cause> {
        self.1.borrow_mut().push(api_host.to_owned());
        if keys.secret_key.expose() == self.0 {
            return Ok(Verified::default());
        }
        Err(Cause {
            text: "the server does not accept these keys".to_owned(),
            hint: "make new ones".to_owned(),
        })
    }
}

struct Held {
    result: Result<Answers, Ended>,
    text: String,
    secrets: Vec<String>,
    left: usize,
}

impl Held {
    fn answers(&self) -> &Answers {
        match &self.result {
            Ok(answers) => answers,
            Err(error) => panic!("{error}:\n{}", self.text),
        }
    }

    fn hosts(&self) -> [&str; 3] {
        let hosts = &self.answers().hosts;
        [&hosts.web, &hosts.api, &hosts.files]
    }

    #[track_caller]
    fn has(&self, text: &str) {
        assert!(
            self.text.contains(text),
            "`{text}` is not in:\n{}",
            self.text
        );
    }
}

fn hold_with(lines: &str) -> Held {
    let mut script = Script {
        answers: lines.split('\n').map(str::to_owned).collect(),
        text: String::new(),
        secrets: Vec::new(),
    };
    let server = Knows("SECRETKEY", RefCell::default());
    let start = Start {
        target: "/home/u/clearml.conf".to_owned(),
        example: "http://localhost:8080".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let result = runtime.block_on(hold(&mut script, &server, &start));
    Held {
        result,
        text: script.text,
        secrets: script.secrets,
        left: script.answers.len(),
    }
}

/// A pasted block of these members, then these answers.
fn after_paste(members: &str, answers: &str) -> Held {
    let paste = format!(
        "api {{\n{members}\ncredentials {{ access_key: ACCESS, secret_key: SECRETKEY }}\n}}"
    );
    hold_with(&format!("{paste}\n{answers}"))
}

/// The rest of the answers: no output URI, no git, no index.
const REST: &str = "\n\n";

/// F-133, F-137, F-138, F-140, F-141, F-142, F-143, F-144: the recorded dialogue, but for the pasted addresses, which are
/// the defaults (W12, D-337).
#[test]
fn a_pasted_block_and_six_empty_lines_are_enough() {
    let held = hold_with(&format!("{BLOCK}\n\n\n\n{REST}"));
    let expected = "
Please create new clearml credentials through the settings page in your `clearml-server` web app, 
or create a free account at https://app.clear.ml/settings/webapp-configuration
    
In the settings > workspace  page, press \"Create new credentials\", then press \"Copy to clipboard\".

Paste copied configuration here: 
Detected credentials key=\"ACCESS\" secret=\"SECR***\"
WEB Host configured to: [http://127.0.0.1:8080] API Host configured to: [http://127.0.0.1:18008] File Store Host configured to: [http://127.0.0.1:18081] 
ClearML Hosts configuration:
Web App: http://127.0.0.1:8080
API: http://127.0.0.1:18008
File Store: http://127.0.0.1:18081

Verifying credentials ...
Credentials verified!
Default Output URI (used to automatically store models and artifacts): (N)one/ClearML (S)erver/(C)ustom [None] 
Default Output URI: not set
Enter git username for repository cloning (leave blank for SSH key authentication): [] 
Enter additional artifact repository (extra-index-url) to use when installing python packages (leave blank if not required):";
    assert_eq!(held.text, expected);
    assert_eq!(held.left, 0);
    let answers = held.answers();
    assert_eq!(
        (&answers.output_uri, &answers.git, answers.indexes.len()),
        (&None, &None, 0)
    );
}

/// F-135, F-136, F-138, F-142, F-143, F-144, W15
#[test]
fn everything_may_be_typed() {
    let held = hold_with(
        "nothing useful\n\nACCESS\nSECRETKEY\nhttp://127.0.0.1:8080\nhttp://127.0.0.1:18008\n\nC\n s3://bucket/out \n\
         gituser\ngittoken\nhttp://127.0.0.1:3141/simple\nhttps://u:indexpassword@h/simple\n",
    );
    let expected = "Paste copied configuration here: 
Could not parse credentials, please try entering them manually.
Enter user access key: Enter user secret: Detected credentials key=\"ACCESS\" secret=\"SECR***\"

Editing configuration file: /home/u/clearml.conf
Enter the url of the clearml-server's Web service, for example: http://localhost:8080 or https://app.clear.ml

WEB Host configured to: [https://app.clear.ml] API Host configured to: [http://127.0.0.1:8008] File Store Host configured to: [http://127.0.0.1:8081] 
ClearML Hosts configuration:
";
    held.has(expected);
    let expected = "[None] Custom Default Output URI: 
Default Output URI: s3://bucket/out
Enter git username for repository cloning (leave blank for SSH key authentication): [] Git personal token is equivalent to a password, to learn how to generate a token:
  GitHub: https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/creating-a-personal-access-token
  Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/
  GitLab: https://docs.gitlab.com/ee/user/profile/personal_access_tokens.html

Enter git personal token for user 'gituser': Git repository cloning will be using user=gituser token=gitt***

Enter additional artifact repository (extra-index-url) to use when installing python packages (leave blank if not required):Another artifact repository? (enter another url or leave blank if done):Another artifact repository? (enter another url or leave blank if done):The following artifact repositories will be added:
\t- http://127.0.0.1:3141/simple
\t- https://u:********@h/simple
";
    held.has(expected);
    assert_eq!(held.secrets, ["SECRETKEY", "gittoken"]);
    for secret in ["SECRETKEY", "gittoken", "indexpassword"] {
        assert!(!held.text.contains(secret), "{}", held.text);
    }
    let answers = held.answers();
    assert_eq!(answers.output_uri.as_deref(), Some("s3://bucket/out"));
    let git = answers.git.as_ref().unwrap();
    assert_eq!((&*git.user, git.token.expose()), ("gituser", "gittoken"));
    assert_eq!(answers.indexes[1], "https://u:indexpassword@h/simple");
}

/// F-138: the table, and what follows from another web host.
#[test]
fn the_questions_follow_from_what_is_known() {
    let known = "web_server: http://w:8080\napi_server: http://a:1\nfiles_server: http://f:2";
    let held = after_paste(known, &format!("http://other:8080\n\n\n{REST}"));
    assert_eq!(
        held.hosts(),
        [
            "http://other:8080",
            "http://other:8008",
            "http://other:8081"
        ]
    );

    let held = after_paste("api_server: http://a:8008", &format!("\n\n\n{REST}"));
    held.has("API Host configured to: [http://a:8008] Port 8008 is the api port. Replacing 8008 with 8080 for Web application\nWeb Application Host configured to: [http://a:8080] File Store Host configured to: [http://a:8081] ");
    assert_eq!(
        held.hosts(),
        ["http://a:8080", "http://a:8008", "http://a:8081"]
    );

    let held = after_paste(
        "api_server: http://a:8008\nfiles_server: http://f:2",
        &format!("\n\n\n{REST}"),
    );
    assert_eq!(held.hosts()[2], "http://f:2");

    // W13
    let held = after_paste("web_server: http://w:8080", &format!("YES\ny\n\n{REST}"));
    held.has("WEB Host configured to: [http://w:8080] API Host configured to: [http://w:8008] ");
    assert_eq!(held.left, 0);
}

/// F-138, F-139, W18
#[test]
fn a_refusal_is_no_host_name() {
    let held = after_paste(
        "web_server: http://w:8080",
        &format!("n\nNO\na b\n\nmyhost:1\n\n{REST}"),
    );
    assert_eq!(
        held.hosts(),
        ["http://w:8080", "http://myhost:1", "http://w:8081"]
    );
    assert_eq!(held.text.matches("WEB Host configured to:").count(), 4);
    assert_eq!(held.text.matches("Please enter a url").count(), 2);
    held.has("'a b' is not a url\n");
}

/// F-139
#[test]
fn an_impossible_port_ends_the_dialogue() {
    let held = after_paste("web_server: http://w:8080", "http://w:65536\n");
    assert_eq!(
        held.result.unwrap_err().to_string(),
        "Port out of range 0-65535"
    );
}

/// F-151
#[test]
fn a_host_without_a_port_is_asked_for_ports() {
    const QUESTION: &str =
        "Host port not detected, do you wish to use the default 8080 port n/[y]? ";
    let held = after_paste("web_server: http://w", &format!("\n\n\n\n{REST}"));
    held.has(&format!(
        "WEB Host configured to: [http://w] {QUESTION}API Host"
    ));
    assert_eq!(
        held.hosts(),
        ["http://w:8080", "http://w:8008", "http://w:8081"]
    );

    let held = after_paste(
        "web_server: http://w",
        &format!("\nn\n\n70000\n81\nx\n\n\n\n{REST}"),
    );
    held.has(&format!("{QUESTION}Enter port for Web host Enter port for API host Port out of range 0-65535\nEnter port for API host Enter port for Files host Port could not be"));
    assert_eq!(held.hosts(), ["http://w", "http://w:81", "http://w"]);

    // Other text: only the API server is told; F-152: the web host is the confirmed one.
    let held = after_paste(
        "web_server: http://w",
        &format!("\nwhat\n\n\ny\nhttp://f\n{REST}"),
    );
    held.has("File Store Host configured to: File Store Host configured to: ");
    assert_eq!(held.hosts(), ["http://w", "http://w", "http://f"]);
}

/// F-152, W11
#[test]
fn the_web_host_is_never_empty() {
    let held = after_paste(
        "web_server: http://w:9090",
        &format!("\nhttp://a:1\nhttp://f\n{REST}"),
    );
    assert_eq!(held.hosts(), ["http://w:9090", "http://a:1", "http://f"]);
    let held = after_paste(
        "api_server: http://a:9090",
        &format!("\n\n\nhttp://w\nhttp://f\n{REST}"),
    );
    held.has("Web Application Host configured to: Web Application Host configured to: Web Application Host configured to: File Store");
    assert_eq!(held.hosts(), ["http://w", "http://a:9090", "http://f"]);
}

/// F-141, W15
#[test]
fn wrong_keys_may_be_corrected_once() {
    let wrong = BLOCK.replace("SECRETKEY", "wrongsecret");
    let held = hold_with(&format!("{wrong}\n\n\n\nACCESS\nSECRETKEY\n{REST}"));
    held.has("Verifying credentials ...\nError: could not verify credentials: key=ACCESS secret=wron***\nthe server does not accept these keys\nhint: make new ones\nEnter user access key: Enter user secret: Verifying credentials ...\nCredentials verified!\n");
    assert_eq!(held.answers().keys.secret_key.expose(), "SECRETKEY");

    let held = hold_with(&format!("{wrong}\n\n\n\nACCESS\nalsowrong\n{REST}"));
    assert!(matches!(held.result, Err(Ended::Unverified)));
    assert!(
        held.text
            .ends_with("hint: make new ones\nExiting setup without creating configuration file\n")
    );
    assert!(!held.text.contains("wrongsecret") && !held.text.contains("alsowrong"));
}

/// F-142
#[test]
fn the_output_uri_is_one_of_three() {
    let held = hold_with(&format!("{BLOCK}\n\n\n\nnone\nserver\nx\nS\n\n"));
    assert_eq!(held.text.matches("(N)one/ClearML").count(), 4);
    assert_eq!(
        held.answers().output_uri.as_deref(),
        Some("http://127.0.0.1:18081")
    );
    for (answer, expected) in [
        ("n", None),
        ("N", None),
        ("c\n \n", None),
        ("c\n/data", Some("/data")),
    ] {
        let held = hold_with(&format!("{BLOCK}\n\n\n\n{answer}\n\n\n"));
        assert_eq!(held.answers().output_uri.as_deref(), expected, "{answer}");
    }
}

/// F-146
#[test]
fn the_input_may_end_at_every_question() {
    let lines = format!("{BLOCK}\n\n\n\nc\ns3://b\nme\ntoken\nhttp://i\n");
    let lines: Vec<&str> = lines.split('\n').collect();
    for count in 0..lines.len() {
        let held = hold_with(&lines[..count].join("\n"));
        // An empty script has one empty line.
        let ended = matches!(held.result, Err(Ended::NoAnswer(NoAnswer::End)));
        assert!(ended || count == 0, "after {count} lines:\n{}", held.text);
    }
    assert!(hold_with(&lines.join("\n")).result.is_ok());
}

/// F-134: a terminal may give the whole paste as one answer.
#[test]
fn a_block_may_come_at_once() {
    let mut script = Script {
        answers: [BLOCK.replace('\n', "\r\n")].into(),
        text: String::new(),
        secrets: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let pasted = runtime.block_on(read_paste(&mut script)).unwrap();
    assert_eq!(pasted.api.as_deref(), Some("http://127.0.0.1:18008"));
    assert!(pasted.keys.is_some());
}
