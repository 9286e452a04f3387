//! `init` on a terminal: lines can be edited, secrets are hidden, and the terminal is given back.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{block, file, mode, secret, without_configuration};
use crate::support::{Terminal, wait_until};

/// F-136, F-143, W15: on a terminal lines can be edited, and no secret is ever shown.
#[test]
fn a_person_at_a_terminal_is_asked_and_no_secret_is_shown() {
    let context = without_configuration();
    let mut terminal = Terminal::start(context.command(&["init"]), "xterm-256color");
    let key = context.server.credentials().access_key.clone();
    terminal.answer("Paste copied configuration here: ", "nothing\r");
    terminal.press("\r");
    terminal.answer("Enter user access key: ", &format!("x{key}\u{1}\u{4}\r"));
    let secret = secret(&context);
    terminal.answer("Enter user secret: ", &format!("{secret}z\u{7f}\r"));
    terminal.answer(
        "WEB Host configured to: ",
        &format!("{}\r", context.server.web_url()),
    );
    terminal.answer(
        "API Host configured to: ",
        &format!("{}\r", context.server.url()),
    );
    terminal.answer(
        "File Store Host configured to: ",
        &format!("{}\r", context.server.files_url()),
    );
    terminal.answer("(C)ustom [None] ", "s\r");
    terminal.answer("Enter git username", "me\r");
    terminal.answer(
        "Enter git personal token for user 'me': ",
        "git-token-1234\r",
    );
    terminal.answer(
        "(leave blank if not required):",
        "https://u:index-password@h/simple\r",
    );
    terminal.answer("Another artifact repository?", "\r");
    terminal.wait_for("CLEARML-AGENT setup completed successfully.");
    assert_eq!(terminal.wait(), 0);
    let shown = terminal.shown();
    for hidden in [secret.as_str(), "git-token-1234", "index-password"] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
    assert!(shown.contains("*****"), "{shown}");
    assert!(terminal.echoes());
    assert_eq!(mode(&file(&context)), 0o600);
    let text = fs::read_to_string(file(&context)).unwrap();
    for line in [
        format!("credentials {{\"access_key\": \"{key}\", \"secret_key\": \"{secret}\"}}\n"),
        "agent.git_user=\"me\"\nagent.git_pass=\"git-token-1234\"\n".to_owned(),
        "\n\"https://u:index-password@h/simple\"\n]\n".to_owned(),
        format!(
            "sdk.development.default_output_uri=\"{}\"\n",
            context.server.files_url()
        ),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

/// F-134, W15: what is pasted shows the secret as little, whether the terminal says that it is a paste or not.
#[test]
fn a_block_pasted_into_a_terminal_hides_its_secret() {
    for bracketed in [true, false] {
        let context = without_configuration();
        let mut terminal = Terminal::start(context.command(&["init"]), "xterm");
        let block = block(&context).trim_end().replace('\n', "\r");
        let paste = if bracketed {
            format!("\u{1b}[200~{block}\u{1b}[201~\r")
        } else {
            format!("{block}\r")
        };
        terminal.answer("Paste copied configuration here: ", &paste);
        terminal.answer("WEB Host configured to: ", "\r");
        terminal.answer("API Host configured to: ", "\r");
        terminal.answer("File Store Host configured to: ", "\r");
        terminal.answer("(C)ustom [None] ", "\r");
        terminal.answer("Enter git username", "\r");
        terminal.answer("(leave blank if not required):", "\r");
        assert_eq!(terminal.wait(), 0, "{}", terminal.shown());
        terminal.wait_for("CLEARML-AGENT setup completed successfully.");
        assert!(
            !terminal.shown().contains(&secret(&context)),
            "{}",
            terminal.shown()
        );
        assert!(
            fs::read_to_string(file(&context))
                .unwrap()
                .contains(&secret(&context))
        );
    }
}

/// F-146: Ctrl-C, and an interrupt from elsewhere; the terminal is as it was.
#[test]
fn a_terminal_is_given_back_as_it_was() {
    let context = without_configuration();
    for keys in ["\u{3}", ""] {
        let mut terminal = Terminal::start(context.command(&["init"]), "xterm");
        // The editor has taken the terminal over.
        terminal.wait_for("\u{1b}[?2004h");
        assert!(!terminal.echoes());
        terminal.press(keys);
        if keys.is_empty() {
            kill(Pid::from_raw(terminal.pid().cast_signed()), Signal::SIGINT).unwrap();
        }
        assert_eq!(terminal.wait(), 254, "{}", terminal.shown());
        assert!(terminal.echoes());
        assert!(!file(&context).exists());
    }
    let mut terminal = Terminal::start(context.command(&["init"]), "xterm");
    terminal.answer("\u{1b}[?2004h", "\u{4}");
    assert_eq!(terminal.wait(), 1);
    terminal.wait_for("clearml_agent: ERROR: EOF when reading a line");
}

/// W15: a terminal that can do nothing hides secrets too, and shows the rest.
#[test]
fn a_dumb_terminal_hides_secrets_too() {
    let context = without_configuration();
    let mut terminal = Terminal::start(context.command(&["init"]), "dumb");
    let paste = "api {\ncredentials { access_key: K, secret_key: pasted-secret, x: 1 }\n}\n";
    terminal.answer("Paste copied configuration here: ", paste);
    terminal.wait_for("Enter user access key: ");
    assert!(wait_until(|| terminal.echoes()));
    terminal.press("ACCESS\n");
    terminal.wait_for("Enter user secret: ");
    assert!(wait_until(|| !terminal.echoes()));
    terminal.press("typed-secret\n");
    terminal.answer("WEB Host configured to: ", "\u{4}");
    assert_eq!(terminal.wait(), 1);
    let shown = terminal.shown();
    assert!(shown.contains("Enter user access key: ACCESS"), "{shown}");
    assert!(!shown.contains("-secret"), "{shown}");
    assert!(terminal.echoes());
}
