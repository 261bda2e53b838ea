//! One build at a time.

use std::fs::{self, File, TryLockError};

use anyhow::{Context, Result};

use super::Cache;
use crate::progress::Progress;

/// Held while building; the kernel lets go of it however the process ends. The programs that a build
/// starts hold it too: if only this process is killed, the next build waits until they are gone and
/// cannot write into what it makes.
pub struct BuildLock {
    _file: File,
}

impl BuildLock {
    /// Waits until no other build works in this cache.
    pub fn take(cache: &Cache, progress: &Progress) -> Result<Self> {
        let root = cache.root();
        fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        let path = root.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            progress.note("another build is under way in this cache, waiting for it");
            file.lock()
                .with_context(|| format!("locking {}", path.display()))?;
        }
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
        Ok(Self { _file: file })
    }
}
