//! Where things stand in the clone.

use std::path::PathBuf;

/// The clone's root directory.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The clone that cargo runs this xtask in: not always the one it was compiled in, since a copied
    /// target folder passes for fresh.
    pub fn this() -> Self {
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let xtask = PathBuf::from(xtask);
        let root = xtask.parent().expect("xtask/ is in the clone").to_path_buf();
        Self { root }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn guest(&self) -> PathBuf {
        self.path("guest")
    }

    pub fn wit(&self) -> PathBuf {
        self.path("wit")
    }

    pub fn web(&self) -> PathBuf {
        self.path("web")
    }

    /// The recipe's data: configure's answers, patches, the lock file.
    pub fn recipe(&self) -> PathBuf {
        self.path("python-wasm")
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => self.root.join(target),
            None => self.path("target"),
        }
    }
}
