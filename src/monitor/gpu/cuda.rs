//! Versions of CUDA and cuDNN in the words of the tools and headers that come with them (D-321 to D-325).

use std::fmt;

/// A version as `major.minor`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CudaVersion {
    /// Before the dot.
    pub major: u32,
    /// Behind it.
    pub minor: u32,
}

impl CudaVersion {
    /// The driver's number: 12040 is 12.4 (D-323).
    pub fn of_driver(number: u32) -> Option<Self> {
        let version = Self {
            major: number / 1000,
            minor: number % 1000 / 10,
        };
        (version.major > 0).then_some(version)
    }

    /// The numbers at the beginning of the text.
    fn at_start_of(text: &str) -> Option<Self> {
        let is_outside = |c: char| !c.is_ascii_digit() && c != '.';
        let numbers = text.trim_start();
        let numbers = &numbers[..numbers.find(is_outside).unwrap_or(numbers.len())];
        let mut parts = numbers.split('.');
        Some(Self {
            major: parts.next()?.parse().ok()?,
            minor: parts.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The release that `nvcc --version` prints (D-324).
pub fn compiler_release(text: &str) -> Option<CudaVersion> {
    let mut behind = text.split("release ").skip(1);
    behind.find_map(CudaVersion::at_start_of)
}

/// The version in the table that `nvidia-smi` prints (D-322).
pub fn driver_table_version(text: &str) -> Option<CudaVersion> {
    let mut behind = text.split("CUDA Version:").skip(1);
    behind.find_map(CudaVersion::at_start_of)
}

/// The version in a header of cuDNN (D-325).
pub fn cudnn_version(header: &str) -> Option<CudaVersion> {
    let number = |wanted: &str| {
        header.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let is_wanted = words.next() == Some("#define") && words.next() == Some(wanted);
            is_wanted.then(|| words.next()?.parse().ok()).flatten()
        })
    };
    Some(CudaVersion {
        major: number("CUDNN_MAJOR")?,
        minor: number("CUDNN_MINOR")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: Option<CudaVersion>) -> String {
        version
            .map(|version| version.to_string())
            .unwrap_or_default()
    }

    /// D-323
    #[test]
    fn the_drivers_number_has_a_minor_of_two_digits() {
        for (number, expected) in [
            (12040, "12.4"),
            (12100, "12.10"),
            (9020, "9.2"),
            (13000, "13.0"),
            (0, ""),
        ] {
            assert_eq!(text(CudaVersion::of_driver(number)), expected);
        }
    }

    /// D-322, D-324
    #[test]
    fn tools_tell_the_version() {
        let compiler = "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 11.2, V11.2.152\n";
        assert_eq!(text(compiler_release(compiler)), "11.2");
        assert_eq!(
            text(compiler_release("release soon, release 12.10")),
            "12.10"
        );
        assert_eq!(text(compiler_release("release 12")), "");
        assert_eq!(text(compiler_release("")), "");
        let table = "| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4     |";
        assert_eq!(text(driver_table_version(table)), "12.4");
        assert_eq!(text(driver_table_version("CUDA Version: N/A")), "");
    }

    /// D-325
    #[test]
    fn the_header_of_cudnn_tells_its_version() {
        let header = "#ifndef CUDNN_VERSION_H_\n#define CUDNN_MAJOR 8\n# define CUDNN_MINOR 1\n#define CUDNN_MINOR 9\n#define CUDNN_PATCHLEVEL 7\n";
        assert_eq!(text(cudnn_version(header)), "8.9");
        assert_eq!(text(cudnn_version("#define CUDNN_MAJOR 8\n")), "");
    }
}
