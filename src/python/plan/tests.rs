//! The recorded cases of requirement handling, without those of conda.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::cases::{case_id, cases, strings, unordered};
use super::super::links::RewrittenLink;
use super::super::torch::{Pages, Rocm, Torch, TorchMode};
use super::super::version::PythonVersion;
use super::*;

/// Stands for `$CWD` of the cases.
const FOLDER: &str = "/code";

pub(in crate::python) fn options_of(case: &Value) -> PythonOptions {
    let mut options = PythonOptions::default();
    for (key, value) in case["config"].as_object().into_iter().flatten() {
        let list = strings(value);
        match key.as_str() {
            "package_manager.priority_packages" => options.priority_packages = list,
            "package_manager.priority_optional_packages" => {
                options.priority_optional_packages = list;
            }
            "package_manager.post_packages" => options.post_packages = list,
            "package_manager.post_optional_packages" => options.post_optional_packages = list,
            "pip_download_cache.enabled" => options.download_cache = None,
            "package_manager.extra_index_url_template" => {
                options.torch.index = value.as_str().expect("text").to_owned();
            }
            "package_manager.pytorch_resolve" => set_mode(&mut options, value),
            "cuda_version" => options.cuda_version = value.as_str().expect("text").to_owned(),
            "git_user" | "git_pass" | "cpu_only" | "cudnn_version" | "default_python" => {}
            other => panic!("{}: unknown setting {other}", case_id(case)),
        }
    }
    let variable = &case["env"]["CLEARML_AGENT_PACKAGE_PYTORCH_RESOLVE"];
    if !variable.is_null() {
        set_mode(&mut options, variable);
    }
    if case["rocm_host"] == true {
        let number = |place: usize| case["rocm_version"][place].as_u64();
        let version = number(0).zip(number(1));
        let narrow = |number| u32::try_from(number).expect("a small number");
        options.torch.rocm =
            Rocm::Present(version.map(|(major, minor)| (narrow(major), narrow(minor))));
    }
    options.torch.pages = pages_of(case);
    options
}

fn set_mode(options: &mut PythonOptions, word: &Value) {
    let word = word.as_str().expect("text");
    options.torch.mode = match word {
        "none" => TorchMode::None,
        "direct" => TorchMode::Direct,
        _ => TorchMode::Pip,
    };
    let is_known = ["pip", "direct", "none"].contains(&word);
    options.torch.unknown_mode = (!is_known).then(|| word.to_owned());
}

/// The network of a case: what it lists answers, everything else does not.
fn pages_of(case: &Value) -> Pages {
    let mut pages: HashMap<String, String> = strings(&case["reachable_urls"])
        .into_iter()
        .map(|address| (address, String::new()))
        .collect();
    for (address, text) in case["pages"].as_object().into_iter().flatten() {
        pages.insert(address.clone(), text.as_str().expect("text").to_owned());
    }
    Pages::new(move |address| {
        let page = pages.get(&address).cloned();
        Box::pin(async move { page })
    })
}

/// What the torch packages of a case become.
pub(in crate::python) async fn torch_of(
    case: &Value,
    options: &PythonOptions,
    lines: &RequirementLines,
) -> TorchChoices {
    let version = case["config"]["default_python"].as_str().unwrap_or("3.11");
    let version = format!("{version}.0");
    let version = version.parse().unwrap_or(PythonVersion {
        major: 3,
        minor: 11,
        patch: 0,
    });
    let mut torch = Torch::new(&options.torch, &options.cuda_version, version);
    let concerned: Vec<(&str, Requirement)> = lines
        .requirements
        .iter()
        .filter_map(|line| Some((line.text.as_str(), Requirement::parse(&line.text).ok()?)))
        .filter(|(_, parsed)| torch.concerns(parsed))
        .collect();
    if concerned.is_empty() {
        return TorchChoices::default();
    }
    torch.resolve(&concerned, &[]).await
}

fn links_of(case: &Value) -> Links {
    let Some(user) = case["config"]["git_user"].as_str().map(str::to_owned) else {
        return Links::default();
    };
    let password = case["config"]["git_pass"]
        .as_str()
        .expect("a password")
        .to_owned();
    Links::new(move |url| {
        let rest = url.strip_prefix("https://")?;
        Some(RewrittenLink {
            url: format!("https://{user}:{password}@{rest}"),
            shown: format!("https://{user}:xxxxxx@{rest}"),
        })
    })
}

