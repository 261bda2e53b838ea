//! What an entry consists of: `manifest.json` at its root.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::{Key, files_below, hex};

const NAME: &str = "manifest.json";

/// The files of an entry, and whatever its builder wants to say about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub key: String,
    /// The builder's own words (`about.json` at build time): versions, paths.
    #[serde(default)]
    pub about: BTreeMap<String, String>,
    /// By path below the entry, with `/`.
    files: BTreeMap<String, FileRecord>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FileRecord {
    size: u64,
    sha256: String,
}

impl Manifest {
    /// Where a builder leaves facts for the manifest. The file itself does not stay.
    pub const ABOUT: &str = "about.json";

    /// Describes what was built in `directory`.
    pub fn describe(key: &Key, directory: &Path) -> Result<Self> {
        let about_path = directory.join(Self::ABOUT);
        let about = match fs::read(&about_path) {
            Ok(json) => {
                fs::remove_file(&about_path)?;
                serde_json::from_slice(&json)?
            }
            Err(_) => BTreeMap::new(),
        };
        let paths = files_below(directory)?;
        let middle = paths.len() / 2;
        // Entries hold a few hundred megabytes, and a debug build hashes 45 MB/s per core.
        let files = std::thread::scope(|scope| {
            let (left, right) = paths.split_at(middle);
            let other = scope.spawn(|| records(directory, left));
            let mut files = records(directory, right)?;
            files.extend(other.join().expect("hashing does not panic")?);
            anyhow::Ok(files)
        })?;
        Ok(Self {
            key: key.to_string(),
            about,
            files,
        })
    }

    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(NAME);
        let json = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("reading {}", path.display()))
    }

    pub fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(NAME);
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Whether every file is there with its size.
    pub fn check_sizes(&self, directory: &Path) -> Result<()> {
        for (path, record) in &self.files {
            let size = fs::metadata(directory.join(path)).map(|data| data.len()).ok();
            ensure!(size == Some(record.size), "{path} is missing or cut short");
        }
        Ok(())
    }

    /// Whether every file is there with its content.
    pub fn verify(&self, directory: &Path) -> Result<()> {
        self.check_sizes(directory)?;
        for (path, record) in &self.files {
            let found = sha256_file(&directory.join(path))?;
            ensure!(found == record.sha256, "{path} has changed");
        }
        Ok(())
    }
}

fn records(directory: &Path, paths: &[std::path::PathBuf]) -> Result<BTreeMap<String, FileRecord>> {
    let mut files = BTreeMap::new();
    for path in paths {
        let relative = path.strip_prefix(directory)?.to_string_lossy().into_owned();
        if relative == NAME {
            continue;
        }
        let record = FileRecord {
            size: fs::metadata(path)?.len(),
            sha256: sha256_file(path)?,
        };
        files.insert(relative, record);
    }
    Ok(files)
}

pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}
