//! Finds out which CUDA and cuDNN the machine has, where the configuration does not say it (F-112, D-321 to D-326).

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::monitor::{self, CudaVersion};
use crate::process::{Command, find_program};
use crate::settings::{AgentSettings, Detected, PackageManagerKind, Settings};
use crate::task::{Devices, RunOptions};
use crate::ui::Printer;

/// How long a driver or a tool may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is found; nothing is looked for where it is configured, or where no GPU is to be used.
pub(super) async fn detected(settings: &Settings, cpu_only: bool) -> Detected {
    detected_with(settings, cpu_only, driver_version).await
}

async fn detected_with(
    settings: &Settings,
    cpu_only: bool,
    driver: impl AsyncFnOnce() -> Option<CudaVersion>,
) -> Detected {
    let is_open = |key| !cpu_only && settings.filled_text(key).is_none();
    let search_path = settings.environment().get("PATH").unwrap_or_default();
    let is_needed = is_open("agent.cuda_version") || is_open("agent.cudnn_version");
    let compiler = is_needed
        .then(|| find_program("nvcc", search_path))
        .flatten();
    let mut cuda = None;
    if is_open("agent.cuda_version") {
        cuda = driver().await;
        if cuda.is_none() {
            cuda = version_of_tools(settings, compiler.as_deref()).await;
        }
    }
    let cudnn = compiler
        .filter(|_| is_open("agent.cudnn_version"))
        .and_then(|compiler| cudnn_version(&compiler));
    Detected {
        cuda_version: cuda.map(|version| version.to_string()),
        cudnn_version: cudnn.map(|version| version.to_string()),
        ..Detected::default()
    }
}

/// D-322
async fn version_of_tools(settings: &Settings, compiler: Option<&Path>) -> Option<CudaVersion> {
    if let Some(compiler) = compiler
        && let Some(text) = printed(Command::new(compiler).arg("--version")).await
        && let Some(version) = monitor::compiler_release(&text)
    {
        return Some(version);
    }
    let tool = find_program("nvidia-smi", settings.environment().get("PATH")?)?;
    let text = printed(Command::new(tool)).await?;
    monitor::driver_table_version(&text)
}

/// In a thread that is left behind if the driver does not answer.
async fn driver_version() -> Option<CudaVersion> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("cuda".to_owned())
        .spawn(move || sender.send(monitor::cuda_driver_version()))
        .ok()?;
    let answer = tokio::time::timeout(PATIENCE, receiver).await;
    answer.ok()?.ok()?
}

/// What the program prints; nothing where it fails or takes too long.
pub(super) async fn printed(command: Command) -> Option<String> {
    let cancel = CancellationToken::new();
    let finished = command.capture(&cancel);
    tokio::pin!(finished);
    let finished = tokio::select! {
        finished = &mut finished => finished,
        () = tokio::time::sleep(PATIENCE) => {
            cancel.cancel();
            finished.await
        }
    };
    let finished = finished.ok().filter(crate::process::Finished::is_success)?;
    Some(finished.text())
}

/// In the headers beside the compiler; newer releases have a header of their own for it (D-325).
fn cudnn_version(compiler: &Path) -> Option<CudaVersion> {
    let behind_links = compiler.canonicalize().ok();
    let compilers = [Some(compiler), behind_links.as_deref()];
    let folders = compilers
        .into_iter()
        .flatten()
        .filter_map(|compiler| Some(compiler.parent()?.join("../include")));
    let mut headers = folders.flat_map(|folder| {
        ["cudnn_version.h", "cudnn.h"].map(|name| std::fs::read_to_string(folder.join(name)))
    });
    headers.find_map(|header| monitor::cudnn_version(&header.ok()?))
}

