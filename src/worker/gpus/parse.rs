//! What the command line says about dynamic GPUs: the pool, and how many GPUs a queue's tasks get (D-264, D-265).

use super::Gpu;

/// No machine has more.
const MOST_GPUS: f64 = 1024.0;

/// How many GPUs a task of a queue gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// With fewer it is not started.
    pub least: usize,
    /// It gets no more.
    pub most: usize,
}

/// Why the command line cannot be obeyed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidGpus {
    /// Nothing is said, and the machine has no GPU that could be meant.
    #[error(
        "--gpus must be provided, in one of two ways: comma separated '0,1,2,3' or range '0-3'"
    )]
    Missing,
    /// No GPU may be used at all.
    #[error("--dynamic-gpus gives out GPUs, and there is none with --cpu-only")]
    CpuOnly,
    /// Inside of a cluster (F-115).
    #[error(
        "--dynamic-gpus cannot be used in a Kubernetes cluster, which gives out the GPUs itself"
    )]
    Cluster,
    /// D-264
    #[error(
        "Failed parsing --gpus \"{0}\". --dynamic_gpus must be use with specific gpus for example \"0-7\" or \
         \"0,1,2,3\" or \"0:0,0:1,1:0,1:1\""
    )]
    Pool(String),
    /// A queue without a number.
    #[error(
        "using --dynamic-gpus, --queue [[{}]], queue must be in format <queue_name>=<num_gpus>",
        quoted(.0)
    )]
    Format(Vec<String>),
    /// Zero or less.
    #[error("Parsing min/max number of gpus <= 0 is not allowed: \"{0}\"")]
    NotPositive(String),
    /// Such as 1.5.
    #[error("Parsing min/max number of gpus, fractional gpu cannot be > 1: \"{0}\"")]
    Fraction(String),
    /// Such as 0.5, which is the business of a module that is not public (D-266).
    #[error("parts of a GPU cannot be given to tasks: \"{0}\"")]
    Shared(String),
    /// No number at all.
    #[error("could not read a number of GPUs from \"{0}\"")]
    NoNumber(String),
    /// More than any machine has.
    #[error("no machine has so many GPUs: \"{0}\"")]
    TooLarge(String),
    /// A queue with two numbers.
    #[error("queue \"{0}\" is given two different numbers of GPUs")]
    Twice(String),
    /// `4-1`
    #[error("the least number of GPUs is greater than the most: \"{0}\"")]
    Order(String),
    /// The queue's tasks could never be started, and nothing behind them.
    #[error("queue \"{queue}\" needs {need} GPUs at once, and there are {have}")]
    TooMany {
        /// The queue.
        queue: String,
        /// What it needs.
        need: usize,
        /// What there is.
        have: usize,
    },
}

impl InvalidGpus {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "name the GPUs with --gpus, such as --gpus 0-3",
            Self::CpuOnly => {
                "leave out one of --dynamic-gpus and --cpu-only; NVIDIA_VISIBLE_DEVICES=none means the latter"
            }
            Self::Cluster => "start the agent without --dynamic-gpus",
            Self::Pool(_) => {
                "name each GPU once, by its number; a range begins with its least one, such as 0-3"
            }
            Self::Shared(_) => {
                "give whole GPUs, such as --queue name=1, or name parts that MIG has made, such as --gpus 0:0,0:1"
            }
            Self::TooMany { .. } => "give the queue fewer, or name more with --gpus",
            Self::Twice(_) => "name each queue once",
            Self::Format(_)
            | Self::TooLarge(_)
            | Self::NotPositive(_)
            | Self::Fraction(_)
            | Self::NoNumber(_)
            | Self::Order(_) => "write --queue name=2 or --queue name=1-4",
        }
    }
}

/// The GPUs that are named: indexes, ranges of them, parts; each once.
pub fn pool(text: &str) -> Result<Vec<Gpu>, InvalidGpus> {
    let invalid = || InvalidGpus::Pool(text.to_owned());
    let mut gpus: Vec<Gpu> = Vec::new();
    for item in text.split(',') {
        for gpu in items(item).ok_or_else(invalid)? {
            if gpus.iter().any(|known| known.overlaps(gpu)) {
                return Err(invalid());
            }
            gpus.push(gpu);
        }
    }
    Ok(gpus)
}

