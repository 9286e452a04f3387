//! What was found, line by line as it is found, or all at once as JSON.

use serde::Serialize;
use serde_json::json;

use crate::ui::Printer;

/// How well something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing is to be done.
    Ok,
    /// Tasks run, and something may go wrong.
    Warn,
    /// Tasks cannot run.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    subject: &'static str,
    state: State,
    text: String,
    hint: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            subject,
            state: State::Ok,
            text: text.into(),
            hint: None,
        }
    }

    pub(super) fn warn(
        subject: &'static str,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warn,
            hint: Some(hint.into()),
            ..Self::ok(subject, text)
        }
    }

    pub(super) fn fail(
        subject: &'static str,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Fail,
            ..Self::warn(subject, text, hint)
        }
    }
}

/// All findings so far.
#[derive(Debug)]
pub(super) struct Report {
    findings: Vec<Finding>,
    printer: Printer,
    /// Printed at the end, for programs.
    is_json: bool,
}

impl Report {
    pub(super) fn new(printer: Printer, is_json: bool) -> Self {
        Self {
            findings: Vec::new(),
            printer,
            is_json,
        }
    }

    /// Takes up what was found, and says it.
    pub(super) fn add(&mut self, finding: Finding) {
        if !self.is_json {
            self.printer.line(line(&finding));
        }
        self.findings.push(finding);
    }

    pub(super) fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.add(finding);
        }
    }

    fn count(&self, state: State) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.state == state).count()
    }

    /// The last line, or all of it as JSON; true where nothing has failed.
    pub(super) fn finish(self) -> serde_json::Result<bool> {
        let [ok, warnings, failures] =
            [State::Ok, State::Warn, State::Fail].map(|state| self.count(state));
        if self.is_json {
            let answer = json!({ "ok": failures == 0, "checks": self.findings });
            self.printer.json(&answer)?;
        } else {
            self.printer.line(format!(
                "{} checks: {ok} ok, {warnings} to look at, {failures} failed",
                self.findings.len()
            ));
        }
        Ok(failures == 0)
    }
}

fn line(finding: &Finding) -> String {
    let Finding {
        subject,
        state,
        text,
        hint,
    } = finding;
    let state = match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "FAIL",
    };
    // An error may have several lines.
    let text = text.trim().replace('\n', "\n      ");
    let line = format!("{state:<5} {subject}: {text}");
    match hint {
        Some(hint) => format!("{line}\n      hint: {hint}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_a_hint() {
        assert_eq!(line(&Finding::ok("disk", "much")), "ok    disk: much");
        let failed = Finding::fail("disk", "/tmp is full\nas are others", "make room");
        assert_eq!(
            line(&failed),
            "FAIL  disk: /tmp is full\n      as are others\n      hint: make room"
        );
    }

    #[test]
    fn warnings_are_no_failure() {
        let mut report = Report::new(Printer::default().beside_data(), false);
        report.add(Finding::ok("a", "b"));
        report.add(Finding::warn("a", "b", "c"));
        assert!(report.finish().unwrap());
        let mut report = Report::new(Printer::default().beside_data(), false);
        report.add(Finding::fail("a", "b", "c"));
        assert!(!report.finish().unwrap());
    }
}
