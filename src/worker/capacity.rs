//! How many tasks a worker runs at once, and as whom.

use crate::api::{TaskId, WorkerId};

/// How many tasks a worker runs at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Capacity {
    /// One after the other, each as this worker.
    One,
    /// Several long tasks, each a worker of its own (D 6.1).
    Services {
        /// At most so many; none is no limit.
        limit: Option<usize>,
    },
    /// As many as find GPUs, each a worker of its own (D 6.2).
    Gpus,
}

impl Capacity {
    /// By the value of `--services-mode`; a negative one is no limit, 0 is no service mode (D-032).
    pub fn services(limit: i64) -> Self {
        match limit {
            0 => Self::One,
            limit => Self::Services {
                limit: usize::try_from(limit).ok(),
            },
        }
    }

    /// One task at a time.
    pub(super) fn is_one(self) -> bool {
        self == Self::One
    }

    /// Services, which outlive their worker where they run in containers (C-322).
    pub(super) fn is_services(self) -> bool {
        matches!(self, Self::Services { .. })
    }

    /// The most tasks at once, where that is more than one task at a time.
    pub(super) fn limit(self) -> Option<usize> {
        match self {
            Self::One | Self::Gpus => None,
            Self::Services { limit } => limit,
        }
    }

    /// No task can be taken while so many run (D-258).
    pub(super) fn is_used_up(self, running: usize) -> bool {
        match self {
            Self::One => running > 0,
            // A look at the queues says so.
            Self::Gpus => false,
            Self::Services { limit } => limit.is_some_and(|limit| running >= limit),
        }
    }

    /// The id under which a task runs that is a worker of its own (D-121); with dynamic GPUs these say who it is.
    pub(super) fn own_worker(self, worker: &WorkerId, task: &TaskId) -> Option<String> {
        match self {
            Self::One | Self::Gpus => None,
            Self::Services { .. } => Some(format!("{worker}:service:{task}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-032
    #[test]
    fn the_option_says_how_many() {
        assert_eq!(Capacity::services(0), Capacity::One);
        assert_eq!(Capacity::services(-1), Capacity::Services { limit: None });
        assert_eq!(Capacity::services(3), Capacity::Services { limit: Some(3) });
    }

    /// D-258: the limit counts the tasks, and nothing else that runs on the machine.
    #[test]
    fn so_many_run_and_no_more() {
        let two = Capacity::services(2);
        assert!(!two.is_used_up(1) && two.is_used_up(2) && two.is_used_up(3));
        assert!(!Capacity::services(-1).is_used_up(1000));
        assert!(!Capacity::Gpus.is_used_up(1000));
        assert!(!Capacity::One.is_used_up(0) && Capacity::One.is_used_up(1));
    }

    /// D-121
    #[test]
    fn a_service_has_the_name_of_its_task() {
        let worker: WorkerId = "host:cpu:0".parse().expect("an id");
        let task: TaskId = "t1".parse().expect("an id");
        let own = |capacity: Capacity| capacity.own_worker(&worker, &task);
        assert_eq!(own(Capacity::One), None);
        let service = own(Capacity::services(-1));
        assert_eq!(service.as_deref(), Some("host:cpu:0:service:t1"));
    }
}
