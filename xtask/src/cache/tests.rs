use std::cell::Cell;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::*;

fn key(text: &str) -> Key {
    KeyBuilder::new("test").text("content", text).finish()
}

/// An empty cache, and how often `build` was called in it.
struct Fixture {
    cache: Cache,
    builds: Cell<u32>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::at(directory.path().join("cache"));
        Self {
            cache,
            builds: Cell::new(0),
            _directory: directory,
        }
    }

    fn ensure(&self, key: &Key) -> Result<PathBuf> {
        self.ensure_by(key, |directory| Ok(fs::write(directory.join("file"), "content")?))
    }

    fn ensure_by(&self, key: &Key, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let progress = Progress::silent();
        let lock = BuildLock::take(&self.cache, &progress)?;
        self.cache.ensure(&lock, "stage", key, &progress, |directory| {
            self.builds.set(self.builds.get() + 1);
            build(directory)
        })
    }
}

#[test]
fn a_finished_entry_is_not_built_again() {
    let fixture = Fixture::new();
    let first = fixture.ensure(&key("a")).expect("it builds");
    assert_eq!(fixture.ensure(&key("a")).expect("it is there"), first);
    assert_eq!(fixture.builds.get(), 1);
}

#[test]
fn another_key_is_another_entry() {
    let fixture = Fixture::new();
    let first = fixture.ensure(&key("a")).expect("it builds");
    let second = fixture.ensure(&key("b")).expect("it builds");
    assert_ne!(first, second);
    assert!(first.join("file").exists(), "the first one stays");
}

#[test]
fn a_failed_build_leaves_no_entry() {
    let fixture = Fixture::new();
    let failed = fixture.ensure_by(&key("a"), |directory| {
        fs::write(directory.join("file"), "half")?;
        bail!("out of luck")
    });
    assert!(format!("{:#}", failed.expect_err("it failed")).contains("out of luck"));
    assert_eq!(fixture.cache.find("stage", &key("a")), None);
    fixture.ensure(&key("a")).expect("the next one builds");
}

#[test]
fn what_a_killed_build_left_is_swept_away() {
    let fixture = Fixture::new();
    let partial = fixture.cache.path("stage", &key("a")).with_extension("partial");
    fs::create_dir_all(&partial).expect("the cache can be written");
    fs::write(partial.join("stale"), "").expect("the cache can be written");
    let entry = fixture.ensure(&key("a")).expect("it builds");
    assert!(!entry.join("stale").exists());
    assert!(!partial.exists());
}

/// Names the cache in which the test below, run as a process of its own, is to build for ever.
const KILLED_BUILDER: &str = "VTWASM_TEST_KILLED_BUILDER";

#[test]
fn a_builder_that_is_killed_leaves_neither_its_lock_nor_an_entry() {
    if let Some(root) = std::env::var_os(KILLED_BUILDER) {
        build_for_ever(&Cache::at(root.into()));
    }
    let fixture = Fixture::new();
    let mut builder = std::process::Command::new(std::env::current_exe().expect("a test is a program"))
        .args([
            "--exact",
            "cache::tests::a_builder_that_is_killed_leaves_neither_its_lock_nor_an_entry",
        ])
        .env(KILLED_BUILDER, fixture.cache.root())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let partial = fixture.cache.path("stage", &key("a")).with_extension("partial");
    while !partial.join("half").exists() {
        assert!(
            builder.try_wait().expect("it is a child").is_none(),
            "it ended by itself"
        );
        std::thread::yield_now();
    }
    builder.kill().expect("it runs");
    builder.wait().expect("it is a child");
    assert!(partial.join("half").exists(), "it could not clean up");
    assert_eq!(fixture.cache.find("stage", &key("a")), None);
    let entry = fixture.ensure(&key("a")).expect("the next one builds");
    assert!(!entry.join("half").exists() && !partial.exists());
}

fn build_for_ever(cache: &Cache) {
    let progress = Progress::silent();
    let lock = BuildLock::take(cache, &progress).expect("the lock is free");
    let _ = cache.ensure(&lock, "stage", &key("a"), &progress, |directory| {
        fs::write(directory.join("half"), "a part of it")?;
        loop {
            std::thread::park();
        }
    });
}

#[test]
fn an_entry_with_a_shortened_file_is_built_again() {
    let fixture = Fixture::new();
    let entry = fixture.ensure(&key("a")).expect("it builds");
    fs::write(entry.join("file"), "cont").expect("the entry can be written");
    assert_eq!(fixture.cache.find("stage", &key("a")), None);
    fixture.ensure(&key("a")).expect("it builds again");
    assert_eq!(fixture.builds.get(), 2);
    assert_eq!(
        fs::read_to_string(entry.join("file")).expect("the file is back"),
        "content"
    );
}

#[test]
fn an_entry_without_a_manifest_is_built_again() {
    let fixture = Fixture::new();
    let entry = fixture.ensure(&key("a")).expect("it builds");
    fs::remove_file(entry.join("manifest.json")).expect("the entry can be written");
    fixture.ensure(&key("a")).expect("it builds again");
    assert_eq!(fixture.builds.get(), 2);
}

#[test]
fn verify_finds_a_changed_file_of_the_same_size() {
    let fixture = Fixture::new();
    let whole = fixture.ensure(&key("a")).expect("it builds");
    let damaged = fixture.ensure(&key("b")).expect("it builds");
    fs::write(damaged.join("file"), "CONTENT").expect("the entry can be written");
    assert!(
        fixture.cache.find("stage", &key("b")).is_some(),
        "a glance does not see it"
    );
    let lock = BuildLock::take(&fixture.cache, &Progress::silent()).expect("the lock is free");
    let checked = fixture
        .cache
        .verify(&lock, &["stage", "never built"])
        .expect("it can be read");
    assert_eq!(checked, (1, vec![damaged.clone()]));
    assert!(whole.exists() && !damaged.exists());
}

#[test]
fn of_two_builds_at_once_one_builds_and_the_other_finds() {
    let fixture = Fixture::new();
    let (cache, progress) = (&fixture.cache, Progress::silent());
    let builds = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let lock = BuildLock::take(cache, &progress).expect("the lock comes free");
                let built = cache.ensure(&lock, "stage", &key("a"), &progress, |directory| {
                    builds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    std::thread::yield_now();
                    Ok(fs::write(directory.join("file"), "content")?)
                });
                built.expect("it builds");
            });
        }
    });
    assert_eq!(builds.into_inner(), 1);
}

#[test]
fn the_manifest_keeps_what_the_builder_says() {
    let fixture = Fixture::new();
    let entry = fixture
        .ensure_by(&key("a"), |directory| {
            Ok(fs::write(directory.join(Manifest::ABOUT), r#"{"version": "1"}"#)?)
        })
        .expect("it builds");
    assert_eq!(Manifest::read(&entry).expect("it is there").about["version"], "1");
    assert!(!entry.join(Manifest::ABOUT).exists());
}

#[test]
fn keys_tell_inputs_apart_that_look_alike_when_joined() {
    let split = KeyBuilder::new("s").text("a", "bc").text("d", "").finish();
    assert_ne!(split, KeyBuilder::new("s").text("ab", "c").text("d", "").finish());
    assert_ne!(split, KeyBuilder::new("s").text("a", "bcd").finish());
}
