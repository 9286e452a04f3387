//! Entries that an official agent has left: lookup, copy and lock.
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
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let options = CacheOptions {
            path: folder.path().join("cache"),
            ..CacheOptions::default()
        };
        fs::create_dir(&options.path).expect("folder");
        Self {
            cache: Cache::new(&options),
            folder,
            cancel: CancellationToken::new(),
        }
    }

    /// An entry as the official agent makes it, which holds one file with `text`.
    fn add(&self, name: &str, text: &str) -> PathBuf {
        let entry = self.cache.path().join(name);
        fs::create_dir_all(entry.join("task_repository")).expect("folder");
        fs::write(entry.join("file"), text).expect("file");
        entry
    }

    async fn take(&self, package: &str) -> io::Result<Option<String>> {
        let target = self.folder.path().join("restored");
        let _ = fs::remove_dir_all(&target);
        let found = self
            .cache
            .check_out(&key(package), &target, &self.cancel)
            .await?;
        assert!(!target.join("task_repository").exists());
        Ok(found.map(|_| fs::read_to_string(target.join("file")).expect("restored")))
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

/// E-242, E-243: each of its keys finds an entry, which is new then; a half-made one is found by none.
#[tokio::test]
async fn an_entry_of_the_official_agent_is_found_by_each_of_its_keys() {
    let place = Place::new();
    assert!(!place.cache.has_entries());
    let entry = place.add(&format!("{}.{}", key("a"), key("b")), "first");
    place.add(&format!("_temp.1.{}", key("c")), "half");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let times = FileTimes::new().set_modified(then);
    File::open(&entry).unwrap().set_times(times).expect("times");
    assert!(place.cache.has_entries());
    for package in ["a", "b"] {
        let text = place.take(package).await.expect("looked");
        assert_eq!(text.as_deref(), Some("first"));
    }
    assert_eq!(place.take("c").await.expect("looked"), None);
    assert!(fs::metadata(&entry).unwrap().modified().expect("time") > then);
}

/// E-243: a lock that is not given back is a miss after the time limit.
#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_no_longer_than_configured() {
    let place = Place::new();
    place.add(&key("a").to_string(), "a");
    let held = File::create(place.cache.path().join(LOCK_FILE)).expect("file");
    held.lock().expect("lock");
    let started = tokio::time::Instant::now();
    let error = place.take("a").await.expect_err("locked");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_secs(30));
}
