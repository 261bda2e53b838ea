//! A service to which many tenants hand Python jobs, each of which runs in a sandbox of its own: `vtwasm serve`.
//!
//! # Layout
//! In the order in which a job meets them:
//! - [`api`]: HTTP, and who may ask for what;
//! - [`job`], [`schedule`], [`tenant`], [`secret`]: what is asked for, and what is told;
//! - [`store`]: where it is kept; [`store::queue`](store) decides who is next;
//! - [`files`], [`bucket`]: where the bytes of tenants' files are;
//! - [`packages`]: those that jobs ask for;
//! - [`worker`]: takes jobs while it has slots, keeps its leases, drains;
//! - [`run`]: one job in its sandbox; [`session`]: one that stays; [`snapshot`]: what some start from; [`output`]: what it writes, on its way into the store;
//!   [`timeline`]: what its threads did;
//! - [`serve`]: all of it as one service; [`sweep`]: what is done from time to time; [`wake`]: news between its parts;
//! - [`metrics`], [`counts`], [`otlp`], [`error`], [`id`], [`time`].

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the layout is for who reads the code"
)]

mod api;
mod bucket;
mod counts;
mod error;
mod files;
mod id;
mod job;
mod linger;
mod metrics;
mod otlp;
mod output;
mod packages;
mod run;
mod schedule;
mod secret;
mod serve;
mod session;
mod snapshot;
mod store;
mod sweep;
mod tenant;
mod time;
mod timeline;
mod wake;
mod worker;

pub use api::{openapi, router};
pub use bucket::BucketAddress;
pub use error::{Error, Result};
pub use files::Files;
pub use job::{
    Attempt, Chunk, Figures, Hour, Job, JobFile, Limits, ListedFile, Makes, State, StoredFile, Submission,
    Usage,
};
pub use packages::{Folder, KeptPackages, PackageName, PackageSource, Packages, Stop};
pub use schedule::{Missed, NewSchedule, Schedule};
pub use secret::{Key, Secret};
pub use serve::{Database, Options, Role, Service};
pub use snapshot::{NewSnapshot, StoredSnapshot};
pub use store::{Claimed, End, Page, Store, Submitted, Verdict, WorkerInfo};
pub use sweep::Keep;
pub use tenant::{Caller, Quotas, Rules, Scope, Tenant, Token};
pub use time::Time;
pub use worker::{Worker, WorkerOptions};
