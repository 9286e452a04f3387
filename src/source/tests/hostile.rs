//! Descriptions of tasks, and repositories, that are made to do harm (docs/security.md).
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::network::with_git;
use super::world::{Remote, World, git};
use crate::source::{CodeRequest, SourceError};

/// What git reads in a checkout: its settings and its hooks, by their paths.
fn read_by_git(checkout: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in [
        checkout.join(".git"),
        checkout.join(".git/hooks"),
        checkout.join(".git/info"),
    ] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // git's own record of files and times.
            if path.is_file() && !path.ends_with("index") {
                let text = String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned();
                found.insert(path.display().to_string(), text);
            }
        }
    }
    found
}

/// A new file at `path`, which is not quoted.
fn new_file(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+touch outside\n"
    )
}

/// A new symbolic link.
fn new_link(path: &str, target: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 120000\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
    )
}

/// A file that old versions of git have announced: the agent makes it before the diff is applied.
fn announced(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nindex e69de29..d00491f 100644\n--- a/{path}\n+++ b/{path}\n@@ -0,0 +1 @@\n+[core]\n"
    )
}

/// E-075, E-079: whatever a diff names, nothing is written outside of the checkout, and nothing that git would read.
#[tokio::test]
async fn no_diff_writes_outside_of_the_checkout() {
    for world in [World::new(), World::without_git()] {
        let outside = world.path("outside");
        fs::create_dir_all(&outside).expect("made");
        fs::write(outside.join("file"), "as it was\n").expect("written");
        let place = outside.display().to_string();
        let remote = world.remote("demo", &[("train.py", "1\n"), ("sub/a", "a\n")]);
        symlink(&outside, remote.path.join("link")).expect("linked");
        symlink(outside.join("file"), remote.path.join("filelink")).expect("linked");
        symlink("../../outside", remote.path.join("relative")).expect("linked");
        remote.commit("links", &[]);
        let clean = world.fetch(&remote.request()).await.expect("fetched");
        let before = read_by_git(&clean.root);
        let change = |path: &str| {
            format!(
                "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-as it was\n+changed\n"
            )
        };
        let moved = |from: &str, to: &str| {
            format!(
                "diff --git a/{from} b/{to}\nsimilarity index 100%\nrename from {from}\nrename to {to}\n"
            )
        };
        let diffs = [
            new_file("../../../outside/new"),
            new_file("sub/../../../../outside/new"),
            new_file(&format!("{place}/new")),
            new_file(&format!("/{place}/new")),
            new_file("link/new"),
            new_file("relative/new"),
            change("link/file"),
            change("../../../outside/file"),
            change(&format!("{place}/file")),
            moved("train.py", "link/new"),
            moved("train.py", "../../../outside/new"),
            moved("train.py", ".git/hooks/post-checkout"),
            new_link("made", &place) + &new_file("made/new"),
            new_link("sub/made", "../../../../outside") + &new_file("sub/made/new"),
            new_link(".git", &place),
            new_link(".git/hooks", &place),
            new_file(".git/hooks/post-checkout"),
            new_file(".GIT/hooks/post-checkout"),
            new_file("sub/.git/config"),
            new_file(".git/config"),
            new_file("\".git/\\150ooks/post-checkout\""),
            announced(".git/info/attributes"),
            announced(".git/commondir"),
            announced(".Git/hooks/x"),
            announced("../../../outside/new"),
            announced("link/new"),
            // What only our own reading takes for the header of a file.
            format!(
                "diff --git a/x b/x\n--- a/.git/commondir\n@@ -0,0 +1 @@\n+x\n{}",
                change("train.py")
            ),
        ];
        for diff in diffs {
            let request = CodeRequest {
                diff: diff.clone(),
                ..remote.request()
            };
            // Some are refused, others make an innocent file: both are well.
            let _ = world.fetch(&request).await;
            let names: Vec<_> = fs::read_dir(&outside).expect("listed").flatten().collect();
            assert_eq!(names.len(), 1, "{diff}");
            let file = fs::read_to_string(outside.join("file")).expect("read");
            assert_eq!(file, "as it was\n", "{diff}");
            let checkout = world.environment().join("task_repository/demo");
            assert!(!checkout.join(".git").is_symlink(), "{diff}");
            assert_eq!(read_by_git(&checkout), before, "{diff}");
            assert!(!checkout.join("sub/.git").exists(), "{diff}");
        }
        // A link that leads through a changed file is replaced, or refused; its target stays.
        let request = CodeRequest {
            diff: change("filelink"),
            ..remote.request()
        };
        let _ = world.fetch(&request).await;
        let file = fs::read_to_string(outside.join("file")).expect("read");
        assert_eq!(file, "as it was\n");
    }
}

