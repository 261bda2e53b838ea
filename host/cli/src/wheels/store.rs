//! What was resolved and fetched, in the user's cache: `wheels/resolved` and `wheels/sites`.
//!
//! A folder is made in a room of its own and gets its name when it is complete, so that a run that is
//! killed leaves nothing half done, and of two runs at once one's work is used.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use vtwasm::{Access, Limits, Python, Sandbox};

use super::lock::hex;
use super::requirement::Requirement;
use super::uv::Wanted;

/// A room that is older was left by a run that was killed.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Compiling takes as long as this at most; what is not compiled then is when it is imported.
const COMPILE_LIMIT: Duration = Duration::from_secs(300);

/// The folder of the cache for packages. Only its owner can read or write it.
pub struct Store {
    root: PathBuf,
}

/// How often is looked whether compiling is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// A folder to make something in. It is removed in the end, with all that was not taken out.
struct Room(PathBuf);

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A folder of wheels, which nobody removes as long as this is there: its lock is shared by all who use it.
pub struct Site {
    pub path: PathBuf,
    lock: File,
}

impl Site {
    /// The site at `path`, as one that was used now; none if it is gone.
    pub fn held(path: &Path) -> Option<Site> {
        let lock = File::open(path).ok()?;
        lock.lock_shared().ok()?;
        let (own, there) = (lock.metadata().ok()?, fs::metadata(path).ok()?);
        let _ = lock.set_modified(SystemTime::now());
        (own.ino() == there.ino()).then(|| Site {
            path: path.to_owned(),
            lock,
        })
    }

    /// Its path; it stays as long as this process.
    pub fn keep(self) -> PathBuf {
        std::mem::forget(self.lock);
        self.path
    }
}

/// What the files in a folder have, and in those below.
fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// The error of the cache that people know from the rest of vtwasm, with its hints.
pub fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> anyhow::Error {
    let path = path.to_owned();
    move |source| vtwasm::Error::Cache { action, path, source }.into()
}

impl Store {
    /// The store in the user's cache.
    pub fn open() -> Result<Store> {
        let root = vtwasm::cache_dir()?.join("wheels");
        make_folder(&root)?;
        Ok(Store { root })
    }

    /// Where the tool is kept if vtwasm fetched it.
    pub fn tool(&self) -> PathBuf {
        self.root.join("uv")
    }

    /// Where the answer for these requirements is kept.
    pub fn resolved(&self, requirements: &[Requirement]) -> PathBuf {
        let mut lines: Vec<String> = requirements.iter().map(|it| format!("{it}\n")).collect();
        lines.sort();
        let name = hex(&Sha256::digest(lines.concat()));
        self.root.join("resolved").join(format!("pylock.{name}.toml"))
    }

    /// The folder of the folders of wheels.
    pub fn sites(&self) -> PathBuf {
        self.root.join("sites")
    }

    /// The folder of wheels named `key`, made by `make` if it is not there: it gets an empty folder and
    /// returns the finished one, inside.
    pub fn site(&self, key: &str, make: impl Fn(&Path) -> Result<PathBuf>) -> Result<Site> {
        let path = self.sites().join(key);
        loop {
            self.keep(&path, &make)?;
            // Somebody may have removed it just now, to make room.
            if let Some(site) = Site::held(&path) {
                return Ok(site);
            }
        }
    }

    /// Removes sites that nobody holds, those first that were used longest ago, until all have so many bytes at most.
    /// Returns how many they have then, and how many sites were removed.
    pub fn make_room(&self, most: u64) -> (u64, u64) {
        let entries = fs::read_dir(self.sites()).into_iter().flatten().flatten();
        let about = entries.filter_map(|entry| {
            let used = entry.metadata().and_then(|about| about.modified()).ok()?;
            Some((used, entry.path(), bytes_of(&entry.path())))
        });
        let mut all = about.collect::<Vec<_>>();
        all.sort();
        let mut bytes = all.iter().map(|(.., bytes)| bytes).sum::<u64>();
        let mut removed = 0;
        for (_, path, own) in &all {
            if bytes <= most {
                break;
            }
            if self.remove(path) {
                (bytes, removed) = (bytes - own, removed + 1);
            }
        }
        (bytes, removed)
    }

    /// Removes a site, if nobody holds it.
    fn remove(&self, site: &Path) -> bool {
        let gone = || {
            let lock = File::open(site).ok().filter(|file| file.try_lock().is_ok())?;
            let room = self.room().ok()?;
            fs::rename(site, room.0.join("site")).ok()?;
            Some((lock, room))
        };
        gone().is_some()
    }

