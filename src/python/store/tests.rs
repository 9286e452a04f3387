//! The store on a real file system: what is shared, what is found out, what goes.
//!
//! Compiled under `#[cfg(test)]` only.

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::entry::{Entry, lease_of};
use super::folders::{entries, list};
use super::key::StoreInputs;
use super::manifest::hash;
use super::prune::free_space_gb;
use super::*;
use crate::python::options::StoreOptions;
use crate::storage::{FileLock, LockKind};

const CODE: &str = "lib/python3.11/site-packages/demo/code.py";
const DATA: &str = "lib/python3.11/site-packages/demo/data.json";

struct Place {
    folder: tempfile::TempDir,
    store: Store,
    cancel: CancellationToken,
}

impl Place {
    fn new(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = StoreOptions {
            path: folder.path().join("store"),
            free_space_threshold_gb: 0.0,
            ..StoreOptions::default()
        };
        change(&mut options);
        Self {
            store: Store::new(&options),
            folder,
            cancel: CancellationToken::new(),
        }
    }

    /// An environment with one package, as pip installs it.
    fn environment(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let package = path.join("lib/python3.11/site-packages/demo");
        let description = path.join("lib/python3.11/site-packages/demo-1.dist-info");
        for folder in [
            &package,
            &description,
            &path.join("bin"),
            &path.join("code"),
        ] {
            fs::create_dir_all(folder).expect("folder");
        }
        fs::write(path.join(CODE), format!("NAME = '{name:>9}'")).expect("file");
        fs::write(path.join(DATA), "{}").expect("file");
        fs::write(path.join("bin/tool"), "#!/bin/sh").expect("file");
        let mut record = String::new();
        for file in ["demo/code.py", "demo/data.json"] {
            let path = path.join("lib/python3.11/site-packages").join(file);
            let size = fs::metadata(&path).expect("there").len();
            let hash = hash(&path).expect("read");
            writeln!(record, "{file},sha256={hash},{size}").expect("written");
        }
        fs::write(description.join("RECORD"), record).expect("file");
        path
    }

    async fn put(&self, packages: &[&str], environment: &Path) -> io::Result<CheckIn> {
        let new = NewEntry {
            kind: EntryKind::Environment,
            inputs: packages.iter().map(|name| inputs(name)).collect(),
            frozen: None,
            environment: environment.to_owned(),
            limit: None,
            taken: None,
        };
        self.store.check_in(new, &self.cancel).await
    }

    /// Keeps an environment of its own for each package.
    async fn put_each(&self, packages: &[&str]) {
        for (age, package) in packages.iter().rev().enumerate() {
            let environment = self.environment(package);
            let kept = self.put(&[package], &environment).await.expect("kept");
            assert_eq!(kept, CheckIn::Kept(Vec::new()));
            self.make_old(package, Duration::from_secs(100 * (1 + age as u64)));
        }
    }

    fn make_old(&self, package: &str, age: Duration) {
        let lease = File::open(lease_of(&self.entry(package).folder)).expect("entry");
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        lease.set_times(times).expect("times");
    }

    fn entry(&self, package: &str) -> Entry {
        let found = self.store.find(&inputs(package).key()).expect("looked");
        found.expect("an entry")
    }

    fn has(&self, package: &str) -> bool {
        let found = self.store.find(&inputs(package).key()).expect("looked");
        found.is_some()
    }

    async fn take(&self, package: &str, name: &str) -> (PathBuf, CheckOut) {
        let target = self.folder.path().join(name);
        let taken = self
            .store
            .check_out(&inputs(package).key(), None, &target, &self.cancel)
            .await;
        (target, taken.expect("looked"))
    }

    /// A second environment from the entry of the first; both are there.
    async fn two_environments(&self) -> (PathBuf, PathBuf) {
        let first = self.environment("first");
        self.put(&["a"], &first).await.expect("kept");
        let (second, taken) = self.take("a", "second").await;
        assert!(matches!(taken, CheckOut::Taken { .. }), "{taken:?}");
        (first, second)
    }
}

fn inputs(package: &str) -> StoreInputs {
    StoreInputs::new(EntryKind::Environment, Vec::new(), [package])
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("there").ino()
}

/// Overwrites one byte in place, without another size.
fn change_one_byte(path: &Path) {
    let mut file = File::options().write(true).open(path).expect("opened");
    file.write_all(b"X").expect("written");
}

