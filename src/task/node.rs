//! The place of this process in a run over several nodes (D-253, E-273).

use crate::settings::{Environment, env_vars};

/// One node of a task; a run on one machine has the first alone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Node {
    rank: u64,
    shares_one_task: bool,
}

impl Node {
    /// `RANK`, else `SLURM_PROCID`, else the first; what is no number counts as not set.
    pub fn of(environment: &Environment) -> Self {
        let number = |variable| environment.text(variable)?.parse::<i64>().ok();
        let rank = number(&env_vars::RANK).or_else(|| number(&env_vars::SLURM_PROCID));
        let nodes = number(&env_vars::MULTI_NODE_SINGLE_TASK);
        Self {
            rank: rank.map_or(0, i64::unsigned_abs),
            shares_one_task: nodes.is_some_and(|nodes| nodes > 0),
        }
    }

    /// True for the node that speaks for the task: status and packages.
    pub fn is_first(self) -> bool {
        self.rank == 0
    }

    /// Its number, from 0.
    pub fn rank(self) -> u64 {
        self.rank
    }

    /// What stands behind the last line of a node that is not the first.
    pub(super) fn suffix(self) -> String {
        if self.is_first() {
            String::new()
        } else {
            format!(" - rank {}", self.rank)
        }
    }

    /// The line above each piece of a node's console, where all nodes write to one log.
    pub(super) fn heading(self) -> Option<String> {
        let colour = 20 + self.rank % 210;
        (self.shares_one_task && !self.is_first())
            .then(|| format!("\x1b[38;5;{colour}mRANK {}:\x1b[0m\n", self.rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(variables: &[(&'static str, &'static str)]) -> Node {
        Node::of(&variables.iter().copied().collect())
    }

    /// D-253, E-273
    #[test]
    fn the_rank_is_that_of_the_launcher() {
        assert!(node(&[]).is_first());
        assert!(node(&[("RANK", "0"), ("SLURM_PROCID", "3")]).is_first());
        assert_eq!(node(&[("SLURM_PROCID", "3")]).suffix(), " - rank 3");
        assert!(node(&[("RANK", "first")]).is_first());
    }

    /// D-253
    #[test]
    fn nodes_that_share_a_log_are_told_apart_by_a_coloured_line() {
        let shared = ("CLEARML_MULTI_NODE_SINGLE_TASK", "1");
        let heading = |rank| node(&[("RANK", rank), shared]).heading();
        assert_eq!(heading("0"), None);
        assert_eq!(
            heading("211").as_deref(),
            Some("\x1b[38;5;21mRANK 211:\x1b[0m\n")
        );
        let own = node(&[("RANK", "1"), ("CLEARML_MULTI_NODE_SINGLE_TASK", "-1")]);
        assert_eq!(own.heading(), None);
    }
}
