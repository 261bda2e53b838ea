//! Snapshots that tenants make, as jobs of their own.

use super::ends::{ended, usage, without_files};
use super::{Brake, Needed, PROGRAM, Said, Start, chain, exited, failed, network};
use crate::error::{Error, Result};
use crate::job::StoredFile;
use crate::output::Stream;
use crate::snapshot::LARGEST;
use crate::store::{Claimed, End, Store};
use tokio::runtime;
use tokio::task::spawn_blocking;
use vtwasm::{Access, Limits, Making, Outcome, Output, Sandbox, Snapshot};

/// The run at whose end a snapshot is taken. It has what jobs of its tenant have, but nothing that is one job's own.
pub(crate) fn making(
    start: &Start,
    job: &Claimed,
    needed: &Needed,
    limits: Limits,
    [stdout, stderr]: [Stream; 2],
) -> Result<Making> {
    let mut builder = Sandbox::builder(&start.python);
    builder
        .limits(limits)
        .stdout(Output::AsyncWriter(Box::pin(stdout)))
        .stderr(Output::AsyncWriter(Box::pin(stderr)));
    network(&mut builder, &job.rules)?;
    if let Some(site) = &needed.site {
        builder.mount(&site.host, &site.guest, Access::Read)?;
    }
    // A text in JSON is one in Python as well.
    let source = serde_json::Value::from(job.submission.source.as_str());
    let source = format!("{PROGRAM}make({source})");
    Ok(Snapshot::begin(&mut builder, "<vtwasm>", &source)?)
}

/// Makes a snapshot, and keeps it as a file of the tenant's.
pub(crate) async fn make(
    making: Making,
    sandboxes: &runtime::Handle,
    store: &Store,
    job: &Claimed,
    brake: &Brake,
) -> End {
    let handle = making.handle();
    brake.attach(handle.clone());
    let made = sandboxes.spawn(making.finish()).await;
    let used = usage(&handle.usage());
    let end = match made {
        Ok(Ok(snapshot)) => match kept(store, job, snapshot).await {
            Ok(file) => End {
                snapshot: Some(file),
                ..exited(0, Said::default())
            },
            Err(error @ (Error::Database(_) | Error::Storage { .. })) => without_files(error).await,
            Err(error) => failed(chain(&error)),
        },
        Ok(Err(vtwasm::Error::NoSnapshot { outcome, .. })) => match outcome {
            // What it was is in its log.
            Outcome::Exited(0) => failed("no snapshot was made: it left what cannot be kept".into()),
            outcome => ended(&outcome, Said::default(), brake.why()),
        },
        Ok(Err(error)) => failed(format!("vtwasm failed: {}", chain(&error))),
        Err(_) => failed("vtwasm failed: its run panicked".into()),
    };
    End { usage: used, ..end }
}

async fn kept(store: &Store, job: &Claimed, snapshot: Snapshot) -> Result<StoredFile> {
    let bytes = spawn_blocking(move || snapshot.to_bytes()).await;
    let bytes = bytes.map_err(|_| Error::Invalid("the snapshot is lost".into()))?;
    if bytes.len() > LARGEST {
        let message = format!(
            "the snapshot has {} bytes, and {LARGEST} are allowed: leave out what it need not hold",
            bytes.len()
        );
        return Err(Error::Invalid(message));
    }
    let mut receiving = store.files()?.receive().await?;
    receiving.write(&bytes).await?;
    store.put_file(&job.tenant, receiving.finish().await?).await
}
