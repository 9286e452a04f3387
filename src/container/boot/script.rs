//! The text that the container's shell gets (C 2.1).

use std::fmt::Write;

use super::{BootScript, InnerAgent, RUNNER_FOLDER, classic};

/// Called when the shell ends before it has become the agent; that must not look like success (C-205). What ends it outside
/// of the scripts of people has said why; whoever ends it from outside knows.
const LEFT: &str = r#"clearml_left() {
  clearml_code=$?
  [ -z "$clearml_ended" ] || exit "$clearml_code"
  [ "$clearml_code" = 0 ] || [ -n "${clearml_hook:-}" ] || exit "$clearml_code"
  echo "clearml_agent: ERROR: ${clearml_hook:-the start of the container} ended the container with code $clearml_code before the task was run" >&2
  if [ "$clearml_code" = 0 ]; then
    echo 'hint: leave out `exit`, `exec` and `return`; the task runs in the same shell, behind the script' >&2
    exit 1
  fi
  echo 'hint: an `exit` in it, or a command that fails behind `set -e`; what it printed last may say more' >&2
  exit "$clearml_code"
}
clearml_hook=
clearml_ended=
trap clearml_left EXIT
trap 'clearml_ended=1; exit 143' HUP INT TERM
"#;

impl BootScript {
    /// What `SHELL -c` gets, where the shell is `bash`, or `sh` in an image without it (C-207). The hooks run in their order
    /// (C-206), each as it was written, in this one shell (C-205); in the end the shell becomes the inner agent (C-239), whose
    /// words are the last of the text (C-200).
    pub fn text(&self, shell: &str) -> String {
        let mut text = LEFT.to_owned();
        let hook = |text: &mut String, name: &str, script: &str| {
            text.push_str(&self::hook(shell, name, script));
        };
        // `--standalone-mode` leaves out what prepares an image (C 2.1, B).
        let init = self.init.as_ref().filter(|_| !self.is_standalone);
        if !self.is_standalone {
            let name = "`agent.docker_preprocess_bash_script`";
            hook(&mut text, name, &self.preprocess.join("\n"));
        }
        text.push_str(&match &self.agent {
            InnerAgent::Runner(runner) => starts(runner),
            InnerAgent::Python(_) => String::new(),
        });
        // Scripts that come may be what makes the way to the server.
        let scripts = [&self.extra_shell, &self.setup];
        let has_more = init.is_some() || scripts.iter().any(|script| !script.trim().is_empty());
        if !has_more {
            text.push_str(&self.reaches_server());
        }
        text.push_str(&self.files());
        if let Some(init) = init {
            let name = "`agent.docker_init_bash_script`";
            hook(&mut text, name, &init.join("\n"));
        }
        text.push_str(&match &self.agent {
            InnerAgent::Runner(runner) => self.python(runner, init.is_some()),
            InnerAgent::Python(requirement) => classic::python(self, requirement, init.is_some()),
        });
        let name = "`agent.extra_docker_shell_script`";
        hook(&mut text, name, &self.extra_shell);
        let name = "the setup script of the task";
        hook(&mut text, name, &self.setup);
        if has_more {
            text.push_str(&self.reaches_server());
        }
        text.push_str(&self.last());
        text
    }

    /// Nothing is built in a container that does not reach the server.
    fn reaches_server(&self) -> String {
        match &self.agent {
            InnerAgent::Runner(runner) => format!("{} boot server || exit $?\n", quoted(runner)),
            InnerAgent::Python(_) => String::new(),
        }
    }

    /// ssh keys and files of git, always (C-222).
    fn files(&self) -> String {
        let InnerAgent::Runner(runner) = &self.agent else {
            return classic::files(self);
        };
        let words = self.mounted();
        if words.is_empty() {
            return String::new();
        }
        format!("{} boot files{words}\n", quoted(runner))
    }

    /// The folders that were mounted, as words of `boot`.
    fn mounted(&self) -> String {
        let mut words = String::new();
        if let Some((from, to)) = &self.ssh {
            let _ = write!(words, " --ssh {} --ssh-folder {}", quoted(from), quoted(to));
        }
        if let Some(from) = &self.git {
            let _ = write!(words, " --git {}", quoted(from));
        }
        words
    }

