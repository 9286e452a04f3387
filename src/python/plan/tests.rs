//! The recorded cases of requirement handling, without those of torch and conda.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::cases::{case_id, cases, strings, unordered};
use super::super::install::RewrittenLink;
use super::*;

/// Stands for `$CWD` of the cases.
const FOLDER: &str = "/code";

fn options_of(case: &Value) -> PythonOptions {
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
            "git_user" | "git_pass" | "cpu_only" | "cuda_version" | "cudnn_version" => {}
            other => panic!("{}: unknown setting {other}", case_id(case)),
        }
    }
    options
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

fn concerns_torch_or_conda(case: &Value) -> bool {
    let text = case["requirements"]
        .as_str()
        .expect("requirements")
        .to_lowercase();
    text.contains("torch") && case["id"] != "R073" && case["id"] != "R077"
        || case["config"]["package_manager.type"] == "conda"
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
        // `cpu_only` concerns the choice of wheels alone (E-156).
        "R077" => (
            &["torch==1.13.1", "numpy==1.24"],
            &["horovod", "git+https://github.com/acme/lib.git"],
        ),
        _ => return None,
    })
}

/// E-143..E-161, E-177..E-179, E-246: every recorded list that concerns neither torch nor conda.
#[test]
fn lists_are_planned_as_the_reference_handles_them() {
    let mut count = 0;
    for case in cases("replace") {
        if concerns_torch_or_conda(&case) {
            continue;
        }
        count += 1;
        check_fresh(&case);
    }
    assert_eq!(count, 49);
}

fn check_fresh(case: &Value) {
    let id = case_id(case);
    let expect = &case["expect"];
    let options = options_of(case);
    let (lines, files) = read_case(case);
    let existing = strings(&case["existing"]);
    let plan = InstallPlan::fresh(
        lines,
        &PlanContext {
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
                    main.push(format!(
                        "file://$HOME/.clearml/pip-download-cache/cu0/{name}"
                    ));
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
    assert_eq!(notices, said, "{id}");
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// E-147
#[test]
fn constraints_are_options_of_every_call() {
    let lines = RequirementLines::read("-c pins.txt\nsix", Path::new(FOLDER), &|_| None);
    let context = PlanContext {
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
            options: &PythonOptions::default(),
            links: &Links::default(),
            existing: &["lib @ git+https://h/lib.git@abc".to_owned()],
            exists: &|_| false,
        },
    );
    assert!(plan.main.is_empty());
}
