//! Snapshots that users make: an interpreter in which code of theirs has run, and its file.
//!
//! # The file
//! [`MAGIC`], the format's version (u32), the length of the rest (u64) and its SHA-256; then the key of the
//! artifact, the folders that the code had, the memory's size, and its pages that are not zero, in runs.
//! Numbers are little-endian. The checksum finds accidents; it cannot tell who made a file. Whoever did
//! decides what runs in the sandboxes that start from it, and nothing beyond: all in it is guest memory.
//!
//! The memory of a file that was read and checked is kept in the user's cache, and mapped from there as long as
//! nobody writes to the file: reading and checking it takes longer than a whole run.

use crate::cache;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::memory::{Image, PAGE, RESERVATION, memory_file};
use crate::python::Python;
use crate::sandbox::{Builder, Sandbox};
use crate::snapshot::{PRELOAD, WASM_PAGE};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders of the host, and where the guest sees each.
type Mounts = Vec<(PathBuf, String)>;

const MAGIC: &[u8; 16] = b"vtwasm snapshot\n";
const VERSION: u32 = 1;
const CHECKSUM: usize = 32;
const HEADER: usize = MAGIC.len() + 4 + 8 + CHECKSUM;
/// A file is refused unread if it is longer than any memory and what stands before it.
const LONGEST: u64 = RESERVATION as u64 + (64 << 20);
/// What stands before the pages is within so many bytes, or the memory is not kept.
const FRONT: u64 = 64 << 10;
/// The memories of so many files are kept.
const TO_KEEP: usize = 8;

/// An interpreter in which code of yours has run: its imports are done, its data is in memory. Sandboxes
/// start from it ([`Builder::snapshot`]) as quickly as without, each with a copy of its own. Cheap to
/// clone.
///
/// Each start renews what it renews without a snapshot, and what the code may have used of it: the
/// generator of `random`, even if it was seeded; OpenSSL's; the names of `tempfile`; `uuid`'s node;
/// environment, arguments, `sys.path`, working folder. A `random.Random` of the code's own is what it was,
/// in all sandboxes alike, and so are keys that it drew, and the seed of Python's hashes. Finalisers
/// (`__del__`) of what it left may not be called at the end of a run.
#[derive(Clone)]
pub struct Snapshot {
    inner: Arc<Loaded>,
}

/// A snapshot as it is in memory.
pub(crate) struct Loaded {
    /// The artifact's.
    pub(crate) key: String,
    pub(crate) mounts: Mounts,
    pub(crate) image: Arc<Image>,
}

impl Snapshot {
    /// Runs `source` with what `builder` gives (folders, limits, streams, environment), and takes a snapshot
    /// when it has come to its end. `name` is for tracebacks.
    ///
    /// Its globals are those of the programs that start from the snapshot; what it imported is in their
    /// `sys.modules`. There are no host functions while it runs. The builder's arguments must not be set.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if the code fails, or leaves threads alive or files or sockets open;
    /// [`Error::Snapshot`]; as of [`Builder::build`] and [`Sandbox::run`](crate::Sandbox::run).
    pub async fn make(builder: &mut Builder, name: &str, source: &str) -> Result<Snapshot> {
        Snapshot::begin(builder, name, source)?.finish().await
    }

    /// As [`Snapshot::make`], but nothing runs yet: for who wants to watch it.
    ///
    /// # Errors
    /// [`Error::Snapshot`]; as of [`Builder::build`].
    pub fn begin(builder: &mut Builder, name: &str, source: &str) -> Result<Making> {
        let (python, mounts) = builder.for_snapshot()?;
        let python = python.clone();
        if !python.makes_images() {
            return Err(Error::Snapshot("this Python artifact can make none".into()));
        }
        if name.contains('\0') || source.contains('\0') {
            return Err(Error::Snapshot("source code cannot contain null bytes".into()));
        }
        let mounts = mounts
            .iter()
            .map(|(host, guest)| (real(host), guest.clone()))
            .collect();
        builder.args(["python3", "-c", PRELOAD, name, source]);
        Ok(Making {
            sandbox: builder.build_for_image()?,
            key: python.key().to_owned(),
            mounts,
        })
    }

