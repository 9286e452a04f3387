//! What the recorded cases do not show: a network that is away or slow, ROCm's files, wheels of other machines.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::super::cases::{case_id, cases};
use super::*;

const PYTHON: PythonVersion = PythonVersion {
    major: 3,
    minor: 10,
    patch: 4,
};

/// Pages of these addresses, and what was asked for.
fn network(pages: &[(&str, &str)]) -> (Pages, Arc<Mutex<Vec<String>>>) {
    let pages: HashMap<String, String> = pages
        .iter()
        .map(|(address, text)| ((*address).to_owned(), (*text).to_owned()))
        .collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let fetch = Pages::new(move |address| {
        let page = pages.get(&address).cloned();
        log.lock().unwrap().push(address);
        Box::pin(async move { page })
    });
    (fetch, asked)
}

async fn resolve(options: &TorchOptions, cuda: &str, lines: &[&str]) -> TorchChoices {
    let mut torch = Torch::new(options, cuda, PYTHON);
    let lines: Vec<(&str, Requirement)> = lines
        .iter()
        .map(|line| (*line, Requirement::parse(line).unwrap()))
        .collect();
    torch.resolve(&lines, &[]).await
}

fn wheel_of(choices: &TorchChoices, line: &str) -> Option<String> {
    match choices.get(line) {
        Some(TorchLine::Wheel { url, .. }) => Some(url.clone()),
        _ => None,
    }
}

/// E-165
#[test]
fn versions_of_cuda_are_numbers() {
    for case in cases("cuda_version") {
        let value = case["value"].as_str().unwrap();
        let number = case["expect"]["int10"].as_str().unwrap();
        assert_eq!(cuda_number(value).to_string(), number, "{}", case_id(&case));
    }
    assert_eq!(cuda_number("none"), 0);
}

/// E-168, E-174, E-175, E-176: nobody answers, so every address is asked for once, and the line stays as it is.
#[tokio::test]
async fn without_a_network_the_lines_stay_and_nothing_is_asked_for_twice() {
    let (pages, asked) = network(&[]);
    let options = TorchOptions {
        pages,
        ..TorchOptions::default()
    };
    for (cuda, wanted) in [("12.6", "for CUDA 126"), ("0", "without CUDA")] {
        let lines = ["torch==2.4.0", "torchvision==0.19.0"];
        let choices = resolve(&options, cuda, &lines).await;
        for line in lines {
            assert_eq!(choices.get(line), Some(&TorchLine::Text(line.to_owned())));
            let notice = choices.notices.iter().find(|notice| notice.contains(line));
            assert!(notice.unwrap().contains(wanted), "{notice:?}");
        }
        assert!(choices.indexes.is_empty());
        let mut asked: Vec<String> = std::mem::take(&mut asked.lock().unwrap());
        let all = asked.len();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), all, "{asked:?}");
    }
}

/// E-174: a machine without a GPU gets the builds without CUDA.
#[tokio::test]
async fn a_machine_without_a_gpu_gets_the_index_for_processors() {
    let (pages, _) = network(&[
        ("https://download.pytorch.org/whl/cpu/", ""),
        ("https://download.pytorch.org/whl/cu0/", ""),
    ]);
    let options = TorchOptions {
        pages,
        ..TorchOptions::default()
    };
    let choices = resolve(&options, "0", &["torch"]).await;
    assert_eq!(
        choices.notices[0],
        "Torch CPU index page found, adding `https://download.pytorch.org/whl/cpu/`"
    );
}

/// E-175: what is asked for first counts, however late its answer is; and all are asked at once.
#[tokio::test(start_paused = true)]
async fn the_newest_index_is_taken_though_its_answer_comes_last() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&running);
    let pages = Pages::new(move |address| {
        running.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let seconds = if address.ends_with("cu125/") { 9 } else { 1 };
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            (!address.ends_with("cu126/")).then(String::new)
        })
    });
    let options = TorchOptions {
        pages,
        ..TorchOptions::default()
    };
    let started = tokio::time::Instant::now();
    let choices = resolve(&options, "126", &["torch"]).await;
    assert_eq!(
        choices.indexes,
        [IndexUrl::new("https://download.pytorch.org/whl/cu125/")]
    );
    assert_eq!(most.load(Ordering::SeqCst), 15);
    assert!(started.elapsed().as_secs() < 10);
}

