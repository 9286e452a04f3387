//! One table of diffs for both ways of applying them.
//!
//! Compiled under `#[cfg(test)]` only.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::source::tests::world::{World, git, git_text, read};
use crate::source::{CodeRequest, SourceError};

/// Files of a folder with their modes, symbolic links by their targets.
fn tree(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("listed") {
            let path = entry.expect("an entry").path();
            let name = path
                .strip_prefix(folder)
                .expect("below")
                .to_string_lossy()
                .into_owned();
            let data = path.symlink_metadata().expect("there");
            if name == ".git" {
            } else if data.is_dir() {
                open.push(path);
            } else if data.is_symlink() {
                let target = fs::read_link(&path)
                    .expect("a link")
                    .into_os_string()
                    .into_encoded_bytes();
                found.insert(name, (0o120_000, target));
            } else {
                found.insert(
                    name,
                    (
                        data.permissions().mode() & 0o111,
                        fs::read(&path).expect("read"),
                    ),
                );
            }
        }
    }
    found
}

const BASE: [(&str, &str); 6] = [
    ("train.py", "a\nb\nc\nd\ne\nf\ng\n"),
    ("no-newline.txt", "one\ntwo"),
    ("crlf.txt", "one\r\ntwo\r\nthree\r\n"),
    ("old name.txt", "line 1\nline 2\nline 3\nline 4\n"),
    ("run.sh", "echo\n"),
    ("\u{e4}\u{f6}.txt", "umlaut\n"),
];

type Change = (&'static str, fn(&Path));

/// What somebody did to the files before git made the diff.
fn changes() -> Vec<Change> {
    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    vec![
        ("text", |root| {
            write(root, "train.py", b"a\nB\nc\nd\ne\nf\ng\nh\n");
        }),
        ("two hunks", |root| {
            write(root, "train.py", b"0\na\nb\nc\nd\ne\nf\nG\n");
        }),
        ("all lines", |root| write(root, "train.py", b"x\n")),
        ("emptied", |root| write(root, "train.py", b"")),
        ("new file", |root| write(root, "new/deep.py", b"print(1)\n")),
        ("new empty file", |root| write(root, "pkg/__init__.py", b"")),
        ("new file without newline", |root| {
            write(root, "new.py", b"print(1)");
        }),
        ("deleted", |root| {
            fs::remove_file(root.join("train.py")).expect("removed");
        }),
        ("renamed", |root| {
            fs::rename(root.join("old name.txt"), root.join("new name.txt")).expect("renamed");
        }),
        ("renamed and changed", |root| {
            fs::remove_file(root.join("old name.txt")).expect("removed");
            write(
                root,
                "sub/new name.txt",
                b"line 1\nline 2\nline three\nline 4\n",
            );
        }),
        ("mode", |root| {
            fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755))
                .expect("allowed");
        }),
        ("mode and text", |root| {
            write(root, "run.sh", b"echo 1\n");
            fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755))
                .expect("allowed");
        }),
        ("newline added", |root| {
            write(root, "no-newline.txt", b"one\ntwo\n");
        }),
        ("newline removed", |root| {
            write(root, "train.py", b"a\nb\nc\nd\ne\nf\ng");
        }),
        ("no newline kept", |root| {
            write(root, "no-newline.txt", b"ONE\ntwo");
        }),
        ("crlf", |root| {
            write(root, "crlf.txt", b"one\r\n2\r\nthree\r\n");
        }),
        ("crlf to lf", |root| {
            write(root, "crlf.txt", b"one\ntwo\nthree\n");
        }),
        ("lf to crlf", |root| {
            write(root, "train.py", b"a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\n");
        }),
        ("umlaut", |root| {
            write(root, "\u{e4}\u{f6}.txt", "\u{fc}\n".as_bytes());
        }),
        ("binary", |root| {
            write(root, "data.bin", &[0, 159, 146, 150, 0, 1, 2, 3]);
        }),
        ("binary changed", |root| {
            write(root, "train.py", &[0, 1, 2, 255, 254]);
        }),
        ("link", |root| {
            std::os::unix::fs::symlink("train.py", root.join("link")).expect("linked");
        }),
        ("blank lines at the end", |root| {
            write(root, "train.py", b"a\nb\nc\nd\ne\nf\n\n\n");
        }),
        ("many", |root| {
            write(root, "train.py", b"a\n");
            write(root, "x.py", b"x\n");
            fs::remove_file(root.join("run.sh")).expect("removed");
        }),
    ]
}

/// Who applies a diff.
#[derive(Clone, Copy, Debug)]
enum Way {
    Program,
    Library,
}

impl Way {
    fn of(self, world: &mut World) -> &World {
        let path = match self {
            Self::Program => std::env::var("PATH").expect("a path"),
            Self::Library => "/nowhere".to_owned(),
        };
        world.options.environment.insert("PATH".to_owned(), path);
        world
    }
}

const WAYS: [&[&str]; 3] = [&[], &["-U0"], &["--no-renames"]];