/// E-086 to E-091: a script lands in the code's folder, and is none of git's files.
#[tokio::test]
async fn no_entry_point_writes_outside_of_the_code() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n"), ("sub/a", "a\n")]);
    symlink(".git", remote.path.join("settings")).expect("linked");
    remote.commit("link", &[]);
    let clean = world.fetch(&remote.request()).await.expect("fetched");
    let before = read_by_git(&clean.root);
    let outside = world.path("x.py");
    for (entry_point, working_dir) in [
        ("../../../x.py", "."),
        ("sub/../../../../x.py", "."),
        (&*format!("{}", outside.display()), "."),
        ("x.py\n../../../x.py", "."),
        ("'../../../x.py'", "."),
        (".git/config", "."),
        (".git/hooks/post-checkout", "."),
        (".git/hooks/post-checkout.py", "."),
        ("sub/../.git/hooks/x.sh", "."),
        ("hooks/post-checkout", ".git"),
        ("config", "sub/../.git"),
        ("settings/config", "."),
        ("config", "settings"),
        ("x.py", "../../.."),
        ("x.py", "sub/../../../.."),
        ("x.py", "/"),
        ("x.py", "/tmp/\n"),
    ] {
        for binary in ["python3", "/bin/bash"] {
            let request = CodeRequest {
                entry_point: entry_point.to_owned(),
                working_dir: working_dir.to_owned(),
                binary: binary.to_owned(),
                diff: "touch outside".to_owned(),
                ..remote.request()
            };
            let _ = world.fetch(&request).await;
            let said = format!("{entry_point:?} in {working_dir:?} by {binary}");
            assert!(!outside.exists(), "{said}");
            assert!(!world.environment().join("x.py").exists(), "{said}");
            let checkout = world.environment().join("task_repository/demo");
            assert_eq!(read_by_git(&checkout), before, "{said}");
            // The same without a repository.
            let request = CodeRequest {
                repository: String::new(),
                ..request
            };
            let _ = world.fetch(&request).await;
            assert!(!outside.exists(), "{said}");
            assert!(!world.environment().join("x.py").exists(), "{said}");
        }
    }
}

/// E-018, E-036: no field of a task makes a line that looks like one of the agent's, or acts on a terminal.
#[tokio::test]
async fn no_field_forges_a_line() {
    let world = World::new();
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    let bad = |text: &str| format!("{text}\nforged line\r\n\u{1b}]52;c;AA==\u{7}\u{202e}");
    let base = remote.request();
    let of_git = [
        CodeRequest {
            repository: bad(&base.repository),
            ..base.clone()
        },
        CodeRequest {
            branch: bad("main"),
            ..base.clone()
        },
        CodeRequest {
            tag: bad("v1"),
            ..base.clone()
        },
        CodeRequest {
            version_num: bad(&remote.head()),
            ..base.clone()
        },
    ];
    let others = [
        CodeRequest {
            working_dir: bad("sub"),
            ..base.clone()
        },
        CodeRequest {
            working_dir: bad("../sub\\"),
            ..base.clone()
        },
        CodeRequest {
            entry_point: bad("train.py"),
            ..base.clone()
        },
        CodeRequest {
            entry_point: "-m pkg".to_owned(),
            working_dir: bad(".:x"),
            diff: "1".to_owned(),
            ..base.clone()
        },
        CodeRequest {
            repository: String::new(),
            working_dir: bad("sub"),
            diff: "1".to_owned(),
            ..base.clone()
        },
    ];
    for (is_of_git, request) in of_git
        .iter()
        .map(|request| (true, request))
        .chain(others.iter().map(|request| (false, request)))
    {
        let fetched = world.fetch(request).await;
        if is_of_git {
            assert!(
                matches!(fetched, Err(SourceError::ControlCharacter { .. })),
                "{fetched:?}"
            );
        }
        let mut said = fs::read_to_string(world.path("console")).unwrap_or_default();
        if let Err(error) = fetched {
            said += &error.to_string();
            said += &error.console_text(request, &bad("image"));
        }
        assert!(
            !said.lines().any(|line| line.starts_with("forged")),
            "{said}"
        );
        assert!(
            !said.contains(['\u{1b}', '\r', '\u{7}', '\u{202e}']),
            "{said:?}"
        );
    }
}

