//! Lookup, limits and locks of the cache folder.
//!
//! Compiled under `#[cfg(test)]` only.

use serde_json::json;

use super::super::super::requirements::TaskRequirements;
use super::super::key::KeyInputs;
use super::*;

struct Place {
    folder: tempfile::TempDir,
    cache: Cache,
    cancel: CancellationToken,
}

impl Place {
    fn new(change: impl FnOnce(&mut CacheOptions)) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = CacheOptions {
            path: folder.path().join("cache"),
            free_space_threshold_gb: 0.0,
            ..CacheOptions::default()
        };
        change(&mut options);
        Self {
            cache: Cache::new(&options),
            folder,
            cancel: CancellationToken::new(),
        }
    }

    /// An environment that holds one file with `text`.
    fn environment(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("environment");
        fs::create_dir_all(path.join("task_repository")).expect("folder");
        fs::write(path.join("file"), text).expect("file");
        path
    }

    async fn put(&self, packages: &[&str], text: &str) -> io::Result<CheckIn> {
        let keys: Vec<CacheKey> = packages.iter().map(|name| key(name)).collect();
        self.cache
            .check_in(&keys, &self.environment(text), &self.cancel)
            .await
    }

    async fn take(&self, package: &str) -> Option<String> {
        let target = self.folder.path().join("restored");
        let _ = fs::remove_dir_all(&target);
        let found = self
            .cache
            .check_out(&key(package), &target, &self.cancel)
            .await;
        found.expect("lookup")?;
        assert!(!target.join("task_repository").exists());
        Some(fs::read_to_string(target.join("file")).expect("restored"))
    }
}

fn key(package: &str) -> CacheKey {
    let inputs = KeyInputs {
        docker_cmd: String::new(),
        cuda_version: "0".into(),
        interpreter: "python3".into(),
        is_conda: false,
    };
    CacheKey::new(
        &inputs,
        &TaskRequirements::from_value(&json!({"pip": package})),
    )
    .expect("a key")
}

/// E-242, E-245: both keys find the entry, and a new key for a known entry only renames it.
#[tokio::test]
async fn an_entry_is_found_by_each_of_its_keys() {
    let place = Place::new(|_| {});
    assert_eq!(place.take("a").await, None);
    assert_eq!(
        place.put(&["a", "b"], "first").await.expect("kept"),
        CheckIn::Kept
    );
    assert_eq!(
        place.put(&["b", "c"], "second").await.expect("kept"),
        CheckIn::Kept
    );
    for package in ["a", "b", "c"] {
        assert_eq!(place.take(package).await.as_deref(), Some("first"));
    }
    assert_eq!(place.take("d").await, None);
    let names: Vec<_> = place.cache.entries().expect("entries");
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].name.split('.').count(), 3);
}

/// E-247: the newest stay; taking an entry makes it new.
#[tokio::test]
async fn the_oldest_entries_make_room() {
    let place = Place::new(|options| options.max_entries = 2);
    for (age, package) in [(200, "a"), (100, "b")] {
        place.put(&[package], package).await.expect("kept");
        let name = key(package).to_string();
        let then = SystemTime::now() - Duration::from_secs(age);
        let entry = File::open(place.cache.path().join(name)).expect("entry");
        entry
            .set_times(FileTimes::new().set_modified(then))
            .expect("times");
    }
    assert!(place.take("a").await.is_some());
    place.put(&["c"], "c").await.expect("kept");
    assert_eq!(place.take("b").await, None);
    assert!(place.take("a").await.is_some() && place.take("c").await.is_some());
}

/// E-247
#[tokio::test]
async fn a_full_disk_takes_no_entry() {
    let place = Place::new(|options| options.free_space_threshold_gb = 1e9);
    let kept = place.put(&["a"], "a").await.expect("looked");
    assert!(matches!(kept, CheckIn::NoRoom(text) if text.contains("threshold 1000000000.0 GB")));
    assert_eq!(place.take("a").await, None);
}

/// E-249
#[tokio::test]
async fn half_made_entries_are_invisible_and_removed_after_a_day() {
    let place = Place::new(|_| {});
    let name = key("a").to_string();
    let old = place.cache.path().join(format!("_temp.1.{name}"));
    let fresh = place.cache.path().join("_temp.2.x");
    fs::create_dir_all(&old).expect("folder");
    fs::create_dir_all(&fresh).expect("folder");
    let then = SystemTime::now() - Duration::from_hours(25);
    File::open(&old)
        .expect("folder")
        .set_times(FileTimes::new().set_modified(then))
        .expect("times");
    assert_eq!(place.take("a").await, None);
    place.put(&["b"], "b").await.expect("kept");
    assert!(!old.exists() && fresh.exists());
}

/// E-243: a lock that is not given back is a miss after the time limit.
#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_no_longer_than_configured() {
    let place = Place::new(|_| {});
    fs::create_dir_all(place.cache.path()).expect("folder");
    let held = place
        .cache
        .lock(Lock::Exclusive, &place.cancel)
        .await
        .expect("lock");
    let started = tokio::time::Instant::now();
    let error = place.put(&["a"], "a").await.expect_err("locked");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_secs(30));
    drop(held);
}