    /// Which Python there is, and what is exported (C-204).
    fn python(&self, runner: &str, has_init: bool) -> String {
        let mut words = String::new();
        for (is_so, word) in [
            (self.is_standalone, " --standalone"),
            (has_init, " --own-script"),
            (self.installs_opencv_libs, " --opencv"),
            (self.needs_no_python, " --not-needed"),
        ] {
            if is_so {
                words.push_str(word);
            }
        }
        format!(
            "clearml_exports=$({} boot python{words}) || exit $?\neval \"$clearml_exports\"\nunset clearml_exports\n",
            quoted(runner)
        )
    }

    /// Steps 19 and 20.
    fn last(&self) -> String {
        let (configuration, agent) = match &self.agent {
            InnerAgent::Runner(runner) => {
                let runner = quoted(runner);
                (
                    format!("{runner} boot configuration"),
                    format!("exec {runner}"),
                )
            }
            InnerAgent::Python(_) => (
                classic::CONFIGURATION.to_owned(),
                "exec \"$LOCAL_PYTHON\" -u -m clearml_agent".to_owned(),
            ),
        };
        let devices = match self.visible_devices.as_str() {
            "" => String::new(),
            devices => format!("export NVIDIA_VISIBLE_DEVICES={}\n", quoted(devices)),
        };
        let agent = format!("{agent} {}", self.arguments);
        let agent = match &self.agent {
            // The shell stays, to clear up behind it.
            InnerAgent::Runner(runner) if self.forgets => format!(
                "{} || exit $?\n{} boot forget{}",
                agent.trim_start_matches("exec "),
                quoted(runner),
                self.mounted()
            ),
            _ => agent,
        };
        format!(
            "{configuration}\ntrap - EXIT HUP INT TERM\nunset clearml_hook clearml_script clearml_ended\nunset -f clearml_left\n{devices}{agent}"
        )
    }
}

/// The program that is mounted works in this image, or that is said (C-235).
fn starts(runner: &str) -> String {
    let runner = quoted(runner);
    format!(
        "{runner} --version >/dev/null 2>&1 || {{\n  \
           echo \"clearml_agent: ERROR: the agent's own program in {RUNNER_FOLDER} does not run in this image\" >&2\n  \
           echo 'hint: it needs a newer C library, or another architecture: build the static runner with `.ci/release` and have it beside the agent as `{}`, or name it in `agent.docker_runner`' >&2\n  \
           exit 126\n\
         }}\n",
        super::RUNNER_NAME
    )
}

/// One script of a person, as it was written. Its text is a word of ours, so that nothing in it can hide what follows; where
/// the shell cannot read it, none of it runs, and the task fails.
fn hook(shell: &str, name: &str, script: &str) -> String {
    // The form of a web page ends lines in its own way; the last may end in a backslash.
    let script = format!("{}\n", script.replace("\r\n", "\n"));
    if script.trim().is_empty() {
        return String::new();
    }
    // What bash reads as a pattern depends on an option that the script may set.
    let shell = if shell.ends_with("bash") {
        format!("{shell} -O extglob")
    } else {
        shell.to_owned()
    };
    format!(
        "clearml_hook={name}\n\
         clearml_script={script}\n\
         {shell} -n -c \"$clearml_script\" || case $? in 126|127) ;; *)\n  \
           echo \"clearml_agent: ERROR: $clearml_hook cannot be read by {shell_name}, so the task is not run\" >&2\n  \
           echo 'hint: look for a quote, an `if` or a loop that does not end' >&2\n  \
           clearml_hook=\n  \
           exit 2\n\
         esac\n\
         eval \"$clearml_script\"\n\
         clearml_hook=\n",
        name = quoted(name),
        script = quoted(&script),
        shell_name = shell.split(' ').next().unwrap_or_default(),
    )
}

/// A word of the shell with exactly this text.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