/// E-166: nightly builds are looked for beside the others where they are allowed.
#[tokio::test]
async fn nightly_indexes_join_the_others() {
    let (pages, _) = network(&[
        ("https://download.pytorch.org/whl/cu124/", ""),
        ("https://download.pytorch.org/whl/nightly/cu126/", ""),
    ]);
    let options = TorchOptions {
        pages,
        nightly: true,
        ..TorchOptions::default()
    };
    let choices = resolve(&options, "126", &["torch"]).await;
    assert_eq!(choices.indexes.len(), 2);
}

const PAGE: &str = "<a href='torch-2.0.0%2Bcu118-cp310-cp310-linux_x86_64.whl'>x</a>\n\
    <a href=\"torch-2.1.0%2Bcu118-cp310-cp310-win_amd64.whl#sha256=0\">x</a>\n\
    <a href=\"torch-2.2.0%2Bcu118-cp310-cp310-linux_s390x.whl\">x</a>\n\
    <a href=\"torchvision-9.0-cp310-cp310-linux_x86_64.whl\">x</a>\n\
    <a href=\"torch-2.3.0.dev20240101-cp310-cp310-manylinux_2_28_x86_64.whl\">x</a>\n\
    <a href=\"broken.whl\">x</a> <a href=\"torch-x-y.whl";

/// E-172: only what runs on this interpreter, system and machine counts; builds before a release only where allowed.
#[tokio::test]
async fn a_wheel_of_the_page_must_run_here() {
    let address = "https://download.pytorch.org/whl/cu118/torch_stable.html";
    let (pages, _) = network(&[(address, &PAGE.replace("x86_64", std::env::consts::ARCH))]);
    let mut options = TorchOptions {
        mode: TorchMode::Direct,
        pages,
        ..TorchOptions::default()
    };
    let choices = resolve(&options, "118", &["torch>=1.13"]).await;
    let url = wheel_of(&choices, "torch>=1.13").unwrap();
    assert!(url.contains("/whl/cu118/torch-2.0.0%2Bcu118"), "{url}");
    options.nightly = true;
    let choices = resolve(&options, "118", &["torch>=1.13"]).await;
    let url = wheel_of(&choices, "torch>=1.13").unwrap();
    assert!(url.contains("2.3.0.dev20240101"), "{url}");
}

/// E-172: a machine with a GPU never gets a build without CUDA; what is not found goes the other way.
#[tokio::test]
async fn direct_resolution_reverts_to_the_index() {
    let (pages, _) = network(&[
        (
            "https://download.pytorch.org/whl/cpu/torch_stable.html",
            PAGE,
        ),
        (
            "https://download.pytorch.org/whl/cu118/torch_stable.html",
            "",
        ),
        ("https://download.pytorch.org/whl/cu118/", ""),
    ]);
    let options = TorchOptions {
        mode: TorchMode::Direct,
        pages,
        ..TorchOptions::default()
    };
    let choices = resolve(&options, "118", &["torch==2.0.0"]).await;
    assert_eq!(
        choices.get("torch==2.0.0"),
        Some(&TorchLine::Text("torch ==2.0.0.*".to_owned()))
    );
    let has = |text: &str| choices.notices.iter().any(|notice| notice == text);
    assert!(has(
        "Error! Could not locate PyTorch version torch==2.0.0 matching CUDA version 118"
    ));
    assert!(has(
        "Warning: Failed resolving using `pytorch_resolve=direct` reverting to `pytorch_resolve=pip`"
    ));
}

