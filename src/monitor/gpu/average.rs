//! Means of the GPUs' figures since the last report that arrived (D-193 to D-199).

use std::collections::BTreeMap;

use super::GpuReading;

/// Sums over readings, GPU by GPU: they need no more room when the server is away for days (D-175).
#[derive(Clone, Debug, Default)]
pub struct GpuTotals(BTreeMap<Place, Totals>);

/// Numeric order: GPU 2 comes before GPU 10 (D-199).
type Place = (u32, Option<u32>, String);

#[derive(Clone, Debug, Default)]
struct Totals {
    name: String,
    usage: Mean,
    temperature: Mean,
    memory_used: Mean,
    memory_free: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

/// The lists of a status report, one entry a GPU; empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuAverages {
    /// Percent (D-193).
    pub usage: Vec<f64>,
    /// °C (D-194).
    pub temperature: Vec<f64>,
    /// MiB (D-195).
    pub memory_free: Vec<f64>,
    /// MiB (D-195).
    pub memory_used: Vec<f64>,
}

impl GpuTotals {
    /// Adds the readings of one moment; a GPU that tells no load counts as `default_usage`, if there is one.
    pub fn add(&mut self, readings: &[GpuReading], default_usage: Option<f64>) {
        for reading in readings {
            let uuid = reading.part_uuid.as_ref().unwrap_or(&reading.uuid);
            let place = (reading.index, reading.part, uuid.clone());
            let totals = self.0.entry(place).or_default();
            totals.name.clone_from(&reading.name);
            totals.usage.add(reading.usage.or(default_usage));
            totals
                .temperature
                .add(Some(reading.temperature.unwrap_or_default()));
            let memory = reading.memory;
            totals
                .memory_used
                .add(memory.map(|memory| whole(memory.used)));
            totals
                .memory_free
                .add(memory.map(|memory| whole(memory.free)));
        }
    }

    /// The means, rounded to three decimals (D-197).
    pub fn averages(&self) -> GpuAverages {
        let list = |mean: fn(&Totals) -> Mean| {
            let means = self.0.values().map(mean);
            means.filter_map(Mean::rounded).collect()
        };
        GpuAverages {
            usage: list(|totals| totals.usage),
            temperature: list(|totals| totals.temperature),
            memory_free: list(|totals| totals.memory_free),
            memory_used: list(|totals| totals.memory_used),
        }
    }

    /// The products, in the order of the lists.
    pub fn names(&self) -> Vec<&str> {
        self.0.values().map(|totals| totals.name.as_str()).collect()
    }

    /// Forgets what has been reported.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn rounded(self) -> Option<f64> {
        (self.count > 0).then(|| (self.sum / f64::from(self.count) * 1000.0).round() / 1000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "mebibytes of one device")]
fn whole(mebibytes: u64) -> f64 {
    mebibytes as f64
}

#[cfg(test)]
mod tests {
    use super::super::GpuMemory;
    use super::*;

    fn reading(index: u32, usage: Option<f64>, used: u64) -> GpuReading {
        GpuReading {
            index,
            part: None,
            uuid: format!("GPU-{index}"),
            part_uuid: None,
            name: String::new(),
            temperature: Some(40.0),
            usage,
            memory: Some(GpuMemory {
                used,
                free: 100 - used,
            }),
        }
    }

    /// D-193, D-194, D-195, D-197, D-199
    #[test]
    fn lists_are_means_in_the_order_of_the_indexes() {
        let mut totals = GpuTotals::default();
        totals.add(
            &[reading(10, Some(1.0), 7), reading(2, Some(50.0), 30)],
            None,
        );
        totals.add(
            &[reading(10, Some(2.0), 8), reading(2, Some(51.0), 30)],
            None,
        );
        totals.add(&[reading(10, Some(2.0), 8)], None);
        let averages = totals.averages();
        assert_eq!(averages.usage, [50.5, 1.667]);
        assert_eq!(averages.temperature, [40.0, 40.0]);
        assert_eq!(averages.memory_used, [30.0, 7.667]);
        assert_eq!(averages.memory_free, [70.0, 92.333]);
        totals.clear();
        assert_eq!(totals.averages(), GpuAverages::default());
    }

    /// D-193: null in the configuration leaves the load out.
    #[test]
    fn a_gpu_without_a_load_has_that_of_the_configuration() {
        for (default, expected) in [(Some(100.0), &[100.0] as &[f64]), (None, &[])] {
            let mut totals = GpuTotals::default();
            totals.add(&[reading(0, None, 1)], default);
            let averages = totals.averages();
            assert_eq!(averages.usage, expected);
            assert_eq!(averages.memory_used, [1.0]);
        }
    }
}
