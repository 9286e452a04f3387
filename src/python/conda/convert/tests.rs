//! Lists of tasks, divided between conda and pip.
//!
//! Compiled under `#[cfg(test)]` only.

#![cfg(test)]

use proptest::prelude::*;

use super::*;

struct Machine {
    channels: Vec<String>,
    cuda: &'static str,
}

fn cpu() -> Machine {
    Machine {
        channels: vec!["conda-forge".into()],
        cuda: "0",
    }
}

fn lines(text: &str) -> RequirementLines {
    RequirementLines::read(text, Path::new("/code"), &|_| None)
}

fn plan(conda: Option<&str>, pip: &str, machine: &Machine) -> CondaPlan {
    let world = CondaWorld {
        channels: &machine.channels,
        cuda_version: machine.cuda,
        python: "3.11.4".parse().expect("a version"),
        exists: &|path| path == Path::new("/here.whl"),
    };
    CondaPlan::new(conda.map(lines), lines(pip), &world)
}

/// E-206: without a list of conda's own it is asked for everything first.
#[test]
fn without_a_conda_list_conda_is_asked_first() {
    let plan = plan(None, "Scikit_Learn==1.3.post1\nsix>=1,<2\nattrs", &cpu());
    assert_eq!(
        plan.dependencies(),
        ["Scikit-Learn~=1.3", "six>=1.0,<2.0", "attrs"]
    );
    assert_eq!(plan.pip, Vec::<String>::new());
}

/// E-206: an empty list of conda means that all is pip's.
#[test]
fn with_a_conda_list_the_rest_is_left_to_pip() {
    let empty = plan(Some(""), "six==1.16.0\n", &cpu());
    assert_eq!(empty.dependencies(), Vec::<String>::new());
    assert_eq!(empty.pip, ["six==1.16.0"]);
    // The versions of the list that people change count, and names of conda stay as they are.
    let both = plan(
        Some("torch==2.0.1\nruamel_yaml==0.17.21\n_libgcc_mutex==0.1"),
        "# Conda Packages\n\ntorch==2.1.0\n\n# pip Packages\n\nsix==1.16.0\nmatplotlib==3.8\n",
        &cpu(),
    );
    assert_eq!(
        both.dependencies(),
        [
            "pytorch~=2.1.0",
            "ruamel_yaml~=0.17.21",
            "_libgcc_mutex~=0.1",
            "cpuonly",
            "graphviz",
            "python-graphviz",
            "kiwisolver"
        ]
    );
    assert_eq!(both.pip, ["six==1.16.0", "matplotlib==3.8"]);
}

/// E-207: what conda cannot understand is pip's, as it was written.
#[test]
fn links_extras_and_options_are_left_to_pip() {
    let text = "--extra-index-url https://i/simple\n-c pins.txt\n--pre\n\
        lib @ git+https://h/lib.git@1\nrequests[socks]==2.31\na==1 --hash=sha256:1\n./local\n-e ./other\n\
        https://h/b-1-py3-none-any.whl\nthere @ file:///here.whl\nclearml==1.16\nclearml_extra\nsix";
    let plan = plan(None, text, &cpu());
    assert_eq!(plan.dependencies(), ["six"]);
    assert_eq!(
        plan.pip,
        [
            "--extra-index-url https://i/simple",
            "-c pins.txt",
            "--pre",
            "lib @ git+https://h/lib.git@1",
            "requests[socks]==2.31",
            "a==1 --hash=sha256:1",
            "./local",
            "-e ./other",
            "https://h/b-1-py3-none-any.whl",
            "there @ file:///here.whl",
            "clearml==1.16",
            "clearml_extra",
        ]
    );
}

/// E-207: with its channel even clearml is conda's.
#[test]
fn clearml_is_left_to_pip_unless_its_channel_is_configured() {
    let mut machine = cpu();
    machine.channels.push("clearml".into());
    assert_eq!(
        plan(None, "clearml==1.16", &machine).dependencies(),
        ["clearml~=1.16"]
    );
}

