//! Where the bytes of tenants' files are: in a folder, each under a name that is given once. Whose they are, and what
//! they are called, the database knows (`store/files.rs`).
//!
//! In the folder, `kept` has the files; `rooms` has a room for each process, with what it is receiving and with the
//! folders of jobs that run. A room is locked by its process, so that another finds those that were left.

use crate::error::{Error, Result};
use crate::id;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

/// A file that a job leaves is so deep at most, with its name.
const LONGEST_PATH: usize = 1024;

/// A folder of files. Clones share everything.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: PathBuf,
    room: PathBuf,
    /// Held as long as the room is in use.
    lock: (File, PathBuf),
    /// Folders of jobs that have left nothing, for others: to make and remove one takes as long as a short job.
    spare: Mutex<Vec<Spare>>,
}

/// A job's folder with an empty one for what it leaves, and how long that was when it was made.
#[derive(Debug)]
struct Spare {
    path: PathBuf,
    length: u64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.room);
        let _ = fs::remove_file(&self.lock.1);
    }
}

impl Files {
    /// In this folder, which is made if it is not there. Processes on one database share one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn in_folder(folder: &Path) -> Result<Files> {
        let made = make(folder);
        let inner = made.map_err(failed(|| format!("keep files in {}", folder.display())))?;
        Ok(Files(Arc::new(inner)))
    }

    fn at(&self, place: &str) -> PathBuf {
        self.0.kept.join(place)
    }

    /// Somewhere to put bytes that come.
    pub(crate) async fn receive(&self) -> Result<Receiving> {
        let own = Own(self.0.room.join(id::new("file")));
        let file = tokio::fs::File::create_new(&own.0).await;
        Ok(Receiving {
            file: file.map_err(failed(|| "make a file".into()))?,
            own,
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Gives what was received its place, for good.
    pub(crate) async fn keep(&self, received: Received, place: &str) -> Result<()> {
        let to = self.at(place);
        let kept = on_disk(move || {
            let folder = to.parent().expect("a place is in a folder");
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            fs::rename(&received.own.0, &to)?;
            File::open(folder)?.sync_all()
        });
        kept.await.map_err(failed(|| "keep a file".into()))
    }

    /// What is at a place, to be read.
    pub(crate) async fn open(&self, place: &str) -> Result<tokio::fs::File> {
        let opened = tokio::fs::File::open(self.at(place)).await;
        opened.map_err(failed(|| format!("open the file {place}")))
    }

    /// Forgets what is at a place, if anything is.
    pub(crate) async fn remove(&self, place: &str) -> Result<()> {
        let at = self.at(place);
        let removed = on_disk(move || match fs::remove_file(at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.await.map_err(failed(|| "remove a file".into()))
    }

    /// Shows what is at these places in `folder`, under these paths, without copying it. Nobody may write there.
    pub(crate) async fn show(&self, folder: &Path, files: Vec<(String, String)>) -> Result<()> {
        let folder = folder.to_owned();
        let files = files
            .into_iter()
            .map(|(path, place)| (folder.join(path), self.at(&place)));
        let files = files.collect::<Vec<_>>();
        let shown = on_disk(move || {
            fs::create_dir(&folder)?;
            for (path, kept) in files {
                fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                fs::hard_link(kept, path)?;
            }
            Ok(())
        });
        shown.await.map_err(failed(|| "give the job its files".into()))
    }

    /// A folder for a job, with nothing in it.
    pub(crate) fn room(&self) -> Result<Room> {
        let spare = self.0.spare.lock().expect("no code panics with the lock").pop();
        let spare = match spare {
            Some(spare) => spare,
            None => {
                let made = Spare::new(self.0.room.join(id::new("job")));
                made.map_err(failed(|| "make a folder for the job".into()))?
            }
        };
        Ok(Room {
            spare,
            is_given: false,
            files: self.clone(),
        })
    }
}

/// Bytes on their way, at the end of which they have a name.
pub(crate) struct Receiving {
    file: tokio::fs::File,
    own: Own,
    hash: Sha256,
    pub(crate) bytes: u64,
}

impl Receiving {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let written = self.file.write_all(bytes).await;
        written.map_err(failed(|| "write a file".into()))
    }

    /// They are on the disk then.
    pub(crate) async fn finish(mut self) -> Result<Received> {
        let synced = async {
            self.file.flush().await?;
            self.file.set_permissions(Permissions::from_mode(0o400)).await?;
            self.file.sync_all().await
        };
        synced.await.map_err(failed(|| "write a file".into()))?;
        Ok(Received {
            own: self.own,
            hash: id::hex(&self.hash.finalize()),
            bytes: self.bytes,
        })
    }
}

/// Bytes that are whole, and still nobody's.
pub(crate) struct Received {
    own: Own,
    /// Their SHA-256.
    pub(crate) hash: String,
    pub(crate) bytes: u64,
}

/// A file that goes, unless it was moved.
struct Own(PathBuf);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Spare {
    fn new(path: PathBuf) -> io::Result<Spare> {
        fs::create_dir(&path)?;
        let output = path.join("output");
        fs::create_dir(&output)?;
        let length = fs::metadata(&output)?.len();
        Ok(Spare { path, length })
    }

    /// Whether it is as when it was new, its times too: nobody is told anything of the job before.
    fn is_clean(&self) -> bool {
        let output = self.path.join("output");
        let clean = || {
            let is_empty = fs::read_dir(&output)?.next().is_none();
            let folder = File::open(&output)?;
            let times = FileTimes::new().set_accessed(UNIX_EPOCH).set_modified(UNIX_EPOCH);
            folder.set_times(times)?;
            Ok::<_, io::Error>(is_empty && folder.metadata()?.len() == self.length)
        };
        clean().unwrap_or(false)
    }
}

/// A folder of a job that runs; it goes with this.
pub(crate) struct Room {
    spare: Spare,
    is_given: bool,
    files: Files,
}

impl Room {
    /// Where something is given to the job.
    pub(crate) fn folder(&mut self, name: &str) -> PathBuf {
        self.is_given = true;
        self.spare.path.join(name)
    }

    /// What it leaves.
    pub(crate) fn output(&self) -> PathBuf {
        self.spare.path.join("output")
    }

    /// The files that the job has left, with their paths: regular ones only, for a link may lead anywhere.
    ///
    /// # Errors
    /// In words for the tenant, if there are more, or more bytes, than it may leave.
    pub(crate) async fn left(&self, most: usize, most_bytes: u64) -> Result<Vec<(String, Received)>, String> {
        let output = self.output();
        // Most jobs leave nothing.
        if fs::read_dir(&output).is_ok_and(|mut entries| entries.next().is_none()) {
            return Ok(Vec::new());
        }
        let left = spawn_blocking(move || {
            let found = find(&output, most, most_bytes)?;
            let read = |path: String| {
                let received = read(output.join(&path));
                let received =
                    received.map_err(|error| format!("the file {path} cannot be read: {error}"))?;
                Ok((path, received))
            };
            found.into_iter().map(read).collect()
        });
        left.await
            .unwrap_or_else(|_| Err("reading its files panicked".into()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.spare.path);
        let spare = Spare { path, ..self.spare };
        if !self.is_given && spare.is_clean() {
            let mut all = self.files.0.spare.lock().expect("no code panics with the lock");
            return all.push(spare);
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove(&spare.path))),
            Err(_) => remove(&spare.path),
        }
    }
}

/// The regular files below `folder`, by their paths.
fn find(folder: &Path, most: usize, most_bytes: u64) -> Result<Vec<String>, String> {
    let (mut folders, mut found, mut bytes) = (vec![String::new()], Vec::new(), 0_u64);
    while let Some(inner) = folders.pop() {
        let words = |error: io::Error| format!("the folder {inner:?} cannot be read: {error}");
        for entry in fs::read_dir(folder.join(&inner)).map_err(words)? {
            let entry = entry.map_err(words)?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| format!("the file name {name:?} is no UTF-8"))?;
            let path = if inner.is_empty() {
                name
            } else {
                format!("{inner}/{name}")
            };
            if path.len() > LONGEST_PATH {
                return Err(format!(
                    "a path has more than {LONGEST_PATH} bytes: {}…",
                    path.chars().take(80).collect::<String>()
                ));
            }
            let about = entry.metadata().map_err(words)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() {
                // A file may be longer than what was written to it.
                bytes = bytes.saturating_add(about.len());
                found.push(path);
            }
            if found.len() > most || bytes > most_bytes {
                return Err(format!("it left more than {most} files or {most_bytes} bytes"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A file where it is, as if it had been received.
fn read(path: PathBuf) -> io::Result<Received> {
    let mut file = File::open(&path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    file.set_permissions(Permissions::from_mode(0o400))?;
    file.sync_all()?;
    Ok(Received {
        own: Own(path),
        hash: id::hex(&hash.finalize()),
        bytes,
    })
}

/// Removes a folder that may be deeper than any path is long: what is in its folders is moved up first.
fn remove(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    let mut moved = 0_u64;
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = fs::remove_file(entry.path());
                continue;
            }
            moved += 1;
            let up = folder.with_extension(moved.to_string());
            if fs::rename(entry.path(), &up).is_ok() {
                folders.push(up);
            }
        }
        let _ = fs::remove_dir(&inner);
    }
}

fn make(folder: &Path) -> io::Result<Inner> {
    let (kept, rooms) = (folder.join("kept"), folder.join("rooms"));
    for folder in [&kept, &rooms] {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    remove_abandoned(&rooms)?;
    loop {
        let room = rooms.join(id::new("process"));
        let name = room.with_extension("lock");
        let lock = File::create_new(&name)?;
        // Somebody may have taken it for one that was left.
        if lock.try_lock().is_ok() && lock.metadata()?.nlink() > 0 {
            DirBuilder::new().mode(0o700).create(&room)?;
            return Ok(Inner {
                kept,
                room,
                lock: (lock, name),
                spare: Mutex::default(),
            });
        }
    }
}

/// Rooms whose processes have ended without a word.
fn remove_abandoned(rooms: &Path) -> io::Result<()> {
    for entry in fs::read_dir(rooms)?.flatten() {
        let name = entry.path();
        if name.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(lock) = File::open(&name) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let room = name.with_extension("");
            for entry in fs::read_dir(&room).into_iter().flatten().flatten() {
                remove(&entry.path());
                let _ = fs::remove_file(entry.path());
            }
            let _ = fs::remove_dir(&room);
            let _ = fs::remove_file(&name);
        }
    }
    Ok(())
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn failed(action: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        action: action(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_is_found_whatever_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path()).unwrap();
        let room = files.room().unwrap();
        let output = room.output();
        assert!(room.left(1, 1).await.unwrap().is_empty());
        fs::create_dir_all(output.join("a/b")).unwrap();
        fs::write(output.join("a/b/x"), "tea").unwrap();
        fs::write(output.join("y"), "").unwrap();
        std::os::unix::fs::symlink("/etc", output.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", output.join("passwd")).unwrap();
        for (most, most_bytes) in [(1, 100), (2, 2)] {
            let error = room.left(most, most_bytes).await.err().unwrap();
            assert!(error.starts_with("it left more than"), "{error}");
        }
        let left = room.left(2, 3).await.unwrap();
        let left = left.iter().map(|(path, file)| (path.as_str(), file.bytes));
        assert_eq!(left.collect::<Vec<_>>(), [("a/b/x", 3), ("y", 0)]);
    }

    #[test]
    fn a_folder_in_which_nothing_is_left_is_the_next_job_s_and_tells_it_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path()).unwrap();
        let room = files.room().unwrap();
        let first = room.output();
        fs::write(first.join("x"), "").unwrap();
        fs::remove_file(first.join("x")).unwrap();
        drop(room);
        let mut room = files.room().unwrap();
        assert_eq!(room.output(), first);
        assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), UNIX_EPOCH);
        let given = room.folder("input");
        fs::create_dir(&given).unwrap();
        drop(room);
        let room = files.room().unwrap();
        assert_ne!(room.output(), first);
        assert!(!given.exists());
        // A folder that has been large tells of it.
        for n in 0..3000 {
            fs::write(room.output().join(n.to_string()), "").unwrap();
        }
        for n in 0..3000 {
            fs::remove_file(room.output().join(n.to_string())).unwrap();
        }
        let large = room.output();
        let has_grown = fs::metadata(&large).unwrap().len() != room.spare.length;
        drop(room);
        assert_eq!(files.room().unwrap().output() != large, has_grown);
    }

    #[test]
    fn a_folder_goes_however_deep_it_is_and_those_of_a_process_that_was_killed_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path()).unwrap();
        let room = files.room().unwrap();
        let deep = room.output();
        // Longer together than a path may be.
        let name = "d".repeat(200);
        for _ in 0..50 {
            fs::create_dir(deep.join("new")).unwrap();
            if deep.join(&name).exists() {
                fs::rename(deep.join(&name), deep.join("new").join(&name)).unwrap();
            }
            fs::rename(deep.join("new"), deep.join(&name)).unwrap();
        }
        let rooms = folder.path().join("rooms");
        let entries = || fs::read_dir(&rooms).unwrap().count();
        drop(room);
        assert_eq!(fs::read_dir(&files.0.room).unwrap().count(), 0);
        // As one leaves it that has no time to.
        fs::create_dir_all(rooms.join("process_1/job_1/output/x")).unwrap();
        fs::write(rooms.join("process_1/job_1/output/x/y"), "").unwrap();
        fs::write(rooms.join("process_1.lock"), "").unwrap();
        let other = Files::in_folder(folder.path()).unwrap();
        assert_eq!(entries(), 4, "a room and a lock for each of the two");
        drop((files, other));
        assert_eq!(entries(), 0);
    }
}