/// E-242, E-245: each of its keys finds an entry, and a new key for a known environment makes no second entry.
#[tokio::test]
async fn an_entry_is_found_by_each_of_its_keys() {
    let place = Place::new(|_| {});
    let environment = place.environment("one");
    place.put(&["a", "b"], &environment).await.expect("kept");
    place.put(&["b", "c"], &environment).await.expect("kept");
    for package in ["a", "b", "c"] {
        let (target, taken) = place.take(package, package).await;
        assert!(matches!(taken, CheckOut::Taken { .. }), "{package}");
        assert!(target.join(CODE).exists() && !target.join("code").exists());
    }
    assert!(matches!(place.take("d", "d").await.1, CheckOut::Missing));
    assert_eq!(list(place.store.path()).expect("listed").len(), 1);
}

/// Code is one file for all; what is edited is everybody's own. A restored environment is no second copy.
#[tokio::test]
async fn code_is_shared_and_what_is_edited_is_copied() {
    let place = Place::new(|_| {});
    let (first, second) = place.two_environments().await;
    for own in ["bin/tool", DATA] {
        assert_ne!(inode(&first.join(own)), inode(&second.join(own)), "{own}");
    }
    // Where the file system shares contents, no file is shared.
    let records = place.entry("a").manifest().expect("read").files;
    let is_shared = records.iter().any(|file| file.sha256.is_some());
    let same = inode(&first.join(CODE)) == inode(&second.join(CODE));
    assert_eq!(same, is_shared);
    let modified = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(modified(first.join(DATA)), modified(second.join(DATA)));
}

/// A task that changes one byte of a shared file in place: the entry is given up with one line, and made anew.
#[tokio::test]
async fn one_changed_byte_is_found_at_the_next_check_out() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    change_one_byte(&tree(&place, &second));
    let (third, taken) = place.take("a", "third").await;
    let CheckOut::Changed(text) = taken else {
        panic!("{taken:?}");
    };
    assert!(
        text.ends_with(&format!("is not used any more: {CODE} was modified")),
        "{text}"
    );
    assert!(!third.exists() && !place.has("a"));
    place
        .put(&["a"], &place.environment("new"))
        .await
        .expect("kept");
    assert!(matches!(
        place.take("a", "fourth").await.1,
        CheckOut::Taken { .. }
    ));
    // The changed one was removed with what is left over.
    assert_eq!(
        fs::read_dir(place.store.path().join("entries"))
            .unwrap()
            .count(),
        1
    );
}

/// The same at a check-in for the same packages.
#[tokio::test]
async fn one_changed_byte_is_found_at_the_next_check_in() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    change_one_byte(&tree(&place, &second));
    let kept = place
        .put(&["a"], &place.environment("new"))
        .await
        .expect("kept");
    assert!(
        matches!(&kept, CheckIn::Kept(notices) if notices.len() == 1),
        "{kept:?}"
    );
    assert!(matches!(
        place.take("a", "third").await.1,
        CheckOut::Taken { .. }
    ));
}

/// What the check-out of the same run has compared is not compared once more.
#[tokio::test]
async fn an_environment_from_the_entry_itself_is_not_compared_again() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    change_one_byte(&tree(&place, &second));
    let new = NewEntry {
        kind: EntryKind::Environment,
        inputs: vec![inputs("a"), inputs("b")],
        frozen: None,
        environment: second,
        limit: None,
        taken: Some(place.entry("a").folder),
    };
    let kept = place.store.check_in(new, &place.cancel).await;
    assert_eq!(kept.expect("kept"), CheckIn::Kept(Vec::new()));
    assert!(place.has("b"));
}

/// One byte changed by a program that sets the time of modification back: the content is compared.
#[tokio::test]
async fn one_changed_byte_is_found_behind_an_old_time() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    let file = tree(&place, &second);
    wait_for_later_clock(&place);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    change_one_byte(&file);
    let times = FileTimes::new().set_modified(modified);
    File::open(&file).unwrap().set_times(times).expect("times");
    let (_, taken) = place.take("a", "third").await;
    let is_shared = file.starts_with(&second);
    let expected = format!("{CODE} has another content");
    match taken {
        CheckOut::Changed(text) => assert!(text.ends_with(&expected), "{text}"),
        // Without a shared file nobody can reach the store's.
        other => assert!(!is_shared, "{other:?}"),
    }
}

