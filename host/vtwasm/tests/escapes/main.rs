//! Attempts to leave a sandbox, each named after its way. Elsewhere: the command's folders
//! (`host/cli/tests/cli/permissions.rs`), who may be connected to (`src/net/tests/permissions.rs`), a guest
//! whose memory is corrupted (`src/fuzz`), the cache (`src/cache.rs`), files of snapshots
//! (`tests/snapshot/saved.rs`).

#[path = "../common/mod.rs"]
mod common;
mod descriptors;
mod names;
mod paths;
mod tenants;

use common::{run, text};
use vtwasm::{Builder, Outcome};

/// What a program prints that comes to its end.
async fn printed(builder: &mut Builder) -> String {
    let report = run(builder).await;
    let (stdout, stderr) = (text(&report.stdout), text(&report.stderr));
    assert_eq!(report.outcome, Outcome::Exited(0), "{stdout}{stderr}");
    stdout.to_owned()
}