fn read_case(case: &Value) -> (RequirementLines, HashMap<PathBuf, String>) {
    let files: HashMap<PathBuf, String> = case["files"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, text)| {
            (
                Path::new(FOLDER).join(name),
                text.as_str().expect("text").to_owned(),
            )
        })
        .collect();
    let text = case["requirements"]
        .as_str()
        .expect("requirements")
        .replace("$CWD", FOLDER);
    let lines = RequirementLines::read(&text, Path::new(FOLDER), &|path| files.get(path).cloned());
    (lines, files)
}

fn concerns_conda(case: &Value) -> bool {
    case["config"]["package_manager.type"] == "conda"
}

/// What the reference calls warts, with the outcome that it asks for instead.
fn improved(id: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match id {
        // A constraint goes to the installer, a hash stays with its requirement (E-147).
        "R049" => (&["six"], &[]),
        "R050" => (&["six==1.16.0 --hash=sha256:abc"], &[]),
        // Comments are dropped, markers are left to the installer (E-147).
        "R068" => (&["six"], &["git+https://github.com/acme/lib.git@v1"]),
        "R069" => (
            &[],
            &["git+https://github.com/acme/lib.git@v1 ; python_version > '3'"],
        ),
        // The version of the interpreter that was found always has a minor part (E-170).
        "R036" => (&["torch ==2.4.0.*"], &[]),
        // No made-up link and no end of the run where nothing of PyTorch can be reached (E-174, E-175).
        "R070" => (&["torch==2.4.0"], &[]),
        "R071" => (&["torch==2.4.0", "six"], &[]),
        // `cpu_only` concerns the choice of wheels alone (E-156).
        "R077" => (
            &["torch==1.13.1", "numpy==1.24"],
            &["horovod", "git+https://github.com/acme/lib.git"],
        ),
        _ => return None,
    })
}

/// E-143, E-144, E-145, E-146, E-148, E-149, E-150, E-151, E-152, E-153, E-154, E-156, E-157, E-161, E-162, E-166, E-167, E-168, E-169,
/// E-170, E-171, E-172, E-174, E-177, E-178, E-179, E-246: every recorded list that does not concern conda.
#[tokio::test]
async fn lists_are_planned_as_the_reference_handles_them() {
    let mut count = 0;
    for case in cases("replace") {
        if concerns_conda(&case) {
            continue;
        }
        count += 1;
        check_fresh(&case).await;
    }
    assert_eq!(count, 81);
}

async fn check_fresh(case: &Value) {
    let id = case_id(case);
    let expect = &case["expect"];
    let options = options_of(case);
    let (lines, files) = read_case(case);
    let existing = strings(&case["existing"]);
    let torch = torch_of(case, &options, &lines).await;
    let plan = InstallPlan::fresh(
        lines,
        &PlanContext {
            torch: &torch,
            options: &options,
            links: &links_of(case),
            existing: &existing,
            exists: &|path| files.contains_key(path),
        },
    );
    let failing = strings(&case["failing_packages"]);
    let fails = |argument: &str| failing.iter().any(|name| argument.contains(name.as_str()));
    let left_out: Vec<usize> = plan
        .before
        .iter()
        .filter(|package| package.is_optional && fails(&package.argument))
        .map(|package| package.line)
        .collect();
    let downloads = strings(&expect["downloaded_to_cache"]);
    let mut main = Vec::new();
    for (place, line) in plan.main.iter().enumerate() {
        if left_out.contains(&place) {
            continue;
        }
        let name = line
            .download
            .as_ref()
            .and_then(|url| url.rsplit('/').next());
        match name.filter(|_| options.download_cache.is_some()) {
            Some(name) => {
                assert!(
                    downloads.contains(line.download.as_ref().expect("a link")),
                    "{id}"
                );
                if case["download_fails"] == true {
                    main.push(line.full());
                } else {
                    let cuda = &options.cuda_version;
                    let place = format!("file://$HOME/.clearml/pip-download-cache/cu{cuda}/{name}");
                    main.push(line.with_place(&place));
                }
            }
            None => main.push(line.full().replace(FOLDER, "$CWD")),
        }
    }
    let freeze = strings(&case["installed_freeze"]);
    let mut notices = plan.notices.clone();
    let mut after = Vec::new();
    for package in &plan.after {
        match package.already_installed(&freeze) {
            Some(notice) => notices.push(notice),
            None => after.push(package.argument.clone()),
        }
    }
    if let Some((improved_main, improved_after)) = improved(&id) {
        assert_eq!(
            (main.as_slice(), after.as_slice()),
            (&owned(improved_main)[..], &owned(improved_after)[..]),
            "{id}"
        );
        return;
    }
    let before: Vec<&String> = plan
        .before
        .iter()
        .map(|package| &package.argument)
        .collect();
    let ordered =
        |lines: &[String]| -> Vec<String> { lines.iter().map(|line| unordered(line)).collect() };
    let expected_main = strings(&expect["requirements_file_lines"]);
    assert_eq!(ordered(&main), ordered(&expected_main), "{id}");
    assert_eq!(
        serde_json::json!(before),
        expect["installed_before"],
        "{id}"
    );
    assert_eq!(after, strings(&expect["installed_after"]), "{id}");
    let indexes: Vec<String> = plan.indexes.iter().map(ToString::to_string).collect();
    assert_eq!(indexes, strings(&expect["extra_index_urls"]), "{id}");
    // What downloads and failures print belongs to the installation; what is dropped is said (E-144, E-145, E-150).
    notices.retain(|line| !line.contains("Ignoring") && !line.contains("not found"));
    let mut said = strings(&expect["stdout"]);
    said.retain(|line| !line.contains("clearml") && !line.contains("handler"));
    drop_unwanted(&mut said, &notices);
    assert_eq!(notices, said, "{id}");
}