/// The same where the environment has been removed since, which touches the file as well.
#[tokio::test]
async fn a_change_does_not_hide_behind_the_removal_of_its_environment() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    let file = tree(&place, &second);
    let is_shared = file.starts_with(&second);
    wait_for_later_clock(&place);
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    change_one_byte(&file);
    let times = FileTimes::new().set_modified(modified);
    File::open(&file).unwrap().set_times(times).expect("times");
    remove_environment(&second).expect("removed");
    let (_, taken) = place.take("a", "third").await;
    assert!(
        !is_shared || !matches!(taken, CheckOut::Taken { .. }),
        "{taken:?}"
    );
}

/// The file of the store that a task can reach: through its own environment where files are shared.
fn tree(place: &Place, environment: &Path) -> PathBuf {
    let records = place.entry("a").manifest().expect("read").files;
    if records.iter().any(|file| file.sha256.is_some()) {
        environment.join(CODE)
    } else {
        place.entry("a").folder.join("tree").join(CODE)
    }
}

/// E-119: an environment of the same entry is turned back into what it was; what is the entry's own is not touched.
#[tokio::test]
async fn an_environment_of_the_same_entry_is_turned_back() {
    let place = Place::new(|_| {});
    let (_, second) = place.two_environments().await;
    let more = "lib/python3.11/site-packages/more";
    fs::create_dir_all(second.join(more)).expect("folder");
    fs::create_dir_all(second.join("task_repository/x")).expect("folder");
    fs::write(second.join(more).join("x.py"), "left").expect("file");
    fs::write(second.join(DATA), "[]").expect("file");
    fs::remove_file(second.join("bin/tool")).expect("removed");
    let before = fs::metadata(second.join(CODE)).unwrap();
    let (same, taken) = place.take("a", "second").await;
    assert!(matches!(taken, CheckOut::Taken { .. }), "{taken:?}");
    assert!(!same.join(more).exists() && !same.join("task_repository").exists());
    assert_eq!(fs::read_to_string(same.join(DATA)).unwrap(), "{}");
    assert!(same.join("bin/tool").exists());
    let after = fs::metadata(same.join(CODE)).unwrap();
    let times = [&before, &after].map(super::manifest::ctime);
    let is_shared = tree(&place, &second).starts_with(&second);
    assert_eq!(
        before.ino() == after.ino() && times[0] == times[1],
        is_shared
    );

    // A file that was put in the place of a shared one goes too.
    fs::remove_file(second.join(CODE)).expect("removed");
    fs::write(second.join(CODE), "other").expect("file");
    place.take("a", "second").await;
    let code = fs::read_to_string(second.join(CODE)).unwrap();
    assert!(code.starts_with("NAME = "), "{code}");

    // The environment of another entry makes way.
    place
        .put(&["b"], &place.environment("other"))
        .await
        .expect("kept");
    let (same, _) = place.take("b", "second").await;
    assert!(
        fs::read_to_string(same.join(CODE))
            .unwrap()
            .contains("other")
    );
}

/// The clock of a file system may stand still for some milliseconds.
fn wait_for_later_clock(place: &Place) {
    let own = super::times::OwnTimes::read(&place.entry("a").folder);
    let file = place.folder.path().join("clock");
    loop {
        fs::write(&file, "x").expect("written");
        if !own.contain(super::manifest::ctime(&fs::metadata(&file).unwrap())) {
            return;
        }
    }
}

/// Links that come and go change the inode's time, and are no change of the file: not those of this agent, which are not
/// even read again, and not those that somebody else removes.
#[tokio::test]
async fn links_that_come_and_go_are_no_change() {
    let place = Place::new(|_| {});
    let (first, second) = place.two_environments().await;
    remove_environment(&second).expect("removed");
    let own = super::times::OwnTimes::read(&place.entry("a").folder);
    let file = fs::metadata(place.entry("a").folder.join("tree").join(CODE)).unwrap();
    assert!(own.contain(super::manifest::ctime(&file)));
    remove_environment(&first).expect("removed");
    let file = fs::metadata(place.entry("a").folder.join("tree").join(CODE)).unwrap();
    let own = super::times::OwnTimes::read(&place.entry("a").folder);
    assert!(own.contain(super::manifest::ctime(&file)));
    let (second, _) = place.take("a", "second").await;
    fs::remove_dir_all(second).expect("removed by somebody else");
    for name in ["third", "fourth"] {
        let taken = place.take("a", name).await.1;
        assert!(matches!(taken, CheckOut::Taken { .. }), "{taken:?}");
    }
}

