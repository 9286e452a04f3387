//! The start of a container in which the official agent runs the task (`FORCE_CLEARML_AGENT_REPO` and the like, C-233): it is
//! installed by pip, and so the shell does what our own program would do.

use std::fmt::Write;

use super::BootScript;
use super::script::quoted;

/// Step 19.
pub(super) const CONFIGURATION: &str =
    "[ ! -f /tmp/clearml.conf ] || cp /tmp/clearml.conf ~/default_clearml.conf";

/// Steps 1 to 3, before packages are looked at.
const PREPARE: &str = r#"if [ -z "${CLEARML_AGENT_SKIP_CONTAINER_APT:-}" ] && [ -d /etc/apt/apt.conf.d ]; then
  echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/docker-clean
fi
if [ -d ~/.cache/pip ]; then
  chown -R "$(id -u)" ~/.cache/pip
fi
export DEBIAN_FRONTEND=noninteractive
"#;

/// Steps 7 to 12.
const PACKAGES: &str = r#"command -v git >/dev/null 2>&1 || CLEARML_APT_INSTALL="${CLEARML_APT_INSTALL:-} git"
if [ -z "${LOCAL_PYTHON:-}" ]; then
  clearml_minor=20
  while [ "$clearml_minor" -ge 5 ]; do
    if command -v "python3.$clearml_minor" >/dev/null 2>&1 && "python3.$clearml_minor" -m pip --version; then
      LOCAL_PYTHON=$(command -v "python3.$clearml_minor")
      break
    fi
    clearml_minor=$((clearml_minor - 1))
  done
  unset clearml_minor
fi
[ -n "${LOCAL_PYTHON:-}" ] || CLEARML_APT_INSTALL="${CLEARML_APT_INSTALL:-} python3-pip"
export CLEARML_APT_INSTALL
if [ -n "${CLEARML_APT_INSTALL:-}" ] && [ -z "${CLEARML_AGENT_SKIP_CONTAINER_APT:-}" ]; then
  { apt-get update && apt-get install -y $CLEARML_APT_INSTALL; } || dnf install -y $CLEARML_APT_INSTALL
fi
rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED
"#;

/// Steps 13 and 14.
const FALL_BACK: &str = r#"export LOCAL_PYTHON="${LOCAL_PYTHON:-python3}"
if ! "$LOCAL_PYTHON" -m pip --version >/dev/null 2>&1; then
  clearml_python=$(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin command -v python3) && LOCAL_PYTHON=$clearml_python
  unset clearml_python
fi
"#;

/// Steps 5 and 6.
pub(super) fn files(script: &BootScript) -> String {
    let mut text = String::new();
    if let Some((from, to)) = &script.ssh {
        let to = match to.strip_prefix("~/") {
            Some(below) => format!("~/{}", quoted(below)),
            None => quoted(to),
        };
        let from = quoted(from);
        let _ = writeln!(
            text,
            "if [ -d {from} ]; then mkdir -p {to} && cp -Rf {from}/. {to}/ && chmod 700 {to}; fi"
        );
    }
    if let Some(from) = &script.git {
        let from = quoted(from);
        let _ = writeln!(text, "if [ -d {from} ]; then cp -Rf {from}/. ~/; fi");
    }
    text
}

/// Steps 1 to 16, less those of [`files`].
pub(super) fn python(script: &BootScript, requirement: &str, has_init: bool) -> String {
    let mut text = String::new();
    if script.is_standalone {
        return "export LOCAL_PYTHON=\"${LOCAL_PYTHON:-python3}\"\n".to_owned();
    }
    if !has_init {
        text.push_str(PREPARE);
        if script.installs_opencv_libs {
            let libraries = super::inside::OPENCV_LIBRARIES.join(" ");
            let _ = writeln!(
                text,
                "CLEARML_APT_INSTALL=\"${{CLEARML_APT_INSTALL:-}} {libraries}\""
            );
        }
        text.push_str(PACKAGES);
    }
    text.push_str(FALL_BACK);
    let mut specifiers: Vec<String> = script
        .pip_specifiers
        .iter()
        .map(|specifier| quoted(specifier))
        .collect();
    if specifiers.is_empty() {
        specifiers.push("pip".to_owned());
    }
    let _ = writeln!(
        text,
        "\"$LOCAL_PYTHON\" -m pip install -U {}",
        specifiers.join(" ")
    );
    // The requirement may be quoted already, as that of a wheel is (C-201).
    let requirement = requirement.trim_matches('"');
    let _ = writeln!(
        text,
        "\"$LOCAL_PYTHON\" -m pip install -U {}",
        quoted(requirement)
    );
    text
}
