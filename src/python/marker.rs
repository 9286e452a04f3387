//! Environment markers, evaluated for one version of Python on this machine (E-205, E-207).

use std::str::FromStr;

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, MarkerTree};

use super::version::PythonVersion;

/// Whether a marker holds; what is wrong with it where it is none.
pub(super) fn fits(marker: &str, python: PythonVersion) -> Result<bool, String> {
    let tree = MarkerTree::from_str(marker).map_err(|error| error.message.to_string())?;
    let environment = environment(python).map_err(|error| error.to_string())?;
    Ok(tree.evaluate(&environment, &[]))
}

fn environment(python: PythonVersion) -> Result<MarkerEnvironment, pep440_rs::VersionParseError> {
    let machine = nix::sys::utsname::uname().ok();
    let of_machine = |field: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        let text = machine.as_ref().map(field);
        text.and_then(|text| text.to_str())
            .unwrap_or_default()
            .to_owned()
    };
    let full = python.to_string();
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name: "posix",
        platform_machine: &of_machine(nix::sys::utsname::UtsName::machine),
        platform_python_implementation: "CPython",
        platform_release: &of_machine(nix::sys::utsname::UtsName::release),
        platform_system: "Linux",
        platform_version: &of_machine(nix::sys::utsname::UtsName::version),
        python_full_version: &full,
        python_version: &python.short(),
        sys_platform: "linux",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-205, E-207: also with `and`, which the official agent cannot read.
    #[test]
    fn markers_are_evaluated() {
        let python: PythonVersion = "3.11.4".parse().expect("a version");
        let yes = [
            "python_version >= '3.10' and python_version <= '3.11'",
            "sys_platform == 'linux'",
            "(os_name == 'nt' or python_full_version == '3.11.4')",
        ];
        let no = [
            "python_version < '3.10'",
            "python_version >= '3.12'",
            "sys_platform == 'win32'",
            "extra == 'test'",
        ];
        for marker in yes {
            assert_eq!(fits(marker, python), Ok(true), "{marker}");
        }
        for marker in no {
            assert_eq!(fits(marker, python), Ok(false), "{marker}");
        }
        assert!(fits("python_version ~~ 3", python).is_err());
    }
}
