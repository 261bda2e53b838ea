//! Snapshots: interpreters in which a tenant's packages are imported, or code of theirs has run, for jobs to start from.

use crate::error::{Error, Result};
use crate::files::Given;
use crate::job::{self, Limits, Makes, Submission};
use crate::store::Store;
use crate::time::Time;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt::Write;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use vtwasm::{Python, Snapshot};

/// Bytes of one, as it is kept.
pub(crate) const LARGEST: usize = 256 << 20;
/// Bytes of those that a worker has at hand.
const AT_HAND: usize = 1 << 30;

/// A snapshot that is to be made. A job makes it, as all of its tenant's jobs are run, but without secrets or files.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSnapshot {
    /// What jobs ask for it by: 1 to 63 letters, digits, hyphens, underscores and dots. One of that name is replaced.
    #[schema(max_length = 63, example = "model")]
    pub name: String,
    /// Packages that it can import, as a job's.
    #[serde(default)]
    #[schema(max_items = 64, example = json!(["jinja2==3.1.6"]))]
    pub packages: Vec<String>,
    /// Modules that are imported.
    #[serde(default)]
    #[schema(max_items = 256, example = json!(["jinja2"]))]
    pub imports: Vec<String>,
    /// Python code that runs then. Its globals are those of jobs that start from the snapshot.
    #[serde(default)]
    pub source: String,
    /// Less than what the tenant allows for one job.
    #[serde(default)]
    pub limits: Limits,
}

impl NewSnapshot {
    /// The job that makes it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn submission(&self, for_secrets: bool) -> Result<Submission> {
        let problem = if !job::is_word(&self.name) {
            "name: 1 to 63 letters, digits, hyphens, underscores and dots"
        } else if self.imports.is_empty() && self.source.trim().is_empty() {
            "imports or source: what it is made of"
        } else if self.imports.len() > 256 || !self.imports.iter().all(|module| job::is_module(module)) {
            "imports: at most 256 modules, each as after `import`"
        } else {
            let mut source = String::new();
            for module in &self.imports {
                let _ = writeln!(source, "__import__({module:?})");
            }
            return Ok(Submission {
                name: Some(format!("snapshot {}", self.name)),
                source: source + &self.source,
                packages: self.packages.clone(),
                limits: self.limits.clone(),
                makes: Some(Makes {
                    name: self.name.clone(),
                    for_secrets,
                }),
                ..Submission::default()
            });
        };
        Err(Error::Invalid(problem.into()))
    }
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StoredSnapshot {
    /// What jobs ask for it by.
    #[schema(example = "model")]
    pub name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    /// The job that has made it.
    pub job: String,
    /// Its packages.
    pub packages: Vec<String>,
    /// The file that it is kept as.
    pub sha256: String,
    /// The file's length.
    pub bytes: i64,
}

/// Those that jobs of a worker have started from.
#[derive(Default)]
pub(crate) struct AtHand(Mutex<VecDeque<Loaded>>);

struct Loaded {
    /// Where its file is: a name that is given once.
    place: String,
    /// None: it is none for this Python.
    snapshot: Option<Snapshot>,
    bytes: usize,
}

impl AtHand {
    /// The snapshot whose file is at this place; none if it is another Python's.
    pub(crate) async fn get(
        &self,
        store: &Store,
        python: &Python,
        given: &Given,
    ) -> Result<Option<Snapshot>> {
        let place = &given.place;
        // Held while one is loaded: who else wants it would load it as well.
        let mut all = self.0.lock().await;
        let known = all.iter().position(|loaded| loaded.place == *place);
        let loaded = match known.and_then(|index| all.remove(index)) {
            Some(loaded) => loaded,
            None => Loaded::read(store, python, given).await?,
        };
        let snapshot = loaded.snapshot.clone();
        all.push_back(loaded);
        while all.len() > 1 && all.iter().map(|loaded| loaded.bytes).sum::<usize>() > AT_HAND {
            all.pop_front();
        }
        Ok(snapshot)
    }
}

impl Loaded {
    async fn read(store: &Store, python: &Python, Given { place, hash, .. }: &Given) -> Result<Loaded> {
        let mut bytes = Vec::new();
        let mut pieces = store.files()?.open(place, hash).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|source| Error::Storage {
                action: "read a snapshot".into(),
                source,
            })?;
            bytes.extend_from_slice(&piece);
            if bytes.len() > LARGEST {
                break;
            }
        }
        let (python, length) = (python.clone(), bytes.len());
        let read = spawn_blocking(move || Snapshot::from_bytes(&python, &bytes)).await;
        let snapshot = match read {
            Ok(Ok(snapshot)) => Some(snapshot),
            Ok(Err(error)) => {
                tracing::warn!(place, %error, "a snapshot cannot be used: its jobs run its code themselves");
                None
            }
            Err(_) => None,
        };
        Ok(Loaded {
            place: place.clone(),
            snapshot,
            bytes: length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NewSnapshot;

    #[test]
    fn what_is_no_module_s_name_never_becomes_code() {
        let made_of = |import: &str| {
            let new = NewSnapshot {
                name: "x".into(),
                imports: vec![import.into()],
                ..NewSnapshot::default()
            };
            new.submission(false).map(|job| job.source)
        };
        assert_eq!(made_of("xml.dom").unwrap(), "__import__(\"xml.dom\")\n");
        for wrong in ["", "a b", "a\")", "a..b", ".a", "1a", "a\n", "a-b", "a;b", "a:b"] {
            assert!(made_of(wrong).is_err(), "{wrong:?}");
        }
    }
}
