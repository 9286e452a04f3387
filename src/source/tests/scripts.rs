//! Scripts that come with the task, working folders, and forced code.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;

use super::world::{World, read};
use crate::source::{Code, CodeRequest, SourceError};

fn script(text: &str) -> CodeRequest {
    CodeRequest {
        diff: text.to_owned(),
        entry_point: "main.py".to_owned(),
        working_dir: ".".to_owned(),
        ..CodeRequest::default()
    }
}

/// E-087, E-073
#[tokio::test]
async fn a_script_without_repository_goes_to_the_code_folder() {
    let world = World::new();
    let stale = world.environment().join("code/stale.py");
    fs::create_dir_all(stale.parent().expect("a parent")).expect("made");
    fs::write(&stale, "x").expect("written");
    let request = CodeRequest {
        working_dir: "sub".to_owned(),
        ..script("print(1)\r\nprint('\u{e4}')")
    };
    let code = world.fetch(&request).await.expect("written");
    let root = fs::canonicalize(world.environment().join("code")).expect("there");
    assert_eq!(read(&root.join("main.py")), "print(1)\r\nprint('\u{e4}')");
    assert!(!stale.exists());
    let expected = Code {
        root: root.clone(),
        script_folder: root,
        entry_point: "main.py".to_owned(),
        working_dir: "sub".to_owned(),
        repository: None,
    };
    assert_eq!(code, expected);
    assert_eq!(
        world.console(),
        "found task with `script.working_dir` (`sub`) but without `script.repository`, ignoring\n"
    );
}

/// E-091
#[tokio::test]
async fn a_notebook_s_code_is_run_by_its_path() {
    let world = World::new();
    let request = CodeRequest {
        entry_point: "a.ipynb".to_owned(),
        ..script("print(1)")
    };
    let code = world.fetch(&request).await.expect("written");
    assert_eq!(code.entry_point, code.root.join("a.py").to_string_lossy());
}

/// E-085
#[tokio::test]
async fn a_task_without_any_code_is_warned_of() {
    let world = World::new();
    for diff in ["", "diff --git a/x b/x\n"] {
        let code = world.fetch(&script(diff)).await.expect("an empty folder");
        assert_eq!(fs::read_dir(code.root).expect("listed").count(), 0);
        let warning =
            "WARNING: running a task without repository or literal script in `script.diff`\n";
        assert!(world.console().ends_with(warning));
    }
}

/// E-086, E-089, E-090
#[tokio::test]
async fn a_script_replaces_the_repository_s_file() {
    let world = World::new();
    let remote = world.remote("demo", &[("pkg/main.py", "committed\n")]);
    let request = CodeRequest {
        entry_point: "deep/main.py --x".to_owned(),
        working_dir: "pkg".to_owned(),
        diff: "print('task')".to_owned(),
        ..remote.request()
    };
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(read(&code.root.join("pkg/deep/main.py")), "print('task')");
    assert_eq!(code.entry_point, "deep/main.py --x");
    let request = CodeRequest {
        entry_point: "main.py".to_owned(),
        ..request
    };
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(read(&code.script_folder.join("main.py")), "print('task')");
    assert_eq!(code.script_folder, code.root.join("pkg"));
}

/// E-012, E-093
#[tokio::test]
async fn the_entry_point_is_relative_to_the_working_folder() {
    let world = World::new();
    let remote = world.remote("demo", &[("pkg/main.py", "1\n")]);
    let request = CodeRequest {
        entry_point: "main.py:pkg".to_owned(),
        working_dir: String::new(),
        ..remote.request()
    };
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(
        (code.entry_point.as_str(), code.working_dir.as_str()),
        ("main.py", "pkg")
    );
    assert_eq!(code.script_folder, code.root.join("pkg"));
}

/// E-094
#[tokio::test]
async fn a_working_folder_must_be_there_and_inside() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    for diff in ["", "print(1)"] {
        let with = |folder: &str| CodeRequest {
            working_dir: folder.to_owned(),
            diff: diff.to_owned(),
            ..remote.request()
        };
        let error = world.fetch(&with("nosuch")).await.expect_err("not there");
        assert_eq!(
            error.to_string(),
            "Working dir \"nosuch\" does not exist in the repository"
        );
        for folder in ["..", "../../environment", "/tmp"] {
            let error = world.fetch(&with(folder)).await.expect_err("outside");
            assert!(
                matches!(error, SourceError::OutsideFolder { .. }),
                "{error:?}"
            );
        }
    }
}

/// E-074
#[tokio::test]
async fn a_forced_folder_is_used_as_it_is() {
    let mut world = World::new();
    let forced = world.path("forced");
    fs::create_dir_all(&forced).expect("made");
    world.options.force_code_dir = Some(forced.clone());
    let request = CodeRequest {
        repository: "https://host.invalid/x".to_owned(),
        ..script("print(1)")
    };
    let code = world.fetch(&request).await.expect("taken");
    assert_eq!(
        code.script_folder,
        fs::canonicalize(&forced).expect("there")
    );
    assert_eq!(code.repository, None);
    assert_eq!(fs::read_dir(&forced).expect("listed").count(), 0);
    world.options.force_code_dir = Some(world.path("nosuch"));
    assert!(matches!(
        world.fetch(&request).await,
        Err(SourceError::CodeFolderMissing(_))
    ));
}

/// E-100
#[tokio::test]
async fn a_forced_script_replaces_entry_point_and_folder() {
    let mut world = World::new();
    let remote = world.remote("demo", &[("pkg/other.py", "1\n")]);
    world.options.force_exec_script = Some("pkg:other.py".to_owned());
    let code = world.fetch(&remote.request()).await.expect("fetched");
    assert_eq!(
        (code.entry_point.as_str(), code.working_dir.as_str()),
        ("other.py", "pkg")
    );
    assert!(
        world
            .console()
            .starts_with("WARNING: Using forced script entry [pkg:other.py]\n")
    );
}
