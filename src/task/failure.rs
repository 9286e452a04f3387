//! Why there is no program to start, in words for the user.

use std::path::Path;

use super::DefinitionError;
use crate::api::ApiError;
use crate::python::PythonError;
use crate::source::{CodeRequest, SourceError};

/// Why there is no program to start.
#[derive(Clone, Debug)]
pub enum PrepareError {
    /// The task was stopped.
    Cancelled,
    /// Something is wrong with the task or the machine.
    Failed(Box<Failure>),
}

/// What went wrong, in words for the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The reason with which the task is to be marked as failed at once, whatever its shape (E-016, E-017).
    pub status_reason: Option<String>,
    /// The exit code, where it is that of a program (E-237).
    pub code: Option<i32>,
    /// The same in one line, for a status that says no more than an exit code otherwise.
    pub summary: String,
    /// Which disk is full, where that is why.
    pub room: Option<String>,
}

impl Failure {
    /// With these words, and nothing else that is known.
    pub(super) fn new(message: String) -> Self {
        Self {
            summary: first_line(&message).to_owned(),
            message,
            hint: None,
            status_reason: None,
            code: None,
            room: None,
        }
    }

    /// The same where the disk of `folder` is full, which explains whatever else was said.
    pub(super) fn for_want_of_room(self, folder: &Path) -> Self {
        let room = format!("disk full: no room in `{}`", folder.display());
        Self {
            message: format!("{}\n{room}", self.message),
            hint: Some("free space there".to_owned()),
            status_reason: self.status_reason.map(|reason| format!("{reason}, {room}")),
            room: Some(room),
            ..self
        }
    }

    /// What went wrong in one line, with what to do.
    pub(super) fn reason(&self) -> String {
        let what = self.room.as_ref().unwrap_or(&self.summary);
        let hint = self.hint.as_deref().map(first_line);
        let hint = hint.map(|hint| format!(" (hint: {hint})"));
        format!("{what}{}", hint.unwrap_or_default())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

pub(super) fn without_code(
    error: &SourceError,
    request: &CodeRequest,
    docker_cmd: &str,
) -> PrepareError {
    if matches!(error, SourceError::Cancelled) {
        return PrepareError::Cancelled;
    }
    let reason = "failed cloning repository";
    PrepareError::Failed(Box::new(Failure {
        hint: error.hint(),
        status_reason: error.is_repository_failure().then(|| reason.to_owned()),
        summary: format!("code: {}", first_line(&error.to_string())),
        ..Failure::new(error.console_text(request, docker_cmd))
    }))
}

pub(super) fn failure(message: impl Into<String>, hint: Option<impl Into<String>>) -> PrepareError {
    PrepareError::Failed(Box::new(Failure {
        hint: hint.map(Into::into),
        ..Failure::new(message.into())
    }))
}

impl From<ApiError> for PrepareError {
    fn from(error: ApiError) -> Self {
        failure(error.reference_text(), error.hint())
    }
}

impl From<PythonError> for PrepareError {
    fn from(error: PythonError) -> Self {
        if error.is_cancelled() {
            Self::Cancelled
        } else {
            Self::Failed(Box::new(Failure {
                code: match error {
                    PythonError::CustomBuild { code } => Some(code),
                    _ => None,
                },
                hint: error.hint(),
                summary: format!("environment: {}", first_line(&error.to_string())),
                ..Failure::new(error.to_string())
            }))
        }
    }
}

impl From<DefinitionError> for PrepareError {
    fn from(error: DefinitionError) -> Self {
        let hint = "give the task a script, or enqueue another one";
        Self::Failed(Box::new(Failure {
            hint: Some(hint.to_owned()),
            status_reason: Some(error.to_string()),
            ..Failure::new(error.to_string())
        }))
    }
}