/// E-247: those that were used last stay; taking one is using it; one that is being read stays in any case.
#[tokio::test]
async fn the_oldest_entries_make_room() {
    let place = Place::new(|options| options.max_entries = 3);
    place.put_each(&["a", "b", "c"]).await;
    let (_, taken) = place.take("a", "taken").await;
    assert!(matches!(taken, CheckOut::Taken { .. }));
    let lease = place.entry("b").lease(LockKind::Shared).expect("locked");
    place
        .put(&["d"], &place.environment("d"))
        .await
        .expect("kept");
    for (package, stays) in [("a", true), ("b", true), ("c", true), ("d", true)] {
        assert_eq!(place.has(package), stays, "{package}");
    }
    drop(lease);
    place
        .put(&["e"], &place.environment("e"))
        .await
        .expect("kept");
    for (package, stays) in [("a", true), ("b", false), ("c", false), ("e", true)] {
        assert_eq!(place.has(package), stays, "{package}");
    }
}

/// E-247
#[tokio::test]
async fn a_full_disk_takes_no_entry() {
    let place = Place::new(|options| options.free_space_threshold_gb = 1e9);
    let kept = place
        .put(&["a"], &place.environment("a"))
        .await
        .expect("looked");
    assert!(matches!(kept, CheckIn::NoRoom(text) if text.contains("threshold 1000000000.0 GB")));
    let place = Place::new(|options| options.max_size_gb = 1e-9);
    let kept = place
        .put(&["a"], &place.environment("a"))
        .await
        .expect("looked");
    assert!(matches!(kept, CheckIn::NoRoom(text) if text.contains("agent.store.max_size_gb")));
    assert!(!place.has("a"));
    let temporary = fs::read_dir(place.store.path().join("temporary")).unwrap();
    assert_eq!(temporary.count(), 0);
}

/// E-249: half-made entries are invisible, and go when their maker is gone.
#[tokio::test]
async fn half_made_entries_are_invisible_and_go_with_their_maker() {
    let place = Place::new(|_| {});
    place
        .put(&["a"], &place.environment("a"))
        .await
        .expect("kept");
    let finished = place.entry("a").folder;
    let temporary = place.store.path().join("temporary");
    let (dead, alive) = (temporary.join("dead"), temporary.join("alive"));
    fs::rename(&finished, &dead).expect("moved");
    fs::create_dir(&alive).expect("folder");
    let lease = FileLock::try_acquire(&lease_of(&alive), LockKind::Exclusive).expect("locked");
    assert!(!place.has("a"));
    place
        .put(&["b"], &place.environment("b"))
        .await
        .expect("kept");
    assert!(!dead.exists() && alive.exists());
    drop(lease);
    place
        .put(&["c"], &place.environment("c"))
        .await
        .expect("kept");
    assert!(!alive.exists());
}

/// E-243, E-250: a store that somebody keeps locked is given up after the time limit.
#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_no_longer_than_configured() {
    let place = Place::new(|_| {});
    let held = place.store.lock(&place.cancel).await.expect("lock");
    let started = tokio::time::Instant::now();
    let error = place.put(&["a"], &place.environment("a")).await;
    assert_eq!(error.expect_err("locked").kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_secs(30));
    drop(held);
}

/// An entry that is older than its limit is no hit, and is replaced.
#[tokio::test]
async fn an_entry_that_is_too_old_is_replaced() {
    let place = Place::new(|_| {});
    let mut new = NewEntry {
        kind: EntryKind::Base,
        inputs: vec![inputs("a")],
        frozen: None,
        environment: place.environment("a"),
        limit: Some(Duration::from_hours(1)),
        taken: None,
    };
    place
        .store
        .check_in(new.clone(), &place.cancel)
        .await
        .expect("kept");
    let mut old = place.entry("a");
    old.description.created -= 3700;
    old.write().expect("written");
    let (key, limit) = (inputs("a").key(), new.limit);
    let target = place.folder.path().join("target");
    let found = place
        .store
        .check_out(&key, limit, &target, &place.cancel)
        .await;
    assert!(matches!(found.expect("looked"), CheckOut::Missing));
    new.environment = place.environment("b");
    place
        .store
        .check_in(new, &place.cancel)
        .await
        .expect("kept");
    let found = place
        .store
        .check_out(&key, limit, &target, &place.cancel)
        .await;
    assert!(matches!(found.expect("looked"), CheckOut::Taken { .. }));
    assert_eq!(entries(place.store.path()).expect("listed").len(), 1);
}

