//! Where the bytes of tenants' files are: in a folder or a bucket, each under a name that is given once. Whose they are,
//! and what they are called, the database knows (`store/files.rs`).
//!
//! In the folder, `kept` has the files, if no bucket has them; `rooms` has a room for each process, with what it is
//! receiving and with the folders of jobs that run. A room is locked by its process, so that another finds those that
//! were left.

use crate::bucket::{Bucket, BucketAddress};
use crate::error::{Error, Result};
use crate::id;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A file that a job leaves is so deep at most, with its name.
const LONGEST_PATH: usize = 1024;
/// Bytes that are read at once.
const PIECE: usize = 128 << 10;
/// For a file to come from a bucket.
const LONGEST_FETCH: Duration = Duration::from_secs(1800);

/// Tenants' files. Clones share everything.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Kept,
    room: PathBuf,
    /// Held as long as the room is in use.
    lock: (File, PathBuf),
    /// Folders of jobs that have left nothing, for others: to make and remove one takes as long as a short job.
    spare: Mutex<Vec<Spare>>,
}

#[derive(Debug)]
enum Kept {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// What a job is given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Where it finds it, below a folder.
    pub(crate) path: String,
    pub(crate) place: String,
    pub(crate) hash: String,
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
        let kept = folder.join("kept");
        let made = make_folder(&kept).and_then(|()| make(folder, Kept::Folder(kept)));
        let inner = made.map_err(failed(|| format!("keep files in {}", folder.display())))?;
        Ok(Files(Arc::new(inner)))
    }

    /// In this bucket; `folder` has them while jobs use them. Processes on one database share the bucket.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Storage`] if the bucket does not take files, [`Error::Invalid`] for what is none.
    pub async fn in_bucket(address: &BucketAddress, folder: &Path) -> Result<Files> {
        let bucket = Bucket::open(address).await?;
        let made = make(folder, Kept::Bucket(bucket));
        let inner = made.map_err(failed(|| format!("use files in {}", folder.display())))?;
        Ok(Files(Arc::new(inner)))
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
        let to = match &self.0.kept {
            Kept::Bucket(bucket) => return bucket.put(&received.own.0, place).await,
            Kept::Folder(kept) => kept.join(place),
        };
        let kept = on_disk(move || {
            let folder = to.parent().expect("a place is in a folder");
            make_folder(folder)?;
            fs::rename(&received.own.0, &to)?;
            File::open(folder)?.sync_all()
        });
        kept.await.map_err(failed(|| "keep a file".into()))
    }

    /// What is at a place, piece by piece; not to its end, if its SHA-256 is another.
    pub(crate) async fn open(
        &self,
        place: &str,
        hash: &str,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>> {
        let pieces = match &self.0.kept {
            Kept::Bucket(bucket) => bucket.get(place).await?,
            Kept::Folder(kept) => {
                let file = tokio::fs::File::open(kept.join(place)).await;
                let file = file.map_err(failed(|| format!("open the file {place}")))?;
                stream::try_unfold(file, async |mut file| {
                    let mut piece = Vec::with_capacity(PIECE);
                    let read = file.read_buf(&mut piece).await?;
                    Ok((read > 0).then_some((piece.into(), file)))
                })
                .boxed()
            }
        };
        Ok(checked(pieces, place.to_owned(), hash.to_owned()))
    }

    /// Forgets what is at a place, if anything is.
    pub(crate) async fn remove(&self, place: &str) -> Result<()> {
        let at = match &self.0.kept {
            Kept::Bucket(bucket) => return bucket.remove(place).await,
            Kept::Folder(kept) => kept.join(place),
        };
        let removed = on_disk(move || match fs::remove_file(at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.await.map_err(failed(|| "remove a file".into()))
    }

    /// Shows these files in `folder`, without copying what is on this machine. Nobody may write there.
    pub(crate) async fn show(&self, folder: &Path, files: Vec<Given>) -> Result<()> {
        let kept = match &self.0.kept {
            Kept::Folder(kept) => kept.clone(),
            Kept::Bucket(_) => return self.fetch(folder, &files).await,
        };
        let folder = folder.to_owned();
        let shown = on_disk(move || {
            fs::create_dir(&folder)?;
            for file in files {
                let path = folder.join(file.path);
                fs::create_dir_all(path.parent().unwrap_or(&folder))?;
                fs::hard_link(kept.join(file.place), path)?;
            }
            Ok(())
        });
        shown.await.map_err(failed(|| "give the job its files".into()))
    }

    async fn fetch(&self, folder: &Path, files: &[Given]) -> Result<()> {
        let written = failed(|| "give the job its files".into());
        let made = tokio::fs::create_dir(folder).await;
        made.map_err(written)?;
        for given in files {
            let path = folder.join(&given.path);
            let fetched = timeout(LONGEST_FETCH, self.fetch_one(&path, given)).await;
            fetched.unwrap_or_else(|_| {
                Err(Error::Storage {
                    action: "read a file".into(),
                    source: io::ErrorKind::TimedOut.into(),
                })
            })?;
        }
        Ok(())
    }

    async fn fetch_one(&self, path: &Path, given: &Given) -> Result<()> {
        let mut pieces = self.open(&given.place, &given.hash).await?;
        let disk = || failed(|| "give the job its files".into());
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(disk())?;
        }
        let mut file = tokio::fs::File::create_new(path).await.map_err(disk())?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|source| Error::Storage {
                action: "read a file".into(),
                source,
            })?;
            file.write_all(&piece).await.map_err(disk())?;
        }
        file.flush().await.map_err(disk())
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

/// The pieces, of which the last comes only if all of them are what they are to be.
fn checked(
    pieces: BoxStream<'static, io::Result<Bytes>>,
    place: String,
    hash: String,
) -> BoxStream<'static, io::Result<Bytes>> {
    let begin = (pieces.fuse(), Sha256::new(), None::<Bytes>);
    let checked = stream::try_unfold(begin, move |(mut pieces, mut sum, mut held)| {
        let (place, hash) = (place.clone(), hash.clone());
        async move {
            while let Some(piece) = pieces.try_next().await? {
                sum.update(&piece);
                if let Some(before) = held.replace(piece) {
                    return Ok(Some((before, (pieces, sum, held))));
                }
            }
            if id::hex(&sum.clone().finalize()) != hash {
                tracing::error!(place, hash, "a file is damaged: its content has another hash");
                let damaged = "the file is damaged: its content has another hash";
                return Err(io::Error::new(io::ErrorKind::InvalidData, damaged));
            }
            Ok(held.take().map(|last| (last, (pieces, sum, None))))
        }
    });
    checked.boxed()
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

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn make(folder: &Path, kept: Kept) -> io::Result<Inner> {
    let rooms = folder.join("rooms");
    make_folder(&rooms)?;
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
