//! What can go wrong in the host. What the guest did wrong is an [`Outcome`](crate::Outcome).

use std::path::PathBuf;

/// The host could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// wasmtime refused its configuration, or the kernel a thread or memory.
    #[error("cannot start the engine")]
    Engine(#[source] wasmtime::Error),
    /// There is no Python to run.
    #[error("no Python artifact: {0}")]
    NoArtifact(String),
    /// The artifact is there but cannot be used.
    #[error("the Python artifact {path} cannot be used: {reason}")]
    BadArtifact {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Ahead-of-time compilation failed.
    #[error("cannot compile Python for this machine")]
    Compile(#[source] wasmtime::Error),
    /// A file or folder of the cache cannot be made, read or written.
    #[error("cannot {action} {path}")]
    Cache {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A folder cannot be mounted.
    #[error("cannot mount {path}")]
    Mount {
        /// The host's folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: wasmtime::Error,
    },
    /// A stream of the sandbox cannot be set up.
    #[error("cannot set up the sandbox's {stream}")]
    Stream {
        /// stdin, stdout or stderr.
        stream: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox could not be made or its run could not go on, through no fault of the guest.
    #[error("cannot run the sandbox")]
    Run(#[source] wasmtime::Error),
}

/// The library's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;