/// What a person lets go, and what the limits of the settings do.
#[tokio::test]
async fn pruning_removes_what_was_not_used_and_nothing_that_is_read() {
    let place = Place::new(|_| {});
    place.put_each(&["a", "b", "c"]).await;
    let options = &place.store.options;
    let limits = PruneLimits {
        unused_for: Some(Duration::from_secs(150)),
        ..PruneLimits::default()
    };
    let dry = prune(options, limits, true).await.expect("looked");
    assert_eq!(dry.removed.len(), 2);
    assert!(place.has("a"));
    let lease = place.entry("a").lease(LockKind::Shared).expect("locked");
    let pruned = prune(options, limits, false).await.expect("pruned");
    assert_eq!((pruned.removed.len(), pruned.in_use.len()), (1, 1));
    assert!(place.has("a") && !place.has("b") && place.has("c"));
    drop(lease);
    let limits = PruneLimits {
        max_bytes: Some(place.entry("c").description.bytes),
        ..PruneLimits::default()
    };
    prune(options, limits, false).await.expect("pruned");
    assert!(!place.has("a") && place.has("c"));
    let nothing = prune(options, PruneLimits::default(), false)
        .await
        .expect("pruned");
    assert!(nothing.removed.is_empty());
    let limits = PruneLimits {
        all: true,
        ..PruneLimits::default()
    };
    prune(options, limits, false).await.expect("pruned");
    assert!(!place.has("c"));
}

/// E-247: without a wish of its own, pruning looks at the free space as well; the oldest go first.
#[tokio::test]
async fn pruning_makes_the_free_space_that_the_settings_want() {
    let mut place = Place::new(|_| {});
    place.put_each(&["a", "b", "c"]).await;
    let free = free_space_gb(place.store.path()).expect("known");
    place.store.options.free_space_threshold_gb = free / 2.0;
    let pruned = prune(&place.store.options, PruneLimits::default(), true).await;
    assert!(pruned.expect("looked").removed.is_empty());
    place.store.options.free_space_threshold_gb = free * 2.0;
    let options = &place.store.options;
    let pruned = prune(options, PruneLimits::default(), true).await;
    let removed = pruned.expect("looked").removed;
    assert_eq!(removed.len(), 3, "dry");
    assert_eq!(removed[0].path, place.entry("a").folder, "the oldest first");
    let limits = PruneLimits {
        unused_for: Some(Duration::from_hours(1)),
        ..PruneLimits::default()
    };
    let pruned = prune(options, limits, false).await.expect("pruned");
    assert!(pruned.removed.is_empty(), "another limit was chosen");
    let pruned = prune(options, PruneLimits::default(), false).await;
    assert_eq!(pruned.expect("pruned").removed.len(), 3);
    assert!(!place.has("a") && !place.has("c"));
}

/// What keeps an entry from being the one is told, input by input.
#[tokio::test]
async fn a_miss_is_explained_by_the_nearest_entry() {
    let place = Place::new(|_| {});
    place.put_each(&["a==1", "other==3"]).await;
    let mut wanted = inputs("a==2");
    let store = place.store.path();
    let explained = inputs("a==1").explain(store).expect("looked");
    assert_eq!(explained.entry, Some(place.entry("a==1").folder));
    wanted.machine.push(Input::new("cuda", "128"));
    let explained = wanted.explain(store).expect("looked");
    assert_eq!(explained.entry, None);
    let differences = explained.nearest.expect("there are entries").differences;
    let difference = |name: &str, entry: &[&str], wanted: &[&str]| Difference {
        name: name.into(),
        entry: entry.iter().map(ToString::to_string).collect(),
        wanted: wanted.iter().map(ToString::to_string).collect(),
    };
    assert!(differences.contains(&difference("cuda", &[], &["128"])));
    let packages = differences.iter().find(|one| one.name == "package");
    let packages = packages.expect("the packages differ");
    assert_eq!(packages.wanted, ["a==2"]);
}