    /// Writes it to a file, which is readable by this user alone: the seed of Python's hashes is in it.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        cache::write_atomically(path, &self.to_bytes()).map_err(|source| Error::Save {
            path: path.to_owned(),
            source,
        })
    }

    /// What [`Snapshot::save`] writes, for who keeps it elsewhere.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Loaded { key, mounts, image } = &*self.inner;
        encode(key, mounts, image.bytes())
    }

    /// Takes what [`Snapshot::to_bytes`] has given, for the Python that it was made with.
    ///
    /// # Errors
    /// [`Error::Snapshot`] if it is none, or one that [`Snapshot::open`] would refuse.
    pub fn from_bytes(python: &Python, bytes: &[u8]) -> Result<Snapshot> {
        let loaded = load(bytes, python.key(), python.image(false).length()).map_err(Error::Snapshot)?;
        Ok(Snapshot {
            inner: Arc::new(loaded),
        })
    }

    /// The same, made on another machine, where the folder that the guest finds as `guest` was elsewhere. That there is the
    /// same in it is for the caller to know.
    pub fn with_folder_at(&self, host: impl AsRef<Path>, guest: &str) -> Snapshot {
        let Loaded { key, mounts, image } = &*self.inner;
        let mounts = mounts.iter().map(|(known, at)| match at == guest {
            true => (real(host.as_ref()), at.clone()),
            false => (known.clone(), at.clone()),
        });
        Snapshot {
            inner: Arc::new(Loaded {
                key: key.clone(),
                mounts: mounts.collect(),
                image: image.clone(),
            }),
        }
    }

    /// Reads one that was [saved](Snapshot::save), for the Python that it was made with.
    ///
    /// # Errors
    /// [`Error::BadSnapshot`] if it is none, truncated, changed, of another version of its format, or of
    /// another Python artifact.
    pub fn open(python: &Python, path: impl AsRef<Path>) -> Result<Snapshot> {
        let path = path.as_ref();
        open(python, path).map_err(|problem| Error::BadSnapshot {
            path: path.to_owned(),
            problem,
        })
    }

    /// The folders that must be mounted: those of the host, without links, and where the guest finds them.
    pub fn mounts(&self) -> impl Iterator<Item = (&Path, &str)> {
        let mounts = self.inner.mounts.iter();
        mounts.map(|(host, guest)| (host.as_path(), guest.as_str()))
    }

    /// Its image, for a sandbox with these mounts that `may_be_warm`.
    pub(crate) fn image_for(
        &self,
        python: &Python,
        may_be_warm: bool,
        mounts: &[(PathBuf, String)],
    ) -> Result<&Arc<Image>> {
        let Loaded {
            key,
            mounts: needed,
            image,
        } = &*self.inner;
        if key != python.key() {
            return Err(Error::Snapshot("it was made with another Python artifact".into()));
        }
        if !may_be_warm {
            let problem = "its Python has started, and a flag (-O, -S, -u, -v, -W, -X, …) or a variable \
                           (PYTHON…, LANG, LC_…) is only for one that starts";
            return Err(Error::Snapshot(problem.into()));
        }
        for (host, guest) in needed {
            let is_there = |(other, at): &(PathBuf, String)| {
                let below = Path::new(guest).strip_prefix(at);
                below.is_ok_and(|below| real(&other.join(below)) == *host)
            };
            if !mounts.iter().any(is_there) {
                return Err(Error::Snapshot(format!(
                    "it was made with the folder {} as {guest}, which is not mounted so",
                    host.display()
                )));
            }
        }
        Ok(image)
    }
}

/// The run that a snapshot is taken at the end of.
pub struct Making {
    sandbox: Sandbox,
    key: String,
    mounts: Mounts,
}

impl Making {
    /// Watches or kills the run, as [`Sandbox::handle`].
    pub fn handle(&self) -> Handle {
        self.sandbox.handle()
    }