/// The list that a range stands for, `0,1,2` for `0-2`; anything else as it is (D-264).
///
/// No driver knows ranges, and a worker may be given one all the same.
pub fn without_ranges(text: &str) -> String {
    let expanded = text.split(',').map(|item| match range(item) {
        Some(gpus) => super::list(&gpus),
        None => item.to_owned(),
    });
    expanded.collect::<Vec<_>>().join(",")
}

/// One item of a list: a GPU or a range.
pub(super) fn items(text: &str) -> Option<Vec<Gpu>> {
    range(text).or_else(|| Some(vec![text.parse().ok()?]))
}

fn range(text: &str) -> Option<Vec<Gpu>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    // A typing error must not fill the memory.
    let is_sane = first <= last && f64::from(last - first) < MOST_GPUS;
    is_sane.then(|| (first..=last).map(Gpu::whole).collect())
}

/// Queues by name or id, each with its demand, in the order of the command line; `count` GPUs are in the pool.
pub fn demands(queues: &[String], count: usize) -> Result<Vec<(String, Demand)>, InvalidGpus> {
    let split = queues.iter().map(|item| item.rsplit_once('='));
    let split: Option<Vec<(&str, &str)>> = split.collect();
    let split = split
        .filter(|split| !split.is_empty() && split.iter().all(|(name, _)| !name.trim().is_empty()));
    let split = split.ok_or_else(|| InvalidGpus::Format(queues.to_vec()))?;
    let demands = split.into_iter().zip(queues);
    let demands: Vec<(String, Demand)> = demands
        .map(|((name, numbers), item)| {
            let demand = demand(numbers, item)?;
            if demand.least > count {
                return Err(InvalidGpus::TooMany {
                    queue: name.to_owned(),
                    need: demand.least,
                    have: count,
                });
            }
            Ok((name.to_owned(), demand))
        })
        .collect::<Result<_, _>>()?;
    match contradiction(&demands) {
        Some(name) => Err(InvalidGpus::Twice(name.clone())),
        None => Ok(demands),
    }
}

/// The queue that is given two different demands, if there is one.
pub fn contradiction<T: PartialEq>(demands: &[(T, Demand)]) -> Option<&T> {
    let contradicts = |(queue, demand): &(T, Demand)| {
        let mut others = demands.iter();
        others.any(|(other, different)| other == queue && different != demand)
    };
    demands
        .iter()
        .find(|one| contradicts(one))
        .map(|(queue, _)| queue)
}

