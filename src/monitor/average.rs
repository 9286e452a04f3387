//! Means over the samples since the last report that arrived (D-175, D-197).

use serde::Serialize;

use super::Sample;

/// The machine's figures as a status report carries them; fields in the order of their names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Averages {
    /// Highest core temperature, °C (D-187).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_temperature: Option<[f64; 1]>,
    /// Mean over all cores, percent (D-186).
    pub cpu_usage: [f64; 1],
    /// Free share of the file system, percent (D-190).
    pub disk_free_home: f64,
    /// MiB per second over all disks (D-191).
    pub disk_read: f64,
    /// MiB per second over all disks (D-191).
    pub disk_write: f64,
    /// Available memory, MiB (D-189).
    pub memory_free: f64,
    /// Used memory, MiB (D-188).
    pub memory_used: f64,
    /// MiB per second over all interfaces (D-192).
    pub network_rx: f64,
    /// MiB per second over all interfaces (D-192).
    pub network_tx: f64,
}

impl Averages {
    /// The means of `samples`, rounded to three decimals; none where there is no sample (D-197).
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let mean = |value: fn(&Sample) -> Option<f64>| {
            let values: Vec<f64> = samples.iter().filter_map(value).collect();
            let count = u32::try_from(values.len())
                .ok()
                .filter(|&count| count > 0)?;
            Some((values.iter().sum::<f64>() / f64::from(count) * 1000.0).round() / 1000.0)
        };
        Some(Self {
            cpu_temperature: mean(|sample| sample.cpu_temperature).map(|value| [value]),
            cpu_usage: [mean(|sample| Some(sample.cpu_usage))?],
            disk_free_home: mean(|sample| Some(sample.disk_free))?,
            disk_read: mean(|sample| Some(sample.disk_read))?,
            disk_write: mean(|sample| Some(sample.disk_write))?,
            memory_free: mean(|sample| Some(sample.memory_free))?,
            memory_used: mean(|sample| Some(sample.memory_used))?,
            network_rx: mean(|sample| Some(sample.network_rx))?,
            network_tx: mean(|sample| Some(sample.network_tx))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_usage: f64, cpu_temperature: Option<f64>) -> Sample {
        Sample {
            cpu_temperature,
            cpu_usage,
            ..Sample::default()
        }
    }

    /// D-197
    #[test]
    fn values_are_means_rounded_to_three_decimals() {
        let averages = Averages::of(&[
            sample(1.0, None),
            sample(1.0, Some(50.0)),
            sample(0.0, Some(51.0)),
        ]);
        let averages = averages.expect("there are samples");
        let fields = serde_json::to_value(averages).expect("serialised");
        assert_eq!(fields["cpu_usage"], serde_json::json!([0.667]));
        assert_eq!(fields["cpu_temperature"], serde_json::json!([50.5]));
    }

    /// D-187
    #[test]
    fn a_machine_without_sensors_reports_no_temperature() {
        let averages = Averages::of(&[sample(1.0, None)]).expect("there are samples");
        let fields = serde_json::to_value(averages).expect("serialised");
        assert_eq!(fields.get("cpu_temperature"), None);
    }
}