/// A submodule in the index and in `.gitmodules` as nobody's git would make it.
fn add_hostile(remote: &Remote, name: &str, path: &str, url: &str) {
    let text = format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n");
    fs::write(remote.path.join(".gitmodules"), text).expect("written");
    let commit = remote.head();
    let entry = format!("160000,{commit},{path}");
    git(
        &remote.path,
        &["update-index", "--add", "--cacheinfo", &entry],
    );
    git(&remote.path, &["add", ".gitmodules"]);
    git(&remote.path, &["commit", "--quiet", "-m", "submodule"]);
}

/// E-066, E-070: what a repository says of its submodules starts no program, and writes nothing outside of the checkout.
///
/// The user's own git allows `ext::` to its user, as git's documentation has it for helpers; a repository is not its user.
#[tokio::test]
async fn no_submodule_starts_a_program_or_leaves_the_checkout() {
    let world = with_git(
        "GIT_CONFIG_PARAMETERS=\"'protocol.ext.allow=user'\"; export GIT_CONFIG_PARAMETERS",
    );
    let touched = world.path("touched");
    let command = format!("ext::sh -c touch% {}", touched.display());
    let base = world.remote("base", &[("s.txt", "s\n")]);
    for (number, (name, path, url)) in [
        ("sub", "sub", command.as_str()),
        (
            "sub",
            "sub",
            &format!("\"--upload-pack=touch {}\"", touched.display()),
        ),
        ("sub", "sub", "ssh://-oProxyCommand=touch%20touched/x"),
        ("../../../../hooks", "sub", &base.path.display().to_string()),
        ("..", "sub", &base.path.display().to_string()),
        ("hooks", "../outside", &base.path.display().to_string()),
        ("x\\n[core]", "sub", &base.path.display().to_string()),
    ]
    .into_iter()
    .enumerate()
    {
        let demo = world.remote(&format!("demo{number}"), &[("train.py", "1\n")]);
        if path.starts_with("..") {
            // git has no such entry; a setting of that path comes with no entry at all.
            fs::write(
                demo.path.join(".gitmodules"),
                format!("[submodule \"{name}\"]\n\tpath = {path}\n\turl = {url}\n"),
            )
            .expect("written");
            demo.commit("submodule", &[]);
        } else {
            add_hostile(&demo, name, path, url);
        }
        let request = CodeRequest {
            version_num: demo.head(),
            ..demo.request()
        };
        let fetched = world.fetch(&request).await;
        assert!(!touched.exists(), "{url}: {}", world.console());
        assert!(!world.path("hooks").exists() && !world.environment().join("hooks").exists());
        let code = match fetched {
            Ok(code) => code,
            // libgit2 takes no such name itself.
            Err(SourceError::Git { .. }) if name.contains("..") => continue,
            Err(error) => panic!("{url}: {error}"),
        };
        let hooks = fs::read_dir(code.root.join(".git/hooks")).expect("listed");
        let mut hooks = hooks.map(|hook| hook.expect("an entry").file_name());
        assert!(hooks.all(|hook| hook == "README.sample"), "{name}");
        assert!(!world.environment().join("task_repository/outside").exists());
        let settings = fs::read_to_string(code.root.join(".git/config")).expect("read");
        assert_eq!(settings.matches("[core]").count(), 1, "{settings}");
    }
    // The task itself is its user's.
    let request = CodeRequest {
        repository: command,
        ..CodeRequest::default()
    };
    let _ = world.fetch(&request).await;
    assert!(
        touched.exists(),
        "the settings of git allow nothing: {}",
        world.console()
    );
}

/// E-036: no helper of git's that its settings do not allow, and no option of the programs below it.
#[tokio::test]
async fn no_url_of_a_task_starts_a_program() {
    for world in [World::new(), World::without_git()] {
        let touched = world.path("touched");
        let place = touched.display();
        for url in [
            format!("ext::sh -c touch% {place}"),
            format!("--upload-pack=touch {place}"),
            format!("-oProxyCommand=touch {place}"),
            format!("ssh://-oProxyCommand=touch%20{place}/x"),
            format!("ssh://-oProxyCommand=touch%20{place}@localhost/x"),
            format!("-oProxyCommand=touch {place}:x"),
            format!("user@-oProxyCommand=touch {place}:x"),
            format!("fd::17/{place}"),
            format!("$(touch {place})"),
            format!("`touch {place}`:x"),
            format!("ssh://localhost:1/';touch {place};'"),
        ] {
            let request = CodeRequest {
                repository: url.clone(),
                ..CodeRequest::default()
            };
            let fetched = world.fetch(&request).await;
            assert!(fetched.is_err(), "{url}");
            assert!(!touched.exists(), "{url}: {}", world.console());
        }
    }
}