fn demand(numbers: &str, item: &str) -> Result<Demand, InvalidGpus> {
    let number = |text: &str| {
        let number = text.trim().parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        number.ok_or_else(|| InvalidGpus::NoNumber(item.to_owned()))
    };
    let (least, most) = match numbers.split_once('-') {
        None => (number(numbers)?, number(numbers)?),
        Some(("", most)) => (1.0, number(most)?),
        Some((least, most)) => (number(least)?, number(most)?),
    };
    if least <= 0.0 || most <= 0.0 {
        return Err(InvalidGpus::NotPositive(item.to_owned()));
    }
    for number in [least, most] {
        if number > 1.0 && number.fract() != 0.0 {
            return Err(InvalidGpus::Fraction(item.to_owned()));
        }
    }
    if least.max(most) > MOST_GPUS {
        return Err(InvalidGpus::TooLarge(item.to_owned()));
    }
    if least < 1.0 || most < 1.0 {
        return Err(InvalidGpus::Shared(item.to_owned()));
    }
    if least > most {
        return Err(InvalidGpus::Order(item.to_owned()));
    }
    Ok(Demand {
        least: whole(least),
        most: whole(most),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 1 to the most that there can be"
)]
fn whole(number: f64) -> usize {
    number as usize
}

/// As Python prints a list's members.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(text: &str) -> Result<String, String> {
        pool(text)
            .map(|gpus| super::super::list(&gpus))
            .map_err(|error| error.to_string())
    }

    /// D-264
    #[test]
    fn a_pool_is_a_list_or_a_range() {
        for (text, expected) in [
            ("0", "0"),
            ("0-3", "0,1,2,3"),
            ("2-2", "2"),
            ("3,1", "3,1"),
            ("0:0,0:1,1.0", "0.0,0.1,1.0"),
            ("0-1,6", "0,1,6"),
        ] {
            assert_eq!(pooled(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "a", "3-1", "0-", "1,1", "0,0:1", "0-4000000000", "0.5a"] {
            let expected = format!(
                "Failed parsing --gpus \"{text}\". --dynamic_gpus must be use with specific gpus for example \
                 \"0-7\" or \"0,1,2,3\" or \"0:0,0:1,1:0,1:1\""
            );
            assert_eq!(pooled(text), Err(expected));
        }
    }

    /// D-264: outside of dynamic mode.
    #[test]
    fn a_range_becomes_a_list() {
        for (text, expected) in [
            ("0-3", "0,1,2,3"),
            ("1,4-5", "1,4,5"),
            ("all", "all"),
            ("0:1", "0:1"),
            ("GPU-1aaa-2bbb", "GPU-1aaa-2bbb"),
            ("3-1", "3-1"),
        ] {
            assert_eq!(without_ranges(text), expected);
        }
    }

    type Numbers = (usize, usize);

    fn demanded(items: &[&str]) -> Result<Vec<(String, Numbers)>, String> {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        let demands = demands(&items, 8).map_err(|error| error.to_string())?;
        let plain = demands.into_iter();
        Ok(plain
            .map(|(name, demand)| (name, (demand.least, demand.most)))
            .collect())
    }

    /// D-265
    #[test]
    fn a_queue_says_how_many_gpus_its_tasks_get() {
        assert!(demanded(&["a=1", "a=1.0"]).is_ok());
        let demands = demanded(&["quad=4", "a=b=1-4", "small=-2", "one=1.0"]).expect("good");
        let expected = [
            ("quad", (4, 4)),
            ("a=b", (1, 4)),
            ("small", (1, 2)),
            ("one", (1, 1)),
        ];
        assert_eq!(
            demands,
            expected.map(|(name, demand)| (name.to_owned(), demand))
        );
    }

    /// D-265, D-266
    #[test]
    fn what_cannot_be_given_is_refused() {
        for (items, expected) in [
            (
                &["a=1", "b"] as &[&str],
                "using --dynamic-gpus, --queue [['a=1', 'b']], queue must be in format <queue_name>=<num_gpus>",
            ),
            (
                &[],
                "using --dynamic-gpus, --queue [[]], queue must be in format <queue_name>=<num_gpus>",
            ),
            (
                &["a=0"],
                "Parsing min/max number of gpus <= 0 is not allowed: \"a=0\"",
            ),
            (
                &["a=0-2"],
                "Parsing min/max number of gpus <= 0 is not allowed: \"a=0-2\"",
            ),
            (
                &["a=1.5"],
                "Parsing min/max number of gpus, fractional gpu cannot be > 1: \"a=1.5\"",
            ),
            (
                &["a=0.5"],
                "parts of a GPU cannot be given to tasks: \"a=0.5\"",
            ),
            (
                &["a=0.5-2"],
                "parts of a GPU cannot be given to tasks: \"a=0.5-2\"",
            ),
            (&["a=x"], "could not read a number of GPUs from \"a=x\""),
            (&["a="], "could not read a number of GPUs from \"a=\""),
            (&["a=2-"], "could not read a number of GPUs from \"a=2-\""),
            (&["a=nan"], "could not read a number of GPUs from \"a=nan\""),
            (
                &["a=4-1"],
                "the least number of GPUs is greater than the most: \"a=4-1\"",
            ),
            (
                &["=1"],
                "using --dynamic-gpus, --queue [['=1']], queue must be in format <queue_name>=<num_gpus>",
            ),
            (
                &["a=1-99999999999999999999"],
                "no machine has so many GPUs: \"a=1-99999999999999999999\"",
            ),
            (
                &["a=1", "b=1", "a=1-2"],
                "queue \"a\" is given two different numbers of GPUs",
            ),
            (
                &["a=9"],
                "queue \"a\" needs 9 GPUs at once, and there are 8",
            ),
        ] {
            assert_eq!(demanded(items), Err(expected.to_owned()));
        }
    }
}
