//! Submodules and files of Git LFS.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fs;
use std::path::Path;

use super::git_server::{GitServer, Served};
use super::world::{Remote, World, git, read};
use crate::secrets::SecretString;
use crate::source::{CodeRequest, HostCredentials};

/// Adds the repository at `url` as a submodule, and commits.
fn add_submodule(remote: &Remote, url: &str, path: &str) {
    git(&remote.path, &["submodule", "--quiet", "add", url, path]);
    git(&remote.path, &["commit", "--quiet", "-m", "submodule"]);
}

/// `demo` has `libs/sub`, which has `deep`; each has moved on since it was recorded.
fn nested(world: &World) -> Remote {
    let deep = world.remote("deep", &[("d.txt", "deep\n")]);
    let sub = world.remote("sub", &[("s.txt", "recorded\n")]);
    add_submodule(&sub, "../deep", "deep");
    let demo = world.remote("demo", &[("train.py", "1\n")]);
    add_submodule(&demo, "../sub", "libs/sub");
    deep.commit("later", &[("d.txt", "later\n")]);
    fs::write(sub.path.join("s.txt"), "later\n").expect("written");
    git(&sub.path, &["commit", "--quiet", "-am", "later"]);
    demo
}

fn request(url: String, commit: String) -> CodeRequest {
    CodeRequest {
        repository: url,
        version_num: commit,
        entry_point: "train.py".to_owned(),
        ..CodeRequest::default()
    }
}

/// E-066, E-070: at their recorded commits, with theirs, by relative URLs; and without a network once they are there.
#[tokio::test]
async fn submodules_come_from_mirrors_of_their_own() {
    for world in [World::new(), World::without_git()] {
        let demo = nested(&world);
        let server = Served::new(world.folder.path()).start();
        let request = request(server.url("127.0.0.1", "demo"), demo.head());
        let code = world.fetch(&request).await.expect("fetched");
        let check = |root: &Path| {
            assert_eq!(read(&root.join("libs/sub/s.txt")), "recorded\n");
            assert_eq!(read(&root.join("libs/sub/deep/d.txt")), "deep\n");
            assert_eq!(git(root, &["status", "--porcelain"]), "");
            let status = git(root, &["submodule", "status", "--recursive"]);
            assert!(status.lines().all(|line| line.starts_with(' ')), "{status}");
        };
        check(&code.root);
        assert!(!world.console().contains("WARNING"), "{}", world.console());
        let mirrors = fs::read_dir(world.options.cache_folder.join("mirrors")).expect("listed");
        let folders = mirrors.filter(|entry| entry.as_ref().expect("an entry").path().is_dir());
        assert_eq!(folders.count(), 3);
        let asked = server.requests().len();
        let code = world.fetch(&request).await.expect("fetched again");
        check(&code.root);
        assert_eq!(server.requests().len(), asked, "nobody was asked");
    }
}

/// E-048, E-052: the password in a task's URL is for the submodules on that server as well.
#[tokio::test]
async fn a_submodule_of_the_same_server_gets_the_password_of_the_url() {
    let world = World::without_git();
    let demo = nested(&world);
    let server = GitServer::start(world.folder.path(), "me", "embedded-secret");
    let plain = server.url("127.0.0.1", "demo");
    let url = plain.replace("http://", "http://me:embedded-secret@");
    let code = world
        .fetch(&request(url, demo.head()))
        .await
        .expect("fetched");
    assert_eq!(read(&code.root.join("libs/sub/s.txt")), "recorded\n");
    assert!(!read(&code.root.join(".git/config")).contains("embedded"));
}

/// E-047, E-052: a submodule on another server gets the pair that is configured for it, and no other.
#[tokio::test]
async fn a_submodule_of_another_server_gets_its_own_password() {
    let mut world = World::without_git();
    let sub = world.remote("sub", &[("s.txt", "recorded\n")]);
    let theirs = GitServer::start(world.folder.path(), "eve", "eves-password");
    let demo = world.remote("demo", &[("train.py", "1\n")]);
    add_submodule(&demo, &sub.path.to_string_lossy(), "sub");
    let url = theirs.url("localhost", "sub");
    git(
        &demo.path,
        &["config", "-f", ".gitmodules", "submodule.sub.url", &url],
    );
    git(&demo.path, &["commit", "--quiet", "-am", "elsewhere"]);
    let ours = GitServer::start(world.folder.path(), "me", "my-own-password");
    let pair = |host: &str, user: &str, password: &str| HostCredentials {
        user: user.to_owned(),
        password: Some(SecretString::new(password)),
        host: Some(host.to_owned()),
        label: None,
    };
    world.options.rules.credentials.global = pair("127.0.0.1", "me", "my-own-password");
    let request = request(ours.url("127.0.0.1", "demo"), demo.head());
    world.fetch(&request).await.expect("the task goes on");
    assert_eq!(theirs.authorizations(), Vec::<String>::new());
    let warning =
        "WARNING: updating the submodule `sub` failed: could not fetch `http://localhost:";
    assert!(world.console().contains(warning), "{}", world.console());
    world.options.rules.credentials.extra = vec![pair("localhost", "eve", "eves-password")];
    let code = world.fetch(&request).await.expect("fetched");
    assert_eq!(read(&code.root.join("sub/s.txt")), "recorded\n");
    let seen = theirs.authorizations();
    assert!(!seen.is_empty() && seen.iter().all(|pair| pair == "eve:eves-password"));
}