    /// Runs it and takes the snapshot.
    ///
    /// # Errors
    /// As of [`Snapshot::make`].
    pub async fn finish(self) -> Result<Snapshot> {
        let Making { sandbox, key, mounts } = self;
        let memory = sandbox.image().await?.map_err(|report| Error::NoSnapshot {
            outcome: report.outcome,
            stderr: String::from_utf8_lossy(&report.stderr).into_owned(),
        })?;
        let image = image(memory.len(), &runs(&memory)).map_err(|error| Error::Run(error.into()))?;
        Ok(Snapshot {
            inner: Arc::new(Loaded { key, mounts, image }),
        })
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// An image of `length` bytes, zero but for `runs` (an offset, and what is there).
fn image(length: usize, runs: &[(usize, &[u8])]) -> io::Result<Arc<Image>> {
    let file = memory_file(&[])?;
    file.set_len(length as u64)?;
    for (offset, bytes) in runs {
        file.write_all_at(bytes, *offset as u64)?;
    }
    Image::new(file)
}

/// The pages that are not zero.
fn runs(memory: &[u8]) -> Vec<(usize, &[u8])> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (number, page) in memory.chunks(PAGE).enumerate() {
        if page.iter().all(|&byte| byte == 0) {
            continue;
        }
        let start = number * PAGE;
        match runs.last_mut() {
            Some((_, end)) if *end == start => *end += page.len(),
            _ => runs.push((start, start + page.len())),
        }
    }
    let bytes = |(start, end): (usize, usize)| (start, &memory[start..end]);
    runs.into_iter().map(bytes).collect()
}

pub(crate) fn encode(key: &str, mounts: &[(PathBuf, String)], memory: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    text(&mut rest, key);
    number(&mut rest, mounts.len());
    for (host, guest) in mounts {
        text(&mut rest, &host.to_string_lossy());
        text(&mut rest, guest);
    }
    number(&mut rest, memory.len());
    for (offset, bytes) in runs(memory) {
        number(&mut rest, offset);
        number(&mut rest, bytes.len());
        rest.extend(bytes);
    }
    with_header(rest)
}

pub(crate) fn with_header(mut rest: Vec<u8>) -> Vec<u8> {
    let mut made = MAGIC.to_vec();
    made.extend(VERSION.to_le_bytes());
    number(&mut made, rest.len());
    made.extend(Sha256::digest(&rest));
    made.append(&mut rest);
    made
}

fn number(to: &mut Vec<u8>, value: usize) {
    to.extend((value as u64).to_le_bytes());
}

fn text(to: &mut Vec<u8>, text: &str) {
    number(to, text.len());
    to.extend(text.as_bytes());
}

fn open(python: &Python, path: &Path) -> Result<Snapshot, String> {
    let words = |error: io::Error| error.to_string();
    let mut file = File::open(path).map_err(words)?;
    let metadata = file.metadata().map_err(words)?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err("it is no file that vtwasm has written".into());
    }
    let mut bytes = Vec::new();
    let mut read = |most| file.by_ref().take(most).read_to_end(&mut bytes).map_err(words);
    read(FRONT)?;
    let place = place(&bytes, &metadata);
    let kept = place
        .as_deref()
        .and_then(|place| kept(place, &bytes, python.key()));
    let loaded = match kept {
        Some(kept) => kept,
        None => {
            file.read_to_end(&mut bytes).map_err(words)?;
            let loaded = load(&bytes, python.key(), python.image(false).length())?;
            if let Some(place) = place {
                keep(&place, &loaded);
            }
            loaded
        }
    };
    Ok(Snapshot {
        inner: Arc::new(loaded),
    })
}

/// Where the memory of a file that begins so is kept: by its checksum, and by what changes whenever
/// somebody writes to it, the time of which no program can set.
fn place(begin: &[u8], file: &fs::Metadata) -> Option<PathBuf> {
    let checksum = begin.get(HEADER - CHECKSUM..HEADER)?;
    let checksum: String = checksum.iter().map(|byte| format!("{byte:02x}")).collect();
    let (device, inode, length) = (file.dev(), file.ino(), file.len());
    let stamp = format!(
        "{device} {inode} {length} {}.{:09}",
        file.ctime(),
        file.ctime_nsec()
    );
    let name = format!("{checksum}-{}.image", cache::hash(stamp.as_bytes()));
    Some(cache::dir().ok()?.join("snapshots").join(name))
}

/// What was kept of a file that begins so.
fn kept(place: &Path, begin: &[u8], wanted: &str) -> Option<Loaded> {
    let (key, mounts, length) = front(&mut Reader(begin.get(HEADER..)?))?;
    if key != wanted || !cache::is_kept(place) {
        return None;
    }
    let image = File::open(place).and_then(Image::new).ok()?;
    (image.length() == length).then_some(Loaded { key, mounts, image })
}

/// In place of the oldest. Where there is no cache, every run reads the file.
fn keep(place: &Path, loaded: &Loaded) {
    let kept = cache::keep(place, || Ok(Cow::Owned(loaded.image.bytes().to_vec())));
    if let (Ok(()), Some(folder)) = (kept, place.parent()) {
        cache::keep_newest(folder, "image", TO_KEEP);
    }
}

/// What a file holds, for the artifact with this key, whose memory has at least so many bytes.
pub(crate) fn load(file: &[u8], key: &str, least: usize) -> Result<Loaded, String> {
    let found = decode(file)?;
    if found.key != key {
        return Err("it was made with another Python artifact; make it again with this one".into());
    }
    if found.length < least {
        return Err("its memory is too small".into());
    }
    let image = image(found.length, &found.runs).map_err(|error| error.to_string())?;
    let Decoded { key, mounts, .. } = found;
    Ok(Loaded { key, mounts, image })
}

/// What a file says.
struct Decoded<'a> {
    key: String,
    mounts: Mounts,
    length: usize,
    runs: Vec<(usize, &'a [u8])>,
}