/// E-075 to E-077: both ways give the very files of which the diff was made.
#[tokio::test]
async fn both_ways_give_the_same_files() {
    let mut wrong = Vec::new();
    for (name, change) in changes() {
        for options in WAYS {
            let mut maker = World::new();
            let remote = maker.remote("demo", &BASE);
            change(&remote.path);
            let wanted = tree(&remote.path);
            git(&remote.path, &["add", "--all"]);
            let diff = git_text(
                &remote.path,
                &[&["diff", "--cached", "--binary", "-M"], options].concat(),
            );
            assert!(!diff.is_empty(), "{name}");
            let request = CodeRequest {
                version_num: remote.head(),
                ..remote.request()
            };
            // Line feeds at the end get lost on the way to the server.
            for diff in [diff.as_str(), diff.trim_end_matches('\n')] {
                for way in [Way::Program, Way::Library] {
                    let request = CodeRequest {
                        diff: diff.to_owned(),
                        ..request.clone()
                    };
                    let fault = match way.of(&mut maker).fetch(&request).await {
                        Ok(code) if tree(&code.root) == wanted => continue,
                        Ok(code) => format!("{:?}", tree(&code.root)),
                        Err(error) => error.to_string(),
                    };
                    wrong.push(format!("{way:?} {name} {options:?}: {fault}\n{diff}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What does not fit, and why.
fn misfits() -> Vec<(&'static str, String)> {
    let patch = |path: &str, body: &str| {
        format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{body}")
    };
    let good = patch("run.sh", "@@ -1 +1 @@\n-echo\n+changed\n");
    vec![
        ("other text", patch("train.py", "@@ -1,2 +1,2 @@\n-X\n+Y\n b\n")),
        ("second file does not fit", good.clone() + &patch("train.py", "@@ -1 +1 @@\n-X\n+Y\n")),
        ("missing file", good.clone() + &patch("nosuch.py", "@@ -1 +1 @@\n-X\n+Y\n")),
        ("outside", good.clone() + &patch("../x.py", "@@ -0,0 +1 @@\n+Y\n")),
        ("inside .git", good.clone() + &patch(".git/x.py", "@@ -0,0 +1 @@\n+Y\n")),
        (
            "new file is there already",
            good.clone()
                + "diff --git a/train.py b/train.py\nnew file mode 100644\n--- /dev/null\n+++ b/train.py\n@@ -0,0 +1 @@\n+Y\n",
        ),
        ("corrupt", good.clone() + "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1,9 +1,9 @@\n a\n"),
        (
            "binary without data",
            good.clone()
                + "diff --git a/train.py b/train.py\nindex 1234567..89abcde 100644\nBinary files a/train.py and b/train.py differ\n",
        ),
        (
            "submodule",
            "Submodule sub 1234567..89abcde:\ndiff --git a/sub/x b/sub/x\n--- a/sub/x\n+++ b/sub/x\n@@ -1 +1 @@\n-a\n+b\n".to_owned(),
        ),
        (
            "through a link",
            "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+/tmp\n\\ No newline at end of file\n\
             diff --git a/link/x b/link/x\nnew file mode 100644\n--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n"
                .to_owned(),
        ),
    ]
}

/// E-077, E-078, E-079: nothing is applied in part, and nothing stray is left.
#[tokio::test]
async fn what_does_not_fit_is_refused_whole() {
    for (name, diff) in misfits() {
        for (way, world) in [("git", World::new()), ("libgit2", World::without_git())] {
            let remote = world.remote("demo", &BASE);
            let request = CodeRequest {
                diff: diff.clone(),
                ..remote.request()
            };
            let Err(error) = world.fetch(&request).await else {
                panic!("{way}: {name} was applied")
            };
            let SourceError::DiffDoesNotApply {
                diff: kept,
                missing,
                ..
            } = &error
            else {
                panic!("{way} {name}: {error:?}");
            };
            assert_eq!(kept, &diff);
            let root = world.environment().join("task_repository/demo");
            assert_eq!(tree(&root), tree(&remote.path), "{way} {name}");
            assert!(!world.environment().join("task_repository/x.py").exists());
            assert_eq!(
                missing.contains(&"nosuch.py".to_owned()),
                name == "missing file",
                "{way} {name}"
            );
            let console = world.console();
            assert!(console.contains("\nFailed applying diff\n"), "{console}");
            assert_eq!(
                console.contains("NOTE: files were not found"),
                !missing.is_empty()
            );
            assert!(!error.is_repository_failure());
            assert_eq!(
                error.console_text(&request, ""),
                format!(
                    "Failed applying git diff:\n{diff}\n\nERROR! Failed applying git diff, see diff above.\n"
                )
            );
        }
    }
}

/// E-075: a file that was announced with `git add --intent-to-add` by an old git.
#[tokio::test]
async fn a_file_that_was_empty_is_created() {
    let diff = "diff --git a/sub/n.py b/sub/n.py\nindex e69de29..d00491f 100644\n--- a/sub/n.py\n+++ b/sub/n.py\n@@ -0,0 +1 @@\n+1";
    for world in [World::new(), World::without_git()] {
        let remote = world.remote("demo", &BASE);
        let request = CodeRequest {
            diff: diff.to_owned(),
            ..remote.request()
        };
        let code = world
            .fetch(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read(&code.root.join("sub/n.py")), "1\n");
    }
}

/// E-067: the git program finds hunks that have moved.
#[tokio::test]
async fn a_hunk_that_has_moved_is_found() {
    let world = World::new();
    let remote = world.remote("demo", &BASE);
    let diff = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n c\n-d\n+D\n e\n";
    let request = CodeRequest {
        diff: diff.to_owned(),
        ..remote.request()
    };
    let code = world.fetch(&request).await.expect("applied");
    assert_eq!(read(&code.root.join("train.py")), "a\nb\nc\nD\ne\nf\ng\n");
}
