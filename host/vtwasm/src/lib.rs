//! CPython 3.13 in a sandbox, for untrusted Python in a Rust program: a new interpreter for each run starts in
//! a fraction of a millisecond, may do nothing but what it was given, and ends when you say so. Every
//! `threading.Thread` in it is a virtual thread, a fiber of this host, so that a hundred thousand may wait at once.
//!
//! ```no_run
//! use std::time::Duration;
//! use vtwasm::{Artifact, Engine, Limits, Outcome, Output, Python, Sandbox};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> vtwasm::Result<()> {
//!     // Once in a process; both are cheap to clone.
//!     let engine = Engine::for_short_runs()?;
//!     let python = Python::new(&engine, &Artifact::open("path/of/the/artifact")?)?;
//!
//!     // For each run.
//!     let mut limits = Limits::default();
//!     limits.memory = 256 << 20;
//!     limits.wall_time = Some(Duration::from_secs(5));
//!     let report = Sandbox::builder(&python)
//!         .args(["python3", "-c", "print('hello')"])
//!         .limits(limits)
//!         .stdout(Output::Capture)
//!         .stderr(Output::Capture)
//!         .build()?
//!         .run()
//!         .await?;
//!     assert_eq!(report.outcome, Outcome::Exited(0));
//!     assert_eq!(report.stdout, b"hello\n");
//!     Ok(())
//! }
//! ```
//!
//! The artifact is CPython compiled to WebAssembly: the folder that `cargo xtask python` prints, or one that was
//! built into the program with the feature `embed` ([`Artifact`]). [`Python::new`] compiles it the first time, which
//! takes some ten seconds, and keeps the result in the user's cache ([`cache_dir`]); afterwards it takes milliseconds.
//! Runs are futures of the caller's tokio runtime, of either flavour; one that computes gives way to others on its
//! thread every 5 ms. It needs Linux on a processor that wasmtime compiles for.
//!
//! # What a run is given
//! Nothing, unless the [`Builder`] says so: folders ([`mount`](Builder::mount)), files that are bytes of yours
//! ([`file`](Builder::file)), variables ([`env`](Builder::env)), addresses ([`network`](Builder::network)), streams
//! ([`Input`] and [`Output`]: bytes, captured, the process's own, or asynchronous readers and writers). What it may
//! use at most is [`Limits`]. Where POSIX has an error for a limit, Python raises it and the program may go on; time
//! and output end the run. Either way [`Report::reached`] names it.
//!
//! # What comes back
//! A [`Report`]: the [`Outcome`], what was captured, and the [`Usage`]. Whatever the program does, that is no
//! [`Error`]: those are the host's failures. A [`Handle`] reads the usage while the program runs, interrupts it
//! (`KeyboardInterrupt`), or kills it; dropping the future ends it as well. Either takes a few milliseconds, also
//! for one that computes in C or holds thousands of threads.
//!
//! # Host functions
//! An async closure is a plain function for Python, which blocks only the thread that calls it
//! ([`host_function`](Builder::host_function)). Arguments and answers are [`Value`]s, which says what has a
//! conversion. A [`HostError`] is an exception in Python, by the name of its class.
//!
//! # Sessions
//! A [`Session`] is an interpreter that stays: [`exec`](Session::exec), [`eval`](Session::eval),
//! [`call`](Session::call), many at once, each on a virtual thread of its own. An exception comes back as a
//! [`PythonError`] with its class, message and traceback.
//!
//! # Snapshots
//! Every run starts from the image of an interpreter that has started and loaded the standard library's common
//! modules. A [`Snapshot`] is one in which code of yours has run as well, for what every run would do first. What is
//! random is drawn anew in each, but for the seed of Python's hashes, which all have in common: `PYTHONHASHSEED` in a
//! run's environment gives it one of its own, by a start without the image, which takes some 20 ms.
//!
//! # Examples
//! `host/vtwasm/examples`: `hello`, `limits`, `host_functions`, `sessions`, `thousand_sandboxes`; a web service with axum
//! is `host/server/examples/axum_service.rs`. `SECURITY.md` says what is promised to whom runs strangers' code.
//!
//! # Layout
//! For whom works on the crate.
//! In the order in which a program meets them:
//! - `python`: the artifact and its compiled form; `cache`: where that is kept;
//! - `snapshot`: the image of an initialised interpreter that sandboxes start from; `saved`: those that
//!   users make, and their files;
//! - `engine`: wasmtime's configuration and what all sandboxes share;
//! - `sandbox`: permissions, streams, limits; the run from its start to its report; `handle`: to
//!   reach it from outside; `store`: how it is dropped;
//! - `given`: files that are given as bytes; `certificates`: whom Python's `ssl` trusts;
//! - `driver`: polls wasmtime's event loop, starts threads, waits for sleepers;
//! - `imports`: the host functions of `wit/world.wit`;
//! - `fibers`: a parked fiber as a future;
//! - `files`: what is written to files is counted;
//! - `scheduler`: the policy, without I/O; `timeline`: what it did;
//! - `control`: the words of guest memory that the host writes (unsafe);
//! - `stacks`: the memory that fibers run on (unsafe); `depths`: how much of it they have taken; `memory`: that of sandboxes (unsafe);
//! - `net`: sockets, and who may use them;
//! - `calls`: host functions; `value`: what crosses; `session`: an interpreter that stays, made of both;
//! - `stdio`: streams; `errno`: errors in the guest's terms; `ticker`: the clock thread; `limits`, `outcome`, `error`.

mod cache;
mod calls;
mod certificates;
mod control;
mod depths;
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
mod timeline;
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
pub use saved::{Making, Snapshot};
pub use session::{PythonError, Session};
pub use stdio::{Input, Output};
pub use timeline::{Activity, Span, ThreadTimeline, Timeline};
pub use value::{NoConversion, Value};
