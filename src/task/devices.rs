//! Which GPUs a task may use: from the command line and the agent's variables to the program's variables and the worker's id.

use super::RunOptions;
use crate::settings::{Environment, env_vars};

/// What shows a task no GPU.
const NONE: &str = "none";
/// The same in the words of `ROCm`, where an index that does not exist ends the list.
const NO_AMD_DEVICE: &str = "-1";

/// The GPUs of a worker as its id names them (D-115 to D-119).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Devices {
    /// Nothing is said: every GPU of the machine.
    #[default]
    Unrestricted,
    /// No GPU.
    None,
    /// These, with dots where the variables have colons: `0,1`, `0.1` for a part of a GPU, `all` (D-315).
    Listed(String),
}

/// A variable, with its new value or none where it is taken away.
pub type VariableChange = (&'static str, Option<String>);

/// The GPUs that are to be used, and what a program must be told for that.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceSelection {
    /// What is to be used.
    pub devices: Devices,
    /// How the program's variables differ from the agent's own (D-313, D-314).
    pub changes: Vec<VariableChange>,
}

impl DeviceSelection {
    /// The selection of a command with these options and variables; `is_amd` on a machine whose GPUs are AMD's (D-317).
    ///
    /// Inside a Kubernetes cluster `--gpus` changes nothing (F-115).
    pub fn of(options: &RunOptions, environment: &Environment, is_amd: bool) -> Self {
        let is_in_cluster = environment.is_set(&env_vars::KUBERNETES_SERVICE_HOST)
            || environment.is_set(&env_vars::KUBERNETES_PORT);
        let wanted = options.gpus.as_deref().map(str::trim);
        match wanted.filter(|gpus| !gpus.is_empty() && !is_in_cluster) {
            _ if options.cpu_only => Self::wanted(NONE, is_amd),
            Some(gpus) => Self::wanted(gpus, is_amd),
            None => Self::inherited(environment),
        }
    }

    /// D-313
    fn wanted(gpus: &str, is_amd: bool) -> Self {
        let value = gpus.replace('.', ":");
        let cuda = (value != "all").then(|| value.clone());
        let mut changes = vec![
            ("NVIDIA_VISIBLE_DEVICES", Some(value.clone())),
            ("CUDA_VISIBLE_DEVICES", cuda),
        ];
        if is_amd {
            let (runtime, library) = amd_variables(&value);
            changes.push(("ROCR_VISIBLE_DEVICES", runtime));
            changes.push(("HIP_VISIBLE_DEVICES", library));
        }
        Self {
            devices: Devices::named(&value),
            changes,
        }
    }

    /// D-314: the reverse copy would break frameworks.
    fn inherited(environment: &Environment) -> Self {
        let nvidia = environment.text(&env_vars::NVIDIA_VISIBLE_DEVICES);
        let cuda = environment.text(&env_vars::CUDA_VISIBLE_DEVICES);
        let copied = cuda.filter(|_| nvidia.is_none());
        Self {
            devices: nvidia
                .or(cuda)
                .map_or(Devices::Unrestricted, Devices::named),
            changes: copied
                .map(|value| ("NVIDIA_VISIBLE_DEVICES", Some(value.to_owned())))
                .into_iter()
                .collect(),
        }
    }

    /// The changes that set a variable.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let changes = self.changes.iter();
        changes.filter_map(|(name, value)| Some((*name, value.as_deref()?)))
    }

    /// The variables that are taken away.
    pub fn removed(&self) -> impl Iterator<Item = &'static str> {
        let changes = self.changes.iter();
        changes
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| *name)
    }
}

impl Devices {
    fn named(value: &str) -> Self {
        match value {
            NONE => Self::None,
            _ => Self::Listed(value.replace(':', ".")),
        }
    }

    /// What the official agent calls the selection, for who looks for devices in it; none where nothing is said.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Unrestricted => None,
            Self::None => Some(NONE),
            Self::Listed(list) => Some(list),
        }
    }
}