/// E-207: files of other machines, names that are dropped, Python itself.
#[test]
fn what_other_machines_froze_is_understood() {
    let text = "attrs @ file:///home/conda/feedstock_root/attrs\npip==23\nvirtualenv\ncudnn==8\ncupti\npython==3.11.4\nn==1\nw==1.2.*\nx!=3.1+cu118";
    let plan = plan(None, text, &cpu());
    assert_eq!(
        plan.dependencies(),
        ["attrs", "python=3.11", "n~=1.0", "w==1.2.*", "x!=3.1"]
    );
    assert_eq!(plan.pip, Vec::<String>::new());
    assert_eq!(
        plan.notices,
        [
            "Local file not found [attrs @ file:///home/conda/feedstock_root/attrs], references removed"
        ]
    );
    let plan = super::tests::plan(None, "python==3", &cpu());
    assert_eq!(plan.dependencies(), Vec::<String>::new());
}

/// E-207: markers are judged and dropped.
#[test]
fn markers_are_judged() {
    let text = "six ; python_version < '3'\nattrs==1.0 ; python_version >= '3.10' and sys_platform == 'linux'\nb; what";
    let plan = plan(None, text, &cpu());
    assert_eq!(plan.dependencies(), ["attrs~=1.0", "b"]);
    assert_eq!(
        plan.notices[..2],
        [
            "SKIPPING package `six; python_version < '3'` not required python version 3.11",
            "WARNING: ignoring marker in `attrs==1.0; python_version >= '3.10' and sys_platform == 'linux'`",
        ]
    );
    assert!(
        plan.notices[2].starts_with("WARNING: failed parsing, assuming package is okay "),
        "{:?}",
        plan.notices
    );
}

/// E-207: torch, tensorflow and the toolkit of CUDA.
#[test]
fn the_toolkit_follows_the_machine() {
    let of = |channel: &str, cuda, text: &str| {
        let machine = Machine {
            channels: vec![channel.to_owned()],
            cuda,
        };
        plan(None, text, &machine).dependencies()
    };
    assert_eq!(
        of("nvidia", "124", "torch==2.4.0+cu124"),
        ["pytorch~=2.4.0", "cuda-toolkit=12.4"]
    );
    assert_eq!(of("x", "112", "six"), ["six", "cudatoolkit=11.2"]);
    assert_eq!(
        of("x", "112", "cudatoolkit==11.0.221\ntensorflow==2.4.1"),
        ["cudatoolkit=11.0", "tensorflow-gpu~=2.4.1"]
    );
    assert_eq!(of("x", "112", "cuda-toolkit==12.1\nsix"), ["six"]);
    assert_eq!(
        of("x", "0", "cudatoolkit==11.0\ntensorflow_gpu==2.4.1"),
        ["tensorflow~=2.4.1"]
    );
    assert_eq!(of("x", "0", "torchvision"), ["torchvision", "cpuonly"]);
}

/// E-208: what conda does not have moves to pip, as it was written there; its own additions do not.
#[test]
fn unavailable_packages_move_to_pip() {
    let mut plan = plan(
        None,
        "pytorch==2.1\nsome_thing==1 ; python_version > '3'\nsix\nmatplotlib",
        &cpu(),
    );
    assert!(plan.leave_to_pip(&["some-thing".into(), "kiwisolver".into()]));
    assert_eq!(plan.pip, ["some_thing==1 ; python_version > '3'"]);
    assert!(!plan.leave_to_pip(&["some-thing".into(), "unheard".into()]));
    assert!(plan.leave_to_pip(&["pytorch".into()]));
    plan.leave_all_to_pip();
    assert_eq!(plan.dependencies(), Vec::<String>::new());
    assert_eq!(
        plan.pip,
        [
            "some_thing==1 ; python_version > '3'",
            "torch==2.1",
            "six",
            "matplotlib"
        ]
    );
}

proptest! {
    /// E-207: broken lines are left to pip, never a panic.
    #[test]
    fn any_list_is_divided(text in "(?s)([a-z_.=<>~;@ '0-9+*-]|\n|torch|python|cudatoolkit|file://|#){0,60}") {
        for cuda in ["0", "124", "11.2", "x"] {
            let machine = Machine { channels: Vec::new(), cuda };
            let mut divided = plan(Some(&text), &text, &machine);
            let names: Vec<String> = divided.conda.iter().map(|package| package.name.clone()).collect();
            let _ = divided.dependencies();
            prop_assert_eq!(divided.leave_to_pip(&names), !names.is_empty());
        }
    }
}