fn decode(bytes: &[u8]) -> Result<Decoded<'_>, String> {
    let truncated = || "it is truncated".to_owned();
    if !bytes.starts_with(MAGIC) {
        return Err(match MAGIC.starts_with(bytes) {
            true => truncated(),
            false => "it is no snapshot".into(),
        });
    }
    let mut header = Reader(&bytes[MAGIC.len()..]);
    let version = header.take(4).ok_or_else(truncated)?;
    if version != VERSION.to_le_bytes() {
        return Err("it is for another version of vtwasm; make it again with this one".into());
    }
    let length = header.number().ok_or_else(truncated)?;
    let checksum = header.take(CHECKSUM).ok_or_else(truncated)?;
    let rest = header.0;
    if rest.len() < length {
        return Err(truncated());
    }
    if rest.len() > length || Sha256::digest(rest)[..] != *checksum {
        return Err("it was changed since it was written".into());
    }
    body(Reader(rest)).ok_or_else(|| "what is in it makes no sense".into())
}

/// The artifact's key, the folders, and how long the memory is.
fn front(rest: &mut Reader<'_>) -> Option<(String, Mounts, usize)> {
    let key = rest.text()?.to_owned();
    let mut mounts = Vec::new();
    for _ in 0..rest.number()? {
        mounts.push((rest.text()?.into(), rest.text()?.to_owned()));
    }
    let length = rest.number()?;
    let is_memory = length != 0 && length <= RESERVATION && length.is_multiple_of(WASM_PAGE);
    is_memory.then_some((key, mounts, length))
}

fn body(mut rest: Reader<'_>) -> Option<Decoded<'_>> {
    let (key, mounts, length) = front(&mut rest)?;
    let mut runs = Vec::new();
    let mut end = 0;
    while !rest.0.is_empty() {
        let offset = rest.number()?;
        let bytes = rest.bytes()?;
        if offset < end || !offset.is_multiple_of(PAGE) || bytes.is_empty() {
            return None;
        }
        end = offset.checked_add(bytes.len())?;
        if end > length {
            return None;
        }
        runs.push((offset, bytes));
    }
    Some(Decoded {
        key,
        mounts,
        length,
        runs,
    })
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn memory() -> Vec<u8> {
        let mut memory = vec![0; 2 * WASM_PAGE];
        memory[5] = 1;
        memory[3 * PAGE..5 * PAGE].fill(2);
        memory[2 * WASM_PAGE - 1] = 3;
        memory
    }

    fn file() -> Vec<u8> {
        encode("key", &[("/host".into(), "/guest".into())], &memory())
    }

    fn problem(bytes: &[u8]) -> String {
        decode(bytes).err().expect("it is refused")
    }

    #[test]
    fn what_was_written_is_read_and_zeros_take_no_room() {
        let file = file();
        let found = decode(&file).unwrap();
        assert_eq!((&*found.key, found.length), ("key", memory().len()));
        assert_eq!(found.mounts, [("/host".into(), "/guest".to_owned())]);
        assert_eq!(
            image(found.length, &found.runs).unwrap().bytes(),
            memory().as_slice()
        );
        assert!(file.len() < 5 * PAGE, "{}", file.len());
    }

    #[test]
    fn a_file_is_refused_at_whatever_byte_it_ends() {
        let file = file();
        for end in (0..200).chain([file.len() - 1]) {
            assert_eq!(problem(&file[..end]), "it is truncated", "{end}");
        }
    }

    #[test]
    fn a_file_is_refused_whatever_byte_was_changed() {
        for at in (0..200).chain([file().len() - 1]) {
            let mut file = file();
            file[at] ^= 0x10;
            problem(&file);
        }
        let longer = [file(), vec![0]].concat();
        assert_eq!(problem(&longer), "it was changed since it was written");
        assert_eq!(problem(b"#!/usr/bin/env python3\n"), "it is no snapshot");
        let mut other = file();
        other[MAGIC.len()] = 2;
        assert!(problem(&other).contains("another version"));
    }

    proptest! {
        #[test]
        fn a_body_of_rubbish_is_refused_or_within_its_memory(
            body in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200),
            at in 0_usize..120,
        ) {
            let good = file()[MAGIC.len() + 4 + 8 + CHECKSUM..].to_vec();
            let mut damaged = good.clone();
            damaged.splice(at..(at + body.len().min(8)).min(good.len()), body.iter().copied().take(8));
            for body in [body, damaged] {
                if let Ok(found) = decode(&with_header(body)) {
                    let within = |(offset, bytes): &(usize, &[u8])| offset + bytes.len() <= found.length;
                    prop_assert!(found.runs.iter().all(within));
                }
            }
        }
    }
}