/// E-070: a submodule that cannot be had is a warning with its reason, and the others come.
#[tokio::test]
async fn a_missing_submodule_is_a_warning() {
    for world in [World::new(), World::without_git()] {
        let gone = world.remote("gone", &[("g.txt", "g\n")]);
        let sub = world.remote("sub", &[("s.txt", "s\n")]);
        let demo = world.remote("demo", &[("train.py", "1\n")]);
        add_submodule(&demo, &gone.path.to_string_lossy(), "gone");
        add_submodule(&demo, &sub.path.to_string_lossy(), "sub");
        fs::remove_dir_all(&gone.path).expect("removed");
        let code = world.fetch(&demo.request()).await.expect("fetched");
        assert_eq!(read(&code.root.join("sub/s.txt")), "s\n");
        let warning = "WARNING: updating the submodule `gone` failed: could not fetch `";
        assert!(world.console().contains(warning), "{}", world.console());
    }
}

/// A repository of a server cannot make the agent read those of the machine.
#[tokio::test]
async fn a_server_s_repository_names_none_of_this_machine() {
    let world = World::without_git();
    let private = world.remote("private", &[("p.txt", "p\n")]);
    let demo = world.remote("demo", &[("train.py", "1\n")]);
    add_submodule(&demo, &private.path.to_string_lossy(), "sub");
    let server = Served::new(world.folder.path()).start();
    let request = request(server.url("127.0.0.1", "demo"), demo.head());
    let code = world.fetch(&request).await.expect("the task goes on");
    assert!(!code.root.join("sub/p.txt").exists());
    assert!(
        world.console().contains("cannot name"),
        "{}",
        world.console()
    );
}

/// A repository with a file in LFS whose attributes are in a folder of their own, by the real `git-lfs`.
fn with_large_file(world: &World) -> (Remote, CodeRequest) {
    assert!(
        std::process::Command::new("git-lfs")
            .arg("version")
            .output()
            .is_ok(),
        "git-lfs is missing: apt-get install git-lfs"
    );
    let remote = world.remote("demo", &[("train.py", "1\n")]);
    git(&remote.path, &["lfs", "install", "--local"]);
    let data = remote.path.join("data");
    fs::create_dir_all(&data).expect("made");
    fs::write(
        data.join(".gitattributes"),
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    )
    .expect("written");
    fs::write(data.join("model.bin"), "weights of a model\n").expect("written");
    git(&remote.path, &["add", "."]);
    git(&remote.path, &["commit", "--quiet", "-m", "large"]);
    let request = CodeRequest {
        version_num: git(&remote.path, &["rev-parse", "HEAD"]),
        repository: format!("file://{}", remote.path.display()),
        ..remote.request()
    };
    (remote, request)
}

/// E-070: files of LFS come by git-lfs, also where nobody has set its filters up, and once for all checkouts.
#[tokio::test]
async fn large_files_come_by_git_lfs() {
    let world = World::new();
    let (remote, request) = with_large_file(&world);
    let code = world.fetch(&request).await;
    let code = code.unwrap_or_else(|error| panic!("{error}: {}", world.console()));
    let file = |root: &Path| read(&root.join("data/model.bin"));
    assert_eq!(file(&code.root), "weights of a model\n");
    assert!(!world.console().contains("WARNING"), "{}", world.console());
    fs::rename(&remote.path, world.path("moved")).expect("moved");
    let code = world.fetch(&request).await.expect("fetched again");
    assert_eq!(file(&code.root), "weights of a model\n");
}

/// E-070: where git-lfs is missing, one line says so before the script meets a pointer.
#[tokio::test]
async fn a_missing_git_lfs_is_named() {
    let mut world = World::new();
    let (_, request) = with_large_file(&world);
    let only_git = world.path("only-git");
    fs::create_dir_all(&only_git).expect("made");
    let real = std::env::split_paths(&std::env::var_os("PATH").expect("PATH is set"))
        .map(|folder| folder.join("git"))
        .find(|git| git.is_file())
        .expect("git is installed");
    std::os::unix::fs::symlink(real, only_git.join("git")).expect("linked");
    for path in [
        only_git.to_string_lossy().into_owned(),
        "/nowhere".to_owned(),
    ] {
        world.options.environment.insert("PATH".to_owned(), path);
        let code = world.fetch(&request).await;
        let code = code.unwrap_or_else(|error| panic!("{error}: {}", world.console()));
        assert!(read(&code.root.join("data/model.bin")).starts_with("version https://git-lfs"));
        let line = "WARNING: 1 files of the repository are in Git LFS and need the \"git-lfs\" executable, which cannot be \
                    found; there are pointers in their place, such as `data/model.bin`\nhint: you can install it by running: \
                    sudo apt-get install git-lfs\n";
        assert!(world.console().contains(line), "{}", world.console());
        world.clear_console();
    }
}
