//! The service: a database, an API, a worker, together in one process or each in its own.

use crate::api;
use crate::bucket::BucketAddress;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::linger::Linger;
use crate::packages::PackageSource;
use crate::secret::Key;
use crate::store::Store;
use crate::sweep::{Keep, sweep};
use crate::tenant::{Quotas, Scope};
use crate::worker::{Worker, WorkerOptions};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use vtwasm::Python;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 1024;
/// For a request's head to arrive, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For a client that reads nothing of its answer; else a thousand of them would take all connections.
const STALLED: Duration = Duration::from_secs(60);
/// For answers that are under way when the service leaves.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where everything is kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file, for processes on one machine.
    Sqlite(PathBuf),
    /// An address: `postgres://…`.
    Postgres(String),
}

/// What this process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Both.
    All,
    /// Answers requests.
    Api,
    /// Runs jobs; answers only who asks for its health.
    Worker,
}

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept.
    pub database: Database,
    /// Where requests come in; port 0 is any.
    pub listen: SocketAddr,
    /// What it does.
    pub role: Role,
    /// How it runs jobs.
    pub worker: WorkerOptions,
    /// What seals secrets; all processes need the same.
    pub key: Option<Key>,
    /// A folder for files; all processes need the same, unless a bucket has them.
    pub files: Option<PathBuf>,
    /// Has the files in place of the folder, which is where they are while jobs use them.
    pub bucket: Option<BucketAddress>,
    /// How packages are had; without, jobs have none.
    pub packages: Option<PackageSource>,
    /// How long what is done with is kept.
    pub keep: Keep,
}

/// A service that is ready to run.
pub struct Service {
    listener: TcpListener,
    state: api::State,
    role: Role,
    keep: Keep,
    first_token: Option<String>,
}

impl Service {
    /// Opens the database and the port. `python` is not asked for by one that runs no jobs.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Io`], [`Error::Storage`].
    pub async fn open(options: &Options, python: impl FnOnce() -> Result<Python>) -> Result<Service> {
        let store = match &options.database {
            Database::Sqlite(file) => {
                if let Some(folder) = file.parent() {
                    let made = std::fs::create_dir_all(folder);
                    made.map_err(|source| failed(format!("make the folder {}", folder.display()), source))?;
                }
                Store::sqlite(file).await?
            }
            Database::Postgres(url) => Store::postgres(url).await?,
        };
        let store = match &options.key {
            Some(key) => store.with_key(key.clone()),
            None => store,
        };
        let store = match (&options.files, &options.bucket) {
            (Some(folder), Some(bucket)) => store.with_files(Files::in_bucket(bucket, folder).await?),
            (Some(folder), None) => store.with_files(Files::in_folder(folder)?),
            (None, _) => store,
        };
        let store = match &options.packages {
            Some(packages) => store.with_packages(packages.clone()),
            None => store,
        };
        let listener = TcpListener::bind(options.listen).await;
        let listener = listener.map_err(|source| failed(format!("listen on {}", options.listen), source))?;
        let first_token = match options.role {
            Role::Worker => None,
            _ => first_tenant(&store).await?,
        };
        let worker = match options.role {
            Role::Api => None,
            _ => Some(Worker::new(store.clone(), python()?, options.worker.clone()).await?),
        };
        Ok(Service {
            listener,
            state: api::State::new(store, worker),
            role: options.role,
            keep: options.keep.clone(),
            first_token,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        let address = self.listener.local_addr();
        address.map_err(|source| failed("ask for the address".into(), source))
    }

    /// The token of the first tenant, if this database had none; it is told only this once.
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// Tells an OpenTelemetry collector of its runs, by OTLP over HTTP: `http://127.0.0.1:4318`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no such address.
    pub fn export_runs(&self, address: &str) -> Result<()> {
        self.state
            .worker()
            .map_or(Ok(()), |worker| worker.export(address))
    }

    /// Runs until `leave` is ready and what is under way has come to its end. It answers until its jobs
    /// are drained, and says meanwhile that it is not ready.
    pub async fn run(self, leave: impl Future<Output = ()>) {
        let router = match self.role {
            Role::Worker => api::health_router(self.state.clone()),
            _ => api::router(self.state.clone()),
        };
        let resealing = tokio::spawn(reseal(self.state.store().clone()));
        let (closing, closed) = watch::channel(());
        let answering = tokio::spawn(answer(self.listener, router, closed));
        let leave = async {
            leave.await;
            self.state.leave();
        };
        match self.state.worker() {
            Some(worker) => {
                let sweeping = tokio::spawn(sweep(self.state.store().clone(), self.keep));
                worker.work(leave).await;
                sweeping.abort();
            }
            None => leave.await,
        }
        drop(closing);
        let _ = answering.await;
        let _ = resealing.await;
    }
}

/// Makes the tenant `default` if there is none at all.
async fn first_tenant(store: &Store) -> Result<Option<String>> {
    if !store.tenants("", 1).await?.is_empty() {
        return Ok(None);
    }
    match store.add_tenant("default", &Quotas::default()).await {
        Ok(_) => {
            let scopes = [Scope::Read, Scope::Write, Scope::Secrets, Scope::Operator];
            let (secret, _) = store.add_token("default", &scopes, None).await?;
            Ok(Some(secret))
        }
        // Another process was faster.
        Err(Error::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Secrets that the key before had sealed are sealed by the key.
async fn reseal(store: Store) {
    match store.reseal().await {
        Ok([0, 0]) => {}
        Ok([secrets, 0]) => tracing::info!(secrets, "sealed anew what the old key had sealed"),
        Ok([secrets, closed]) => {
            tracing::warn!(
                secrets,
                closed,
                "some secrets are sealed by neither key: they are to be set anew"
            );
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "cannot seal secrets anew"
        ),
    }
}

/// Accepts connections until `closed`, then sees those to their end that are under way.
async fn answer(listener: TcpListener, router: axum::Router, mut closed: watch::Receiver<()>) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let (places, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most often: that passes.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = closed.changed() => break,
        };
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(Linger::new(stream, STALLED));
        let connection = http.serve_connection(stream, TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no news.
            let _ = connection.await;
            drop(place);
        });
    }
    let _ = tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

fn failed(action: String, source: std::io::Error) -> Error {
    Error::Io { action, source }
}
