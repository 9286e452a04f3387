//! Who a worker is on the server (D-114 to D-123).

use crate::task::Devices;

/// How a worker's id is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WorkerName {
    /// `agent.worker_id`, verbatim (D-123).
    Fixed(String),
    /// `<name>:<slot>`, or `<name>:cpu:<slot>` (D-115, D-116).
    Slotted {
        /// `agent.worker_name`, or the host's name (D-114).
        name: String,
        /// No GPU is to be used.
        cpu_only: bool,
    },
    /// `<name>:gpu<devices>`: one worker for these GPUs (D-117 to D-119).
    OnDevices {
        /// As above.
        name: String,
        /// `0`, `1,2`, `0.1`, `all`.
        devices: String,
    },
    /// `<name>:dgpu<pool>`: a worker that gives these GPUs to tasks, each with a worker of its own (D-120).
    OverPool {
        /// As above.
        name: String,
        /// `0-7`, `0,1`, `all`.
        pool: String,
    },
}

impl WorkerName {
    /// The name of a worker with these GPUs.
    pub fn new(name: String, devices: &Devices) -> Self {
        match devices {
            Devices::Unrestricted => Self::Slotted {
                name,
                cpu_only: false,
            },
            Devices::None => Self::Slotted {
                name,
                cpu_only: true,
            },
            Devices::Listed(devices) => Self::OnDevices {
                name,
                devices: devices.clone(),
            },
        }
    }

    /// The name of a worker with dynamic GPUs: none listed means that all of the machine are in its pool.
    pub fn over_pool(name: String, devices: &Devices) -> Self {
        Self::OverPool {
            name,
            pool: devices.text().unwrap_or("all").to_owned(),
        }
    }

    /// The id in a slot.
    pub fn worker_id(&self, slot: u32) -> String {
        match self {
            Self::Fixed(id) => id.clone(),
            Self::Slotted {
                name,
                cpu_only: true,
            } => format!("{name}:cpu:{slot}"),
            Self::Slotted {
                name,
                cpu_only: false,
            } => format!("{name}:{slot}"),
            Self::OnDevices { name, devices } => format!("{name}:gpu{devices}"),
            Self::OverPool { name, pool } => format!("{name}:dgpu{pool}"),
        }
    }

    /// The whole id where it does not depend on a slot.
    pub fn fixed(&self) -> Option<String> {
        match self {
            Self::Slotted { .. } => None,
            Self::Fixed(_) | Self::OnDevices { .. } | Self::OverPool { .. } => {
                Some(self.worker_id(0))
            }
        }
    }

    /// How the ids of this name begin (D-288).
    pub fn prefix(&self) -> String {
        match self {
            Self::Slotted { name, cpu_only } => {
                format!("{name}:{}", if *cpu_only { "cpu:" } else { "" })
            }
            Self::Fixed(_) | Self::OnDevices { .. } | Self::OverPool { .. } => self.worker_id(0),
        }
    }

    /// True for an id that a worker of this name could have in some slot.
    pub fn could_be(&self, worker: &str) -> bool {
        let slot = worker.rsplit(':').next().and_then(|last| last.parse().ok());
        self.worker_id(slot.unwrap_or(0)) == worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-115, D-116, D-123
    #[test]
    fn ids_are_those_of_the_reference() {
        let slotted = |name: &str, cpu_only| WorkerName::Slotted {
            name: name.to_owned(),
            cpu_only,
        };
        assert_eq!(slotted("host", false).worker_id(0), "host:0");
        assert_eq!(slotted("host", true).worker_id(1), "host:cpu:1");
        assert_eq!(slotted("rack1:box", false).worker_id(0), "rack1:box:0");
        assert_eq!(WorkerName::Fixed("mine".to_owned()).worker_id(7), "mine");
    }

    fn on(devices: &str) -> WorkerName {
        WorkerName::new("host".to_owned(), &Devices::Listed(devices.to_owned()))
    }

    /// D-115 to D-119
    #[test]
    fn gpus_are_in_the_id_in_place_of_a_slot() {
        for (devices, expected) in [
            ("0", "host:gpu0"),
            ("1,2", "host:gpu1,2"),
            ("all", "host:gpuall"),
            ("0.1", "host:gpu0.1"),
        ] {
            assert_eq!(on(devices).worker_id(3), expected);
        }
        let name = |devices| WorkerName::new("host".to_owned(), &devices).worker_id(3);
        assert_eq!(name(Devices::Unrestricted), "host:3");
        assert_eq!(name(Devices::None), "host:cpu:3");
    }

    /// D-120
    #[test]
    fn a_pool_is_in_the_id_as_it_was_named() {
        let id = |devices| WorkerName::over_pool("host".to_owned(), &devices).worker_id(3);
        assert_eq!(id(Devices::Listed("0-2".to_owned())), "host:dgpu0-2");
        assert_eq!(id(Devices::Listed("0.1".to_owned())), "host:dgpu0.1");
        assert_eq!(id(Devices::Unrestricted), "host:dgpuall");
    }

    #[test]
    fn a_worker_recognises_the_ids_of_its_name() {
        let name = WorkerName::Slotted {
            name: "host".to_owned(),
            cpu_only: false,
        };
        assert!(name.could_be("host:3"));
        assert!(!name.could_be("host:cpu:3"));
        assert!(!name.could_be("other:3"));
        assert!(!name.could_be("host:gpu3"));
        assert!(on("0").could_be("host:gpu0"));
        assert!(!on("0").could_be("host:0") && !on("0").could_be("host:gpu0,1"));
    }
}
