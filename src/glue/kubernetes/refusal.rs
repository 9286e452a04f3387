//! What the answers of the API mean: for a task that was to become a pod, and for a glue that begins.

use super::KubernetesProblem;
use super::api::Fault;
use crate::glue::cluster::{NotSubmitted, Unreachable};

impl From<Fault> for Unreachable {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

/// Why an object was not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    /// What is asked for is wrong: it never will be.
    Wrong,
    /// This user may not.
    NoRight,
    /// There is no such namespace.
    NoNamespace,
    /// There is no room for it now.
    NoRoom,
    /// The API has no time.
    Busy,
    /// It may have been made.
    Unclear,
}

fn meaning(fault: &Fault) -> Meaning {
    let Fault::Refused {
        code,
        reason,
        message,
    } = fault
    else {
        return Meaning::Unclear;
    };
    match code {
        // A quota, a policy or the missing right: all have one code.
        403 if message.contains("exceeded quota") => Meaning::NoRoom,
        403 if message.contains(" cannot ") && message.contains("User ") => Meaning::NoRight,
        401 => Meaning::NoRight,
        404 if message.contains("namespace") => Meaning::NoNamespace,
        // The namespace goes away.
        403 if message.contains("being terminated") => Meaning::NoNamespace,
        409 if reason != "AlreadyExists" => Meaning::NoRoom,
        429 | 503 => Meaning::Busy,
        400..=499 => Meaning::Wrong,
        _ => Meaning::Unclear,
    }
}

/// What becomes of the task.
pub(super) fn not_submitted(fault: &Fault, namespace: &str) -> NotSubmitted {
    match meaning(fault) {
        Meaning::Wrong => NotSubmitted::Refused(format!("Kubernetes refuses the pod: {fault}")),
        Meaning::NoRight => {
            NotSubmitted::Later(format!("{fault} (hint: {})", right_hint(namespace)))
        }
        Meaning::NoNamespace => NotSubmitted::Later(format!(
            "{fault} (hint: make the namespace \"{namespace}\", or name another one with `--namespace`)"
        )),
        Meaning::NoRoom | Meaning::Busy => NotSubmitted::Later(fault.to_string()),
        Meaning::Unclear => NotSubmitted::Unknown(fault.to_string()),
    }
}

/// What a trial means for a glue that begins: nothing, a line, or its end.
pub(super) fn trial(fault: &Fault, namespace: &str) -> Result<String, KubernetesProblem> {
    match meaning(fault) {
        Meaning::Wrong => Err(KubernetesProblem::Template(fault.to_string())),
        Meaning::NoRight => Err(KubernetesProblem::NoRight {
            what: fault.to_string(),
            hint: right_hint(namespace),
        }),
        Meaning::NoNamespace => Err(KubernetesProblem::NoNamespace(namespace.to_owned())),
        Meaning::Unclear => Err(KubernetesProblem::Away(fault.to_string())),
        Meaning::NoRoom | Meaning::Busy => Ok(fault.to_string()),
    }
}

fn right_hint(namespace: &str) -> String {
    format!(
        "give the account of the glue the rights of examples/kubernetes/rights.yaml in the namespace \"{namespace}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> Fault {
        Fault::Refused {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn what_passes_by_itself_is_no_failure_of_the_task() {
        for (fault, expected) in [
            (
                refused(
                    403,
                    "Forbidden",
                    "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5",
                ),
                Meaning::NoRoom,
            ),
            (
                refused(
                    403,
                    "Forbidden",
                    "pods is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"pods\" in API group \"\" in the namespace \"a\"",
                ),
                Meaning::NoRight,
            ),
            (
                refused(
                    403,
                    "Forbidden",
                    "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
                ),
                Meaning::Wrong,
            ),
            (
                refused(404, "NotFound", "namespaces \"none\" not found"),
                Meaning::NoNamespace,
            ),
            (
                refused(
                    422,
                    "Invalid",
                    "Pod \"a\" is invalid: spec.containers: Required value",
                ),
                Meaning::Wrong,
            ),
            (
                refused(
                    409,
                    "Conflict",
                    "Operation cannot be fulfilled on resourcequotas \"q\"",
                ),
                Meaning::NoRoom,
            ),
            (refused(429, "TooManyRequests", "later"), Meaning::Busy),
            (refused(500, "InternalError", "etcd"), Meaning::Unclear),
            (Fault::Silent("no route".to_owned()), Meaning::Unclear),
        ] {
            assert_eq!(meaning(&fault), expected, "{fault}");
        }
    }
}
