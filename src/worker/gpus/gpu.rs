//! One GPU of the machine, or one part of a GPU that is shared out, as ids and options write it.

use std::fmt;
use std::str::FromStr;

/// A GPU by its index, or a part of one (MIG).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Gpu {
    /// Index in the order of the bus.
    pub index: u32,
    /// Index of the part; none for the whole GPU.
    pub part: Option<u32>,
}

impl Gpu {
    /// The whole GPU of this index.
    pub(super) fn whole(index: u32) -> Self {
        Self { index, part: None }
    }

    /// True where a program on one of them is in the way of a program on the other.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.index == other.index
            && match (self.part, other.part) {
                (Some(part), Some(other)) => part == other,
                _ => true,
            }
    }
}

/// As in ids: with a dot (D-315).
impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => write!(f, "{}", self.index),
            Some(part) => write!(f, "{}.{part}", self.index),
        }
    }
}

/// `3`, `0.1` or `0:1`.
impl FromStr for Gpu {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        Ok(match text.split_once(['.', ':']) {
            None => Self::whole(text.parse()?),
            Some((index, part)) => Self {
                index: index.parse()?,
                part: Some(part.parse()?),
            },
        })
    }
}

/// `0,1`, as it is in ids and variables.
pub(super) fn list(gpus: &[Gpu]) -> String {
    let texts: Vec<String> = gpus.iter().map(ToString::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-315
    #[test]
    fn a_gpu_is_read_and_written() {
        for (text, expected) in [("3", "3"), ("0:1", "0.1"), ("10.2", "10.2"), (" 4 ", "4")] {
            assert_eq!(text.parse::<Gpu>().expect("good").to_string(), expected);
        }
        for text in ["", "a", "-1", "0.", "0.5a", "1-2"] {
            assert!(text.parse::<Gpu>().is_err(), "{text}");
        }
        assert_eq!(list(&[Gpu::whole(0), Gpu::whole(3)]), "0,3");
    }

    #[test]
    fn a_whole_gpu_is_in_the_way_of_its_parts() {
        let overlap = |a: &str, b: &str| {
            let (a, b): (Gpu, Gpu) = (a.parse().expect("good"), b.parse().expect("good"));
            assert_eq!(a.overlaps(b), b.overlaps(a));
            a.overlaps(b)
        };
        assert!(overlap("0", "0") && overlap("0", "0.1") && overlap("0.1", "0.1"));
        assert!(!overlap("0", "1") && !overlap("0.1", "0.2") && !overlap("0", "1.0"));
    }
}
