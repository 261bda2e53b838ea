//! A job's folders.

use super::failed;
use crate::error::{Error, Result};
use crate::files::Room;
use crate::job::{JobFile, MOST_FILES, StoredFile, Submission};
use crate::store::{Claimed, End, Store, Verdict};
use std::path::PathBuf;
use vtwasm::{Access, Builder};

/// A job's folders on the disk.
pub(crate) struct Place {
    room: Room,
    input: Option<PathBuf>,
    bundle: Option<PathBuf>,
    output: Option<PathBuf>,
}

impl Place {
    /// Nothing, if the job has no folders.
    pub(crate) async fn new(store: &Store, job: &Claimed) -> Result<Option<Place>> {
        let Submission { files, bundle, .. } = &job.submission;
        let (given, bundle) = (!files.is_empty(), bundle.is_some());
        let files = match store.files() {
            Ok(files) if given || bundle || job.rules.written > 0 => files,
            Err(error) if given || bundle => return Err(error),
            _ => return Ok(None),
        };
        let room = files.room()?;
        let mut place = Place {
            input: None,
            bundle: None,
            output: (job.rules.written > 0).then(|| room.output()),
            room,
        };
        for (role, wanted, shown) in [
            ("input", given, &mut place.input),
            ("bundle", bundle, &mut place.bundle),
        ] {
            if wanted {
                let folder = place.room.folder(role);
                files.show(&folder, store.given(&job.id, role).await?).await?;
                *shown = Some(folder);
            }
        }
        Ok(Some(place))
    }

    pub(crate) fn mount(&self, builder: &mut Builder) -> vtwasm::Result<()> {
        for (folder, guest, access) in [
            (&self.input, "/input", Access::Read),
            (&self.bundle, "/bundle", Access::Read),
            (&self.output, "/output", Access::ReadWrite),
        ] {
            if let Some(folder) = folder {
                builder.mount(folder, guest, access)?;
            }
        }
        Ok(())
    }
}

/// The end of a run with the files that it has left, which are kept. One that has left more than it may is a failure.
pub(crate) async fn with_files(end: End, store: &Store, job: &Claimed, place: Option<&Place>) -> End {
    let Some(place) = place.filter(|place| place.output.is_some()) else {
        return end;
    };
    if matches!(end.verdict, Verdict::Revoked | Verdict::GivenBack) {
        return end;
    }
    let most = job.rules.limits(&job.submission.limits).written;
    let kept = async {
        let mut kept = Vec::new();
        for (path, file) in place.room.left(MOST_FILES, most.unwrap_or(u64::MAX)).await? {
            let file = store.put_file(&job.tenant, file).await;
            let StoredFile { sha256, bytes } = file.map_err(|error| match error {
                Error::Database(_) | Error::Io { .. } | Error::Storage { .. } => {
                    tracing::warn!(
                        job = job.id,
                        error = &error as &dyn std::error::Error,
                        "a job's files are lost"
                    );
                    "its files could not be kept".to_owned()
                }
                error => error.to_string(),
            })?;
            kept.push(JobFile { path, sha256, bytes });
        }
        Ok(kept)
    };
    match kept.await {
        Ok(files) => End { files, ..end },
        // What went wrong first is what is told.
        Err(_) if end.error.is_some() => end,
        Err::<_, String>(error) => End {
            limit: Some("files"),
            usage: end.usage,
            exit_code: end.exit_code,
            ..failed(error)
        },
    }
}
