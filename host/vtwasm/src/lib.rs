//! CPython in a sandbox, with virtual threads: every `threading.Thread` is a fiber of this host.
//!
//! ```no_run
//! # async fn example() -> vtwasm::Result<()> {
//! let engine = vtwasm::Engine::new()?;
//! let artifact = vtwasm::Artifact::open("path/of/the/artifact")?;
//! let python = vtwasm::Python::new(&engine, &artifact)?;
//! let sandbox = vtwasm::Sandbox::builder(&python)
//!     .args(["python3", "-c", "print('hello')"])
//!     .stdout(vtwasm::Output::Capture)
//!     .build()?;
//! let report = sandbox.run().await?;
//! assert_eq!(report.stdout, b"hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! In the order in which a program meets them:
//! - [`python`]: the artifact and its compiled form; [`cache`]: where that is kept;
//! - [`snapshot`]: the image of an initialised interpreter that sandboxes start from; [`saved`]: those that
//!   users make, and their files;
//! - [`engine`]: wasmtime's configuration and what all sandboxes share;
//! - [`sandbox`]: permissions, streams, limits; the run from its start to its report; [`handle`]: to
//!   reach it from outside; [`store`]: how it is dropped;
//! - [`given`]: files that are given as bytes; [`certificates`]: whom Python's `ssl` trusts;
//! - [`driver`]: polls wasmtime's event loop, starts threads, waits for sleepers;
//! - [`imports`]: the host functions of `wit/world.wit`;
//! - [`fibers`]: a parked fiber as a future;
//! - [`files`]: what is written to files is counted;
//! - [`scheduler`]: the policy, without I/O;
//! - [`control`]: the words of guest memory that the host writes (unsafe);
//! - [`stacks`]: the memory that fibers run on (unsafe); [`memory`]: that of sandboxes (unsafe);
//! - [`net`]: sockets, and who may use them;
//! - [`calls`]: host functions; [`value`]: what crosses; [`session`]: an interpreter that stays, made of both;
//! - [`stdio`]: streams; [`errno`]: errors in the guest's terms; [`ticker`]: the clock thread; [`limits`], [`outcome`], [`error`].

mod cache;
mod calls;
mod certificates;
mod control;
mod driver;
mod engine;
mod errno;
mod error;
mod fibers;
mod files;
#[cfg(test)]
mod fuzz;
mod given;
mod handle;
mod imports;
mod limits;
mod memory;
mod net;
mod outcome;
mod python;
mod sandbox;
mod saved;
mod scheduler;
mod session;
mod snapshot;
mod stacks;
mod stdio;
mod store;
mod tick;
mod ticker;
mod value;

pub use cache::dir as cache_dir;
pub use calls::{Arguments, HostError};
pub use certificates::host_certificates;
pub use engine::Engine;
pub use error::{Error, Result};
pub use handle::Handle;
pub use limits::Limits;
pub use net::Network;
pub use outcome::{Limit, Outcome, Report, Usage};
pub use python::{Artifact, Python};
pub use sandbox::{Access, Builder, Sandbox};
pub use saved::Snapshot;
pub use session::{PythonError, Session};
pub use stdio::{Input, Output};
pub use value::{NoConversion, Value};
