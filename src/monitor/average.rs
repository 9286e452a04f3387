//! Means over the samples since the last report that arrived (D-175, D-197).

use serde::Serialize;

use super::{Sample, Traffic};

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
    /// The means over the time of `samples` and of `traffic`, rounded to three decimals; none where there is nothing (D-197).
    pub fn of(samples: &[Sample], traffic: &[Traffic]) -> Option<Self> {
        let machine = |value: fn(&Sample) -> f64| {
            mean(samples.iter().map(|sample| (sample.seconds, value(sample))))
        };
        let devices = |value: fn(&Traffic) -> Option<f64>| {
            let values = traffic.iter();
            mean(values.filter_map(|traffic| Some((traffic.seconds, value(traffic)?))))
        };
        Some(Self {
            cpu_temperature: devices(|traffic| traffic.cpu_temperature).map(|value| [value]),
            cpu_usage: [machine(|sample| sample.cpu_usage)?],
            disk_free_home: devices(|traffic| Some(traffic.disk_free))?,
            disk_read: devices(|traffic| Some(traffic.disk_read))?,
            disk_write: devices(|traffic| Some(traffic.disk_write))?,
            memory_free: machine(|sample| sample.memory_free)?,
            memory_used: machine(|sample| sample.memory_used)?,
            network_rx: devices(|traffic| Some(traffic.network_rx))?,
            network_tx: devices(|traffic| Some(traffic.network_tx))?,
        })
    }
}

/// Of values with the time for which each stands.
fn mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (time, sum) = values.fold((0.0, 0.0), |(time, sum), (seconds, value)| {
        (time + seconds, sum + seconds * value)
    });
    (time > 0.0).then(|| (sum / time * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, cpu_usage: f64) -> Sample {
        Sample {
            seconds,
            cpu_usage,
            ..Sample::default()
        }
    }

    fn traffic(cpu_temperature: Option<f64>) -> Traffic {
        Traffic {
            seconds: 1.0,
            cpu_temperature,
            ..Traffic::default()
        }
    }

    /// D-197
    #[test]
    fn values_are_means_over_time_rounded_to_three_decimals() {
        let averages = Averages::of(
            &[sample(1.0, 1.0), sample(2.0, 2.0)],
            &[None, Some(50.0), Some(51.0)].map(traffic),
        );
        let averages = averages.expect("there are samples");
        let fields = serde_json::to_value(averages).expect("serialised");
        assert_eq!(fields["cpu_usage"], serde_json::json!([1.667]));
        assert_eq!(fields["cpu_temperature"], serde_json::json!([50.5]));
        assert_eq!(Averages::of(&[], &[traffic(None)]), None);
    }

    /// D-187
    #[test]
    fn a_machine_without_sensors_reports_no_temperature() {
        let averages = Averages::of(&[sample(1.0, 1.0)], &[traffic(None)]);
        let fields = serde_json::to_value(averages.expect("a sample")).expect("serialised");
        assert_eq!(fields.get("cpu_temperature"), None);
    }
}
