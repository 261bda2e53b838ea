//! The name of an entry: a hash over all that goes into it.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// A finished key. Two builds with the same key have the same inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Enough of the key for a directory name.
    pub fn short(&self) -> &str {
        &self.0[..20]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Takes in the inputs one by one. Each is framed by its lengths, so that no two lists of inputs
/// look alike.
pub struct KeyBuilder(Sha256);

impl KeyBuilder {
    pub fn new(stage: &str) -> Self {
        Self(Sha256::new()).text("stage", stage)
    }

    pub fn text(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.frame(name.as_bytes()).frame(value.as_ref())
    }

    pub fn key(self, name: &str, key: &Key) -> Self {
        self.text(name, &key.0)
    }

    /// A file's content; that it does not exist is an input too.
    pub fn file(self, path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match fs::read(path) {
            Ok(content) => Ok(self.text(&name, content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(self.text(&name, "missing")),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Names and contents of all files below `directory` that `wanted` accepts, in name order.
    pub fn tree(mut self, directory: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Self> {
        for path in files_below(directory)? {
            if wanted(&path) {
                let relative = path.strip_prefix(directory)?.to_string_lossy().into_owned();
                self = self.text("path", relative).file(&path)?;
            }
        }
        Ok(self)
    }

    pub fn finish(self) -> Key {
        Key(hex(&self.0.finalize()))
    }

    fn frame(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }
}

/// All regular files below a directory, sorted; none if it does not exist.
pub fn files_below(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(next) = pending.pop() {
        let entries = match fs::read_dir(&next) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("reading {}", next.display()))?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