    /// A folder whose only file tells Python to take `folders` for site folders as well.
    pub fn path_file<'a>(&self, folders: impl Iterator<Item = &'a Path>) -> Result<Site> {
        let line = |folder: &Path| format!("import site; site.addsitedir({})\n", literal(folder));
        let lines: String = folders.map(line).collect();
        let key = format!("paths-{}", hex(&Sha256::digest(&lines)));
        self.site(&key, |room| {
            let folder = room.join("site");
            let file = folder.join("vtwasm.pth");
            make_folder(&folder)?;
            fs::write(&file, &lines).map_err(cannot("write", &file))?;
            Ok(folder)
        })
    }

    /// The folder at `path`, made by `make` in an empty folder if it is not there.
    pub fn keep(&self, path: &Path, make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
        if path.is_dir() {
            return Ok(path.to_owned());
        }
        make_folder(path.parent().unwrap_or(path))?;
        let room = self.room()?;
        let made = make(&room.0)?;
        match fs::rename(&made, path) {
            // Another run was quicker.
            Err(_) if path.is_dir() => Ok(path.to_owned()),
            Err(error) => Err(cannot("write", path)(error)),
            Ok(()) => Ok(path.to_owned()),
        }
    }

    /// Calls `f` with an empty folder that is gone afterwards.
    pub fn with_room<T>(&self, f: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let room = self.room()?;
        f(&room.0)
    }

    fn room(&self) -> Result<Room> {
        self.clear_rooms();
        for number in 0.. {
            let path = self.root.join(format!("room.{}.{number}", process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Room(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot("make the folder", &path)(error)),
            }
        }
        unreachable!("there are more numbers than folders")
    }

    /// Removes what killed runs left.
    fn clear_rooms(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let room = entry.file_name().to_string_lossy().starts_with("room.");
            let made = entry.metadata().and_then(|data| data.modified());
            let age = made.map(|made| SystemTime::now().duration_since(made).unwrap_or_default());
            if room && age.is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A path as a string in Python's source.
fn literal(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", text.replace('\n', "\\n").replace('\r', "\\r"))
}

fn make_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).map_err(cannot("make the folder", path))
}

/// Writes a file that is there whole or not at all.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_added_extension(format!("{}.tmp", process::id()));
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Compiles the modules in `site` to bytecode, inside a sandbox: a run cannot keep what it compiles,
/// as the folder is read-only, and compiling takes longer than all else in importing. What cannot be
/// compiled is left as it is.
pub fn compile(python: &Python, site: &Path, guest: &str, wanted: Wanted<'_>) -> Result<()> {
    let mut limits = Limits::default();
    limits.wall_time = Some(COMPILE_LIMIT);
    let mut builder = Sandbox::builder(python);
    // The files never change where they are, so that no run need look whether they did.
    builder
        .args(["python3", "-I", "-S", "-m", "compileall", "-qq"])
        .args(["--invalidation-mode", "unchecked-hash", guest])
        .mount(site, guest, Access::ReadWrite)?
        .limits(limits);
    let sandbox = builder
        .build()
        .context("making the sandbox that compiles packages")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = sandbox.handle();
    let unwanted = async {
        while wanted() {
            tokio::time::sleep(LOOK).await;
        }
        handle.kill();
        std::future::pending::<()>().await;
    };
    let compiled = async {
        tokio::select! {
            compiled = sandbox.run() => compiled.map(drop),
            () = unwanted => Ok(()),
        }
    };
    runtime.block_on(compiled).context("compiling packages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_that_was_used_longest_ago_goes_unless_somebody_holds_it() {
        let root = tempfile::tempdir().unwrap();
        let store = Store {
            root: root.path().to_owned(),
        };
        let make = |key: &str| {
            let made = store.site(key, |room| {
                let site = room.join("site");
                make_folder(&site.join("package"))?;
                fs::write(site.join("package/module.py"), [b'#'; 1000])?;
                Ok(site)
            });
            made.unwrap()
        };
        let held = make("a");
        for (age, key) in [(3, "a"), (2, "b"), (1, "c")] {
            let time = SystemTime::now() - Duration::from_secs(age * 60);
            File::open(make(key).path).unwrap().set_modified(time).unwrap();
        }
        let there = || ["a", "b", "c"].map(|key| store.sites().join(key).is_dir());
        assert_eq!(store.make_room(3000), (3000, 0));
        assert_eq!(store.make_room(2500), (2000, 1));
        assert_eq!(there(), [true, false, true]);
        assert_eq!(store.make_room(0), (1000, 1));
        assert_eq!(there(), [true, false, false]);
        drop(held);
        assert_eq!(store.make_room(0), (0, 1));
        // One that is wanted again is made again.
        assert!(make("a").path.join("package/module.py").is_file());
    }
}
