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
    Failed(Failure),
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
    /// It is the environment that could not be made.
    pub is_of_environment: bool,
    /// Which disk is full, where that is why.
    pub room: Option<String>,
}

impl Failure {
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

    /// In a few words, with what to do; for a status that says no more than an exit code otherwise.
    pub(super) fn of_environment(&self) -> Option<String> {
        self.is_of_environment.then(|| {
            let first = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
            let hint = self.hint.as_deref().map(first);
            let hint = hint.map(|hint| format!(" (hint: {hint})"));
            let hint = hint.unwrap_or_default();
            match &self.room {
                Some(room) => format!("{room}{hint}"),
                None => format!("environment: {}{hint}", first(&self.message)),
            }
        })
    }
}

pub(super) fn without_code(
    error: &SourceError,
    request: &CodeRequest,
    docker_cmd: &str,
) -> PrepareError {
    let message = error.console_text(request, docker_cmd);
    match error {
        SourceError::Cancelled => PrepareError::Cancelled,
        error if error.is_repository_failure() => failure_with_status(
            message,
            error.hint(),
            "failed cloning repository".to_owned(),
        ),
        error => failure(message, error.hint()),
    }
}

pub(super) fn failure(message: impl Into<String>, hint: Option<impl Into<String>>) -> PrepareError {
    PrepareError::Failed(Failure {
        message: message.into(),
        hint: hint.map(Into::into),
        status_reason: None,
        code: None,
        is_of_environment: false,
        room: None,
    })
}

pub(super) fn failure_with_status(
    message: String,
    hint: Option<impl Into<String>>,
    reason: String,
) -> PrepareError {
    PrepareError::Failed(Failure {
        message,
        hint: hint.map(Into::into),
        status_reason: Some(reason),
        code: None,
        is_of_environment: false,
        room: None,
    })
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
            Self::Failed(Failure {
                code: match error {
                    PythonError::CustomBuild { code } => Some(code),
                    _ => None,
                },
                message: error.to_string(),
                hint: error.hint(),
                status_reason: None,
                is_of_environment: true,
                room: None,
            })
        }
    }
}

impl From<DefinitionError> for PrepareError {
    fn from(error: DefinitionError) -> Self {
        let hint = "give the task a script, or enqueue another one";
        failure_with_status(error.to_string(), Some(hint), error.to_string())
    }
}