/// What the official agent says of a page that it has not looked at yet, and again for every package that has the same
/// index (E-176).
fn drop_unwanted(said: &mut Vec<String>, notices: &[String]) {
    let mut known = std::collections::HashSet::new();
    said.retain(|line| {
        let premature = notices.iter().any(|notice| {
            line.strip_prefix("Warning, could not locate PyTorch ")
                .and_then(|rest| rest.strip_suffix(", best candidate None"))
                .is_some_and(|wanted| *notice == format!("Found PyTorch version {wanted}"))
        });
        let repeated = line.starts_with("Torch ") && !known.insert(line.clone());
        !premature && !repeated
    });
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// E-147
#[test]
fn constraints_are_options_of_every_call() {
    let lines = RequirementLines::read("-c pins.txt\nsix", Path::new(FOLDER), &|_| None);
    let context = PlanContext {
        torch: &TorchChoices::default(),
        options: &PythonOptions::default(),
        links: &Links::default(),
        existing: &[],
        exists: &|_| false,
    };
    assert_eq!(
        InstallPlan::fresh(lines, &context).options,
        ["-c", "pins.txt"]
    );
}

/// E-244: what is processed again after a hit.
#[test]
fn a_cached_environment_processes_links_and_installers_again() {
    let cases = cases("cached_env_replace");
    assert_eq!(cases.len(), 5);
    for case in cases {
        let (lines, _) = read_case(&case);
        let installed = strings(&case["installed"]);
        let plan = InstallPlan::cached(
            lines,
            &PlanContext {
                torch: &TorchChoices::default(),
                options: &PythonOptions::default(),
                links: &Links::default(),
                existing: &installed,
                exists: &|_| false,
            },
        );
        let main: Vec<String> = plan.main.iter().map(MainLine::full).collect();
        assert_eq!(
            main,
            strings(&case["expect"]["requirements_file_lines"]),
            "{}",
            case_id(&case)
        );
        assert_eq!(
            plan.notices,
            strings(&case["expect"]["stdout"]),
            "{}",
            case_id(&case)
        );
    }
}

/// E-179, E-244
#[test]
fn a_link_to_the_installed_commit_is_left_alone_whatever_its_fragment() {
    let lines = RequirementLines::read(
        "git+https://h/lib.git@abc#egg=lib",
        Path::new(FOLDER),
        &|_| None,
    );
    let plan = InstallPlan::cached(
        lines,
        &PlanContext {
            torch: &TorchChoices::default(),
            options: &PythonOptions::default(),
            links: &Links::default(),
            existing: &["lib @ git+https://h/lib.git@abc".to_owned()],
            exists: &|_| false,
        },
    );
    assert!(plan.main.is_empty());
}
