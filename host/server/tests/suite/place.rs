//! A database of a test's own, and who works on it.

use crate::{postgres, storage};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vtwasm::{Artifact, Engine, Python};
use vtwasm_server::{
    BucketAddress, End, Files, Job, Quotas, Result, State, Store, Submission, Usage, Verdict, Worker,
    WorkerOptions,
};

pub enum Place {
    Sqlite(TempDir),
    Postgres(String),
    /// SQLite, with files in a bucket.
    Bucket(TempDir, BucketAddress),
}

impl Place {
    pub fn sqlite() -> Place {
        Place::Sqlite(tempfile::tempdir().unwrap())
    }

    pub async fn postgres() -> Place {
        Place::Postgres(postgres::database().await)
    }

    pub async fn bucket() -> Place {
        Place::Bucket(tempfile::tempdir().unwrap(), storage::address().await)
    }

    /// As another process would open it.
    pub async fn open(&self) -> Store {
        let files = match self.address() {
            Some(address) => Files::in_bucket(&address, &self.files()).await,
            None => Files::in_folder(&self.files()),
        };
        self.open_bare().await.with_files(files.unwrap())
    }

    /// Without files.
    pub async fn open_bare(&self) -> Store {
        match self {
            Place::Sqlite(folder) | Place::Bucket(folder, _) => {
                Store::sqlite(&folder.path().join("jobs.db")).await.unwrap()
            }
            Place::Postgres(url) => Store::postgres(url).await.unwrap(),
        }
    }

    /// The database, for who works on it behind the store's back.
    pub fn url(&self) -> String {
        match self {
            Place::Sqlite(folder) | Place::Bucket(folder, _) => {
                format!("sqlite://{}?mode=rwc", folder.path().join("jobs.db").display())
            }
            Place::Postgres(url) => url.clone(),
        }
    }

    /// The bucket that has its files, if one has.
    pub fn address(&self) -> Option<BucketAddress> {
        match self {
            Place::Bucket(_, address) => Some(address.clone()),
            _ => None,
        }
    }

    /// How many files are kept.
    pub async fn kept(&self) -> usize {
        match self {
            Place::Bucket(_, address) => storage::count(address).await,
            _ => count(&self.files().join("kept")),
        }
    }

    /// Where its files are kept.
    pub fn files(&self) -> PathBuf {
        match self {
            Place::Sqlite(folder) | Place::Bucket(folder, _) => folder.path().join("files"),
            Place::Postgres(url) => postgres::folder().join(url.rsplit('/').next().unwrap()),
        }
    }

    /// Sees that `secret` is in no file of the database, where that is files.
    pub fn is_without(&self, secret: &str) {
        let (Place::Sqlite(folder) | Place::Bucket(folder, _)) = self else {
            return;
        };
        for file in std::fs::read_dir(folder.path()).unwrap() {
            // Its folder of files cannot be read so.
            let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes())
            );
        }
    }

    /// With tenants of these names.
    pub async fn with(&self, tenants: &[&str]) -> Store {
        let store = self.open().await;
        for tenant in tenants {
            store.add_tenant(tenant, &Quotas::default()).await.unwrap();
        }
        store
    }
}

/// How many files there are below a folder.
pub fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => count(&entry.path()),
        false => 1,
    });
    below.sum()
}

pub fn python() -> Python {
    static PYTHON: OnceLock<Python> = OnceLock::new();
    let make = || {
        let folder = std::env::var("VTWASM_PYTHON").expect("VTWASM_PYTHON is set by `cargo xtask test`");
        Python::new(
            &Engine::for_short_runs().unwrap(),
            &Artifact::open(folder).unwrap(),
        )
        .unwrap()
    };
    PYTHON.get_or_init(make).clone()
}

/// A worker that works.
pub struct Working {
    pub worker: Worker,
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Working {
    pub async fn start(store: &Store, slots: usize) -> Working {
        let options = WorkerOptions { slots, ..quick() };
        Working::with(store, options).await
    }

    pub async fn with(store: &Store, options: WorkerOptions) -> Working {
        let python = tokio::task::spawn_blocking(python).await.unwrap();
        let worker = Worker::new(store.clone(), python, options).await.unwrap();
        let (leave, left) = oneshot::channel::<()>();
        let working = worker.clone();
        let task = tokio::spawn(async move {
            working
                .work(async {
                    let _ = left.await;
                })
                .await;
        });
        Working {
            worker,
            leave: Some(leave),
            task,
        }
    }

    /// Lets it drain.
    pub async fn leave(mut self) {
        drop(self.leave.take());
        self.task.await.unwrap();
    }
}

/// Leases that end within a test.
pub fn quick() -> WorkerOptions {
    WorkerOptions {
        slots: 4,
        lease: Duration::from_secs(3),
        drain: Duration::from_secs(20),
        ..WorkerOptions::default()
    }
}

pub fn code(source: &str) -> Submission {
    Submission {
        source: source.into(),
        ..Submission::default()
    }
}

/// The job once `is` holds of it.
pub async fn when(store: &Store, tenant: &str, id: &str, is: impl Fn(&Job) -> bool) -> Job {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let job = store.job(tenant, id).await.unwrap();
        if is(&job) {
            return job;
        }
        assert!(Instant::now() < end, "too late: {job:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The job at its end.
pub async fn over(store: &Store, tenant: &str, id: &str) -> Job {
    when(store, tenant, id, |job| job.state.is_final()).await
}

/// For what is away to come back.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again until there is an answer.
pub async fn answered<T, A: Future<Output = Result<T>>>(what: &str, ask: impl Fn() -> A) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < end, "cannot {what}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The job at its end, although the database may be away.
pub async fn ended(store: &Store, tenant: &str, id: &str) -> Job {
    let end = Instant::now() + PATIENCE;
    loop {
        let job = answered("look", || store.job(tenant, id)).await;
        if job.state.is_final() {
            return job;
        }
        assert!(Instant::now() < end, "too late: {job:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn submitted(store: &Store, tenant: &str, source: &str) -> String {
    store.submit(tenant, None, &code(source)).await.unwrap().job.id
}

pub async fn text(store: &Store, tenant: &str, id: &str) -> String {
    let pieces = store.log(tenant, id, (0, -1)).await.unwrap();
    pieces.into_iter().map(|piece| piece.text).collect()
}

/// The job's state, in a word.
pub fn is(state: State) -> impl Fn(&Job) -> bool {
    move |job| job.state == state
}

/// The end of a job that nobody ran.
pub fn success() -> End {
    End {
        verdict: Verdict::Success,
        limit: None,
        error: None,
        exit_code: Some(0),
        result: None,
        files: Vec::new(),
        snapshot: None,
        timeline: None,
        usage: Usage::default(),
    }
}