/// `ROCR_VISIBLE_DEVICES` and `HIP_VISIBLE_DEVICES`. The second one counts among the devices that the first one leaves, so
/// that the same list in both would hide all but the first devices.
fn amd_variables(value: &str) -> (Option<String>, Option<String>) {
    match value {
        "all" => (None, None),
        NONE => (
            Some(NO_AMD_DEVICE.to_owned()),
            Some(NO_AMD_DEVICE.to_owned()),
        ),
        list => {
            let left: Vec<String> = (0..list.split(',').count())
                .map(|index| index.to_string())
                .collect();
            (Some(list.to_owned()), Some(left.join(",")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given<'a> = (Option<&'a str>, bool, &'a [(&'a str, &'a str)]);

    fn selection((gpus, cpu_only, variables): Given<'_>, is_amd: bool) -> DeviceSelection {
        let options = RunOptions {
            gpus: gpus.map(str::to_owned),
            cpu_only,
            ..RunOptions::default()
        };
        let environment: Environment = variables.iter().copied().collect();
        DeviceSelection::of(&options, &environment, is_amd)
    }

    const NVIDIA: &str = "NVIDIA_VISIBLE_DEVICES";
    const CUDA: &str = "CUDA_VISIBLE_DEVICES";

    type Change<'a> = Option<Option<&'a str>>;

    /// What is given, the devices, and `NVIDIA_…` and `CUDA_…` where they change.
    const CASES: &[(Given<'_>, Option<&str>, Change<'_>, Change<'_>)] = &[
        ((None, false, &[]), None, None, None),
        ((None, false, &[(NVIDIA, ""), (CUDA, "")]), None, None, None),
        (
            (Some("0"), false, &[]),
            Some("0"),
            Some(Some("0")),
            Some(Some("0")),
        ),
        (
            (Some("1,2"), false, &[(NVIDIA, "7"), (CUDA, "7")]),
            Some("1,2"),
            Some(Some("1,2")),
            Some(Some("1,2")),
        ),
        (
            (Some("all"), false, &[(CUDA, "7")]),
            Some("all"),
            Some(Some("all")),
            Some(None),
        ),
        (
            (Some("0.1,2:3"), false, &[]),
            Some("0.1,2.3"),
            Some(Some("0:1,2:3")),
            Some(Some("0:1,2:3")),
        ),
        (
            (Some("none"), false, &[]),
            Some("none"),
            Some(Some("none")),
            Some(Some("none")),
        ),
        ((Some(" "), false, &[]), None, None, None),
        (
            (None, true, &[(NVIDIA, "7")]),
            Some("none"),
            Some(Some("none")),
            Some(Some("none")),
        ),
        (
            (Some("1"), true, &[]),
            Some("none"),
            Some(Some("none")),
            Some(Some("none")),
        ),
        // Inherited: one way only.
        ((None, false, &[(NVIDIA, "3")]), Some("3"), None, None),
        (
            (None, false, &[(CUDA, "3")]),
            Some("3"),
            Some(Some("3")),
            None,
        ),
        (
            (None, false, &[(NVIDIA, ""), (CUDA, "0:1")]),
            Some("0.1"),
            Some(Some("0:1")),
            None,
        ),
        (
            (None, false, &[(NVIDIA, "all"), (CUDA, "3")]),
            Some("all"),
            None,
            None,
        ),
        ((None, false, &[(NVIDIA, "none")]), Some("none"), None, None),
        // In a cluster.
        (
            (
                Some("1"),
                false,
                &[("KUBERNETES_SERVICE_HOST", "h"), (NVIDIA, "all")],
            ),
            Some("all"),
            None,
            None,
        ),
        (
            (Some("all"), false, &[("KUBERNETES_PORT", "p"), (CUDA, "2")]),
            Some("2"),
            Some(Some("2")),
            None,
        ),
        (
            (None, true, &[("KUBERNETES_PORT", "p")]),
            Some("none"),
            Some(Some("none")),
            Some(Some("none")),
        ),
    ];

    /// C-053, D-016, D-017, D-072, D-313, D-314, D-315, F-114, F-115
    #[test]
    fn options_and_variables_make_a_selection() {
        for (given, devices, nvidia, cuda) in CASES {
            let selection = selection(*given, false);
            assert_eq!(selection.devices.text(), *devices, "{given:?}");
            let change = |wanted| {
                let mut changes = selection.changes.iter();
                let found = changes.find(|(name, _)| *name == wanted);
                found.map(|(_, value)| value.as_deref())
            };
            assert_eq!(change(NVIDIA), *nvidia, "{given:?}");
            assert_eq!(change(CUDA), *cuda, "{given:?}");
            assert!(selection.changes.len() <= 2, "{given:?}");
        }
    }

    /// D-317
    #[test]
    fn programs_on_amd_see_the_same_devices() {
        let amd = |gpus| {
            let selection = selection((Some(gpus), false, &[]), true);
            let [_, _, runtime, library] =
                <[VariableChange; 4]>::try_from(selection.changes).expect("four variables");
            assert_eq!(runtime.0, "ROCR_VISIBLE_DEVICES");
            assert_eq!(library.0, "HIP_VISIBLE_DEVICES");
            (runtime.1, library.1)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(amd("2"), (some("2"), some("0")));
        assert_eq!(amd("1,3"), (some("1,3"), some("0,1")));
        assert_eq!(amd("none"), (some("-1"), some("-1")));
        assert_eq!(amd("all"), (None, None));
    }
}