/// E-173
#[tokio::test]
async fn a_fitting_version_of_the_system_is_used() {
    let options = TorchOptions {
        mode: TorchMode::Direct,
        ..TorchOptions::default()
    };
    let mut torch = Torch::new(&options, "118", PYTHON);
    let lines = [
        ("torch>=2", Requirement::parse("torch>=2").unwrap()),
        ("torchaudio<2", Requirement::parse("torchaudio<2").unwrap()),
    ];
    let installed = [
        "torch==2.1.0+cu118".to_owned(),
        "torchaudio==2.1.0".to_owned(),
    ];
    let choices = torch.resolve(&lines, &installed).await;
    assert_eq!(
        choices.get("torch>=2"),
        Some(&TorchLine::Text("torch==2.1.0+cu118".to_owned()))
    );
    assert_eq!(
        choices.notices[0],
        "PyTorch: requested \"torch\" version >=2, using pre-installed version 2.1.0+cu118"
    );
    assert_eq!(
        choices.get("torchaudio<2"),
        Some(&TorchLine::Text("torchaudio<2".to_owned()))
    );
}

/// E-169
#[test]
fn only_a_range_below_1_11_needs_old_setuptools() {
    let needs = |line: &str| line::needs_old_setuptools(&Requirement::parse(line).unwrap());
    for line in [
        "torch==1.10.0",
        "torch<1.11",
        "torch~=1.10.1",
        "torch>=1.8,<=1.9",
        "torch==1.9.*",
    ] {
        assert!(needs(line), "{line}");
    }
    for line in [
        "torch",
        "torch<1.12",
        "torch~=1.10",
        "torch>=1.8",
        "torchvision==0.9",
    ] {
        assert!(!needs(line), "{line}");
    }
}

/// E-171
#[test]
fn files_tell_the_version_of_rocm() {
    let machine = tempfile::tempdir().unwrap();
    let path = |name: &str| machine.path().join(name);
    let detect = |folder: Option<&str>| Rocm::detect(machine.path(), folder);
    assert_eq!(detect(None), Rocm::Absent);
    fs::create_dir_all(path("dev")).unwrap();
    fs::write(path("dev/kfd"), "").unwrap();
    assert_eq!(detect(None), Rocm::Present(None));
    for name in [
        "opt/rocm-5.7.1",
        "opt/rocm-6.10",
        "opt/rocm-6.2.0",
        "opt/rocm-x",
    ] {
        fs::create_dir_all(path(name)).unwrap();
    }
    assert_eq!(detect(None), Rocm::Present(Some((6, 10))));
    fs::create_dir_all(path("opt/rocm/.info")).unwrap();
    fs::write(path("opt/rocm/.info/version-dev"), "6.1.2-90\n").unwrap();
    assert_eq!(detect(None), Rocm::Present(Some((6, 1))));
    fs::create_dir_all(path("own/.info")).unwrap();
    fs::write(path("own/.info/version"), "5.4.0").unwrap();
    let own = path("own");
    assert_eq!(detect(own.to_str()), Rocm::Present(Some((5, 4))));
    fs::write(path("dev/nvidia0"), "").unwrap();
    assert_eq!(detect(None), Rocm::Absent);
}

/// E-172: pip's own comparison, where the official agent cuts versions up (recorded cases `exact`).
#[test]
fn versions_of_wheels_compare_as_pip_compares_them() {
    let exact: Vec<_> = cases("compare_versions")
        .into_iter()
        .filter(|case| case["exact"] == true)
        .collect();
    assert_eq!(exact.len(), 2);
    for case in exact {
        let text = |key: &str| case[key].as_str().unwrap();
        let wheel =
            wheel::Wheel::parse(&format!("torch-{}-cp310-cp310-linux_x86_64.whl", text("a")));
        let specifiers = format!("{}{}", text("op"), text("b")).parse().unwrap();
        let fits = wheel.unwrap().fits(&specifiers, false);
        // `1.0.0+cu118` is a build of `1.0.0`; `1.0.0rc1` comes before it, but nobody asked for it.
        assert_eq!(fits, text("op") == "==", "{}", case_id(&case));
    }
}
