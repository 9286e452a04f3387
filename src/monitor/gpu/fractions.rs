//! Shares of GPUs, as an administrator says them (`CLEARML_AGENT_GPU_FRACTIONS`, D-204).

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum GpuFractions {
    /// `0.5,0.5`
    Shares(Vec<f64>),
    /// `nvidia.com/mig-1g.10gb:2`: GiB of each part, and how many of them.
    Parts(Vec<(u32, u32)>),
}

/// The memory of known products in GiB, by the names of NVIDIA's driver.
const MEMORY: &[(&str, u32)] = &[
    ("A30", 24),
    ("A100-40GB-PCIE", 40),
    ("A100-SXM4-40GB", 40),
    ("A100-SXM4-80GB", 79),
    ("A100-80GB-PCIE", 79),
    ("A100-PCIE-40GB", 40),
    ("H100-80GB-HBM3", 80),
    ("H100-PCIE", 80),
    ("H100-SXM5-94GB", 94),
    ("H100-SXM5-96GB", 96),
    ("H100-PCIE-94GB", 94),
    ("H100-PCIE-96GB", 96),
    ("H100-SXM5-64GB", 64),
    ("H100-SXM5-80GB", 80),
    ("H800-PCIE-94GB", 94),
    ("H800-PCIE-80GB", 80),
    ("L40S", 48),
    ("L40", 48),
    ("L4", 48),
];

impl GpuFractions {
    /// Reads them; none where they are neither of the two forms.
    pub fn parse(text: &str) -> Option<Self> {
        let items: Vec<&str> = text.trim().split(',').map(str::trim).collect();
        if items.iter().all(|item| !item.contains(':')) {
            let shares = items.into_iter().map(|item| item.parse().ok());
            return shares.collect::<Option<_>>().map(Self::Shares);
        }
        let part = |item: &&str| {
            let (name, count) = item.split_once(':')?;
            let size = name.trim().strip_prefix("nvidia.com/mig-")?;
            let (_, memory) = size.split_once("g.")?;
            let memory = memory.strip_suffix("gb")?.parse().ok()?;
            Some((memory, count.trim().parse().ok()?))
        };
        items
            .iter()
            .map(part)
            .collect::<Option<_>>()
            .map(Self::Parts)
    }

    /// The share of each of these GPUs, by their names; 1 where it is not known.
    pub fn of(&self, names: &[&str]) -> Vec<f64> {
        let shares: Vec<f64> = match self {
            Self::Shares(shares) => shares.clone(),
            Self::Parts(parts) => {
                let share = |(number, (memory, count)): (usize, &(u32, u32))| {
                    let name = names.get(number).or(names.last())?;
                    Some(f64::from(*memory) * f64::from(*count) / f64::from(memory_of(name)?))
                };
                let shares = parts.iter().enumerate().map(share);
                shares.map(|share| share.unwrap_or(1.0)).collect()
            }
        };
        let share = |number: usize| {
            let share = shares.get(number).or(shares.last());
            share.copied().unwrap_or(1.0)
        };
        (0..names.len()).map(share).collect()
    }
}

fn memory_of(name: &str) -> Option<u32> {
    let name = name.to_uppercase().replace(' ', "-");
    let name = name.strip_prefix("NVIDIA-").unwrap_or(&name);
    let mut known = MEMORY.iter().filter(|(product, _)| *product == name);
    known.next().map(|(_, memory)| *memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-702, D-204
    #[test]
    fn shares_are_those_of_the_gpus_in_their_order() {
        let of = |text: &str, names: &[&str]| {
            let fractions = GpuFractions::parse(text);
            fractions.map(|fractions| fractions.of(names))
        };
        let two = ["NVIDIA H100 PCIe", "NVIDIA H100 PCIe"];
        for (text, names, expected) in [
            ("0.5,0.25", &two[..], Some(vec![0.5, 0.25])),
            ("0.5", &two[..], Some(vec![0.5, 0.5])),
            ("nvidia.com/mig-1g.10gb:2", &two[..1], Some(vec![0.25])),
            (
                "nvidia.com/mig-1g.10gb:2, nvidia.com/mig-2g.20gb:1",
                &["A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB"],
                Some(vec![0.5, 0.5]),
            ),
            ("nvidia.com/mig-1g.10gb:2", &["unknown"], Some(vec![1.0])),
            ("half", &two[..], None),
            ("nvidia.com/gpu:2", &two[..], None),
        ] {
            assert_eq!(of(text, names), expected, "{text}");
        }
    }
}