/// D-326: GPUs are asked for, and nobody knows for which CUDA packages are to be chosen; conda cannot choose at all then.
pub(super) fn check(
    agent: &AgentSettings,
    run: &RunOptions,
    devices: &Devices,
    printer: Printer,
) -> Result<(), Failed> {
    let is_known = agent.cuda.cuda.as_deref().is_some_and(|cuda| cuda != "0");
    if run.gpus.is_none() || *devices == Devices::None || is_known || monitor::is_amd_host() {
        return Ok(());
    }
    let problem = "Running with GPUs but no CUDA version was detected!";
    if agent.package_manager.kind == PackageManagerKind::Conda {
        return Err(Failed::message(
            problem,
            "set `CUDA_VERSION` and `CUDNN_VERSION`, such as 12.4 and 8.9, or leave `--gpus` out",
        ));
    }
    printer.warning(&format!(
        "{problem}\n\tInstall the driver, or set CUDA_VERSION to the version that packages are to be made for: CUDA_VERSION=12.4\n\
         \tThe same holds for cuDNN and CUDNN_VERSION: CUDNN_VERSION=8.9"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::settings::Environment;

    /// A machine with a compiler and a tool that print these lines, and what its driver says.
    struct Machine(tempfile::TempDir, Option<CudaVersion>);

    impl Machine {
        fn new(compiler: Option<&str>, tool: Option<&str>) -> Self {
            let machine = Self(tempfile::tempdir().unwrap(), None);
            std::fs::create_dir_all(machine.0.path().join("bin")).unwrap();
            std::fs::create_dir_all(machine.0.path().join("include")).unwrap();
            for (name, line) in [("nvcc", compiler), ("nvidia-smi", tool)] {
                if let Some(line) = line {
                    let path = machine.0.path().join("bin").join(name);
                    // The shell of the file is not looked up on its PATH.
                    std::fs::write(&path, format!("#!/bin/sh\necho '{line}'\n")).unwrap();
                    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
                }
            }
            machine
        }

        fn path(&self) -> String {
            self.0.path().join("bin").display().to_string()
        }

        async fn detected(&self, text: &str, cpu_only: bool) -> [String; 2] {
            let path = self.path();
            let environment: Environment = [("PATH", path.as_str())].into_iter().collect();
            let settings = Settings::from_text(text, &environment).expect("good");
            let found = detected_with(&settings, cpu_only, async || self.1).await;
            [found.cuda_version, found.cudnn_version]
                .map(|version| version.unwrap_or_else(|| "-".to_owned()))
        }
    }

    const TABLE: &str = "Driver Version: 1   CUDA Version: 12.1 |";

    /// D-322, D-324, F-112
    #[tokio::test]
    async fn the_driver_comes_before_the_compiler_and_that_before_the_table() {
        let mut both = Machine::new(Some("release 11.2, V11.2.67"), Some(TABLE));
        assert_eq!(both.detected("", false).await, ["11.2", "-"]);
        both.1 = CudaVersion::of_driver(12_100);
        assert_eq!(both.detected("", false).await, ["12.10", "-"]);
        assert_eq!(
            both.detected("agent.cuda_version: 9", false).await,
            ["-", "-"]
        );
        assert_eq!(both.detected("", true).await, ["-", "-"]);
        let odd = Machine::new(Some("no version"), Some(TABLE));
        assert_eq!(odd.detected("", false).await, ["12.1", "-"]);
        let none = Machine::new(None, None);
        assert_eq!(none.detected("", false).await, ["-", "-"]);
    }

    /// D-073, D-321, D-322
    #[tokio::test]
    async fn what_is_configured_is_not_looked_for() {
        let machine = Machine::new(Some("release 11.2"), None);
        let called = machine.0.path().join("called");
        let trap = format!("#!/bin/sh\n: > '{}'\n", called.display());
        std::fs::write(machine.0.path().join("bin/nvcc"), trap).unwrap();
        let text = "agent { cuda_version: 12, cudnn_version: 8 }";
        assert_eq!(machine.detected(text, false).await, ["-", "-"]);
        assert_eq!(machine.detected("", true).await, ["-", "-"]);
        assert!(!called.exists());
        assert_eq!(machine.detected("", false).await, ["-", "-"]);
        assert!(called.exists());
    }

    /// D-325
    #[tokio::test]
    async fn the_headers_beside_the_compiler_tell_the_version_of_cudnn() {
        let machine = Machine::new(Some("release 11.2"), None);
        let header = |name: &str, text: &str| {
            std::fs::write(machine.0.path().join("include").join(name), text).unwrap();
        };
        header("cudnn.h", "#define CUDNN_MAJOR 7\n#define CUDNN_MINOR 6\n");
        let found = machine.detected("", false).await;
        assert_eq!(found, ["11.2", "7.6"]);
        header(
            "cudnn_version.h",
            "#define CUDNN_MAJOR 8\n#define CUDNN_MINOR 9\n",
        );
        let found = machine.detected("agent.cuda_version: 12.4", false).await;
        assert_eq!(found, ["-", "8.9"]);
        // By a link in another folder.
        let linked = Machine::new(None, None);
        let compiler = machine.0.path().join("bin/nvcc");
        symlink(compiler, linked.0.path().join("bin/nvcc")).unwrap();
        assert_eq!(linked.detected("", false).await[1], "8.9");
    }
}
