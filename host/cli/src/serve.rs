//! `vtwasm serve`: the service of the crate `vtwasm-server`, from flags.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use vtwasm::Engine;
use vtwasm_server::{Database, Error, Keep, Key, Options, PackageSource, Role, WorkerOptions};

use crate::artifact;
use crate::failure::{Failure, say};
use crate::storage::{self, StorageOptions};
use crate::units;
use crate::wheels::Service;

const AFTER_HELP: &str = "\
Without flags: an SQLite file in the user's data folder, requests from this machine only, and a first
tenant whose token is printed once. It speaks HTTP; for TLS put a proxy before it.

Examples:
  vtwasm serve
  vtwasm serve --database postgres://jobs@db.internal/jobs --listen 0.0.0.0:8210 --role api
  vtwasm serve --database postgres://jobs@db.internal/jobs --role worker --slots 32
  vtwasm serve --files s3://jobs --s3-endpoint https://storage.internal --s3-credentials keys";

/// The flags of `vtwasm serve`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ServeOptions {
    /// Where jobs are kept: a file for SQLite, or postgres://USER:PASSWORD@HOST/NAME
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "VTWASM_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,

    /// Where requests come in; port 0 is any that is free
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "VTWASM_LISTEN",
        default_value = "127.0.0.1:8210"
    )]
    pub listen: SocketAddr,

    /// Whether it answers requests, runs jobs (it still tells of its health), or both
    #[arg(long, value_name = "ROLE", env = "VTWASM_ROLE", default_value = "all")]
    pub role: RoleName,

    /// Jobs that run at once
    #[arg(long, value_name = "N", env = "VTWASM_SLOTS", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub slots: u16,

    /// When a worker is not heard of for so long, its jobs start again elsewhere
    #[arg(long, value_name = "TIME", env = "VTWASM_LEASE", default_value = "15s", value_parser = lease)]
    pub lease: Duration,

    /// At SIGTERM, running jobs may go on for so long; then they are given back to the queue
    #[arg(long, value_name = "TIME", env = "VTWASM_DRAIN", default_value = "30s", value_parser = units::duration)]
    pub drain: Duration,

    /// Interpreters that stay for jobs that ask for a session, of all tenants; each holds its memory
    #[arg(long, value_name = "N", env = "VTWASM_SESSIONS", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub sessions: u16,

    /// A session that no job asks for goes after this time
    #[arg(long, value_name = "TIME", env = "VTWASM_SESSION_IDLE", default_value = "5min", value_parser = units::duration)]
    pub session_idle: Duration,

    /// What seals tenants' secrets: a file of 64 hexadecimal digits, made if it is not there; the same for all processes. VTWASM_SECRET_KEY may have the digits themselves. Without either, SQLite has one beside it
    #[arg(long, value_name = "FILE", env = "VTWASM_SECRET_KEY_FILE")]
    pub secret_key_file: Option<PathBuf>,

    /// The key of secrets before this one: what it has sealed is sealed anew at the start. VTWASM_OLD_SECRET_KEY may have its digits
    #[arg(long, value_name = "FILE", env = "VTWASM_OLD_SECRET_KEY_FILE")]
    pub old_secret_key_file: Option<PathBuf>,

    /// Where the bytes of tenants' files are kept: a folder, or storage that speaks S3; the same for all processes. Without, SQLite has a folder beside it
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX", env = "VTWASM_FILES")]
    pub files: Option<String>,

    #[command(flatten)]
    pub storage: StorageOptions,

    /// Jobs that are over go after this time, with their logs, results and files, unless their tenant's quotas say another
    #[arg(long, value_name = "TIME", env = "VTWASM_KEEP", default_value = "30d", value_parser = units::duration)]
    pub keep: Duration,

    /// Files that no job has go after this time
    #[arg(long, value_name = "TIME", env = "VTWASM_KEEP_FILES", default_value = "7d", value_parser = units::duration)]
    pub keep_files: Duration,

    /// Bytes of jobs' packages that are kept unpacked; those that were used longest ago go, none that is in use
    #[arg(long, value_name = "SIZE", env = "VTWASM_KEEP_PACKAGES", default_value = "10GiB", value_parser = units::size)]
    pub keep_packages: u64,

    /// An OpenTelemetry collector, which is told of each run by OTLP over HTTP: http://127.0.0.1:4318
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp: Option<String>,

    /// How events are written to stderr
    #[arg(
        long,
        value_name = "FORMAT",
        env = "VTWASM_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// What it does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    /// Both.
    All,
    /// Answers requests.
    Api,
    /// Runs jobs.
    Worker,
}

/// How events are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = units::duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&lease) {
        return Ok(lease);
    }
    Err("out of range: from 1s to 1h".into())
}

/// Serves until a signal says to leave.
pub fn serve(options: &ServeOptions) -> Result<u8> {
    log_events(options.log_format);
    let otlp = options.otlp.clone().filter(|address| !address.is_empty());
    let database = database(options.database.as_deref())?;
    let keep_packages = options.keep_packages;
    let mut options = Options {
        key: keys(options, &database)?,
        packages: None,
        files: folder(options, &database)?,
        bucket: storage::bucket(options.files.as_deref(), &options.storage)?,
        keep: Keep {
            jobs: Some(options.keep),
            files: options.keep_files,
        },
        database,
        listen: options.listen,
        role: match options.role {
            RoleName::All => Role::All,
            RoleName::Api => Role::Api,
            RoleName::Worker => Role::Worker,
        },
        worker: WorkerOptions {
            slots: options.slots.into(),
            lease: options.lease,
            drain: options.drain,
            sessions: options.sessions.into(),
            session_idle: options.session_idle,
        },
    };
    crate::network::files();
    let python = match options.role {
        Role::Api => None,
        _ => {
            let engine = Engine::for_short_runs().context("starting the WebAssembly engine")?;
            Some(artifact::open(&engine)?)
        }
    };
    options.packages = Some(PackageSource::new(Service {
        python: python.clone(),
        most: keep_packages,
        kept: Mutex::default(),
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = [SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        let open = vtwasm_server::Service::open(&options, || {
            python.ok_or_else(|| Error::Invalid("no Python".into()))
        });
        let service = open.await.map_err(|error| explained(error, &options))?;
        if let Some(address) = &otlp {
            let exporting = service.export_runs(address);
            exporting.map_err(|error| Failure::usage(format!("--otlp: {error}")))?;
        }
        announce(&service, &options)?;
        service
            .run(async {
                let [terminate, interrupt] = &mut signals;
                if let (Ok(terminate), Ok(interrupt)) = (terminate, interrupt) {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                say(
                    "vtwasm",
                    "leaving: running jobs come to their end first; a second Ctrl-C ends them now",
                );
                tokio::spawn(async {
                    if let Ok(mut again) = signal(SignalKind::interrupt()) {
                        again.recv().await;
                        // Their leases end, and they start again.
                        std::process::exit(130);
                    }
                });
            })
            .await;
        Ok(0)
    })
}

fn log_events(format: LogFormat) {
    // sqlx tells of each notice of the database.
    let wanted = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("sqlx", LevelFilter::WARN);
    let events = tracing_subscriber::registry().with(wanted);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => events.with(lines.with_ansi(false)).init(),
        LogFormat::Json => events.with(lines.json().flatten_event(true)).init(),
    }
}

fn announce(service: &vtwasm_server::Service, options: &Options) -> Result<()> {
    let what = match options.role {
        Role::Worker => "runs jobs; its health is at",
        _ => "serves",
    };
    say("vtwasm", &format!("{what} http://{}", service.address()?));
    if let Some(token) = service.first_token() {
        say(
            "vtwasm",
            "the first tenant is `default`, an operator too; its token is shown only now:",
        );
        println!("VTWASM_TOKEN={token}");
    }
    Ok(())
}

fn database(named: Option<&str>) -> Result<Database> {
    match named {
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok(Database::Postgres(url.to_owned()))
        }
        Some(other) if other.contains("://") => {
            let scheme = other.split("://").next().unwrap_or_default();
            let hint = "give a file, or postgres://USER:PASSWORD@HOST/NAME";
            Err(
                Failure::usage(format!("--database: there is no support for {scheme}://"))
                    .hint(hint)
                    .into(),
            )
        }
        Some(file) => Ok(Database::Sqlite(file.into())),
        None => Ok(Database::Sqlite(data_folder()?.join("jobs.db"))),
    }
}

/// The key of secrets, with the one before it if there was one.
fn keys(options: &ServeOptions, database: &Database) -> Result<Option<Key>> {
    let digits = env::var("VTWASM_SECRET_KEY").unwrap_or_default();
    let key = match (digits.as_str(), &options.secret_key_file, database) {
        ("", None, Database::Postgres(_)) => return Ok(None),
        ("", Some(file), _) => Key::in_file(file),
        ("", None, Database::Sqlite(file)) => {
            if let Some(folder) = file.parent()
                && std::fs::create_dir_all(folder).is_err()
            {
                return Ok(None); // what is wrong with it is said when the database is opened
            }
            Key::in_file(&file.with_extension("key"))
        }
        (digits, ..) => Key::parse(digits),
    };
    let key = key.map_err(|error| wrong_key(&error, "--secret-key-file", "VTWASM_SECRET_KEY"))?;
    let digits = env::var("VTWASM_OLD_SECRET_KEY").unwrap_or_default();
    let old = match (digits.as_str(), &options.old_secret_key_file) {
        ("", None) => return Ok(Some(key)),
        // It is not made.
        ("", Some(file)) => std::fs::read_to_string(file)
            .map_err(|source| Error::Io {
                action: format!("read the old key of secrets in {}", file.display()),
                source,
            })
            .and_then(|digits| Key::parse(&digits)),
        (digits, _) => Key::parse(digits),
    };
    let old = old.map_err(|error| wrong_key(&error, "--old-secret-key-file", "VTWASM_OLD_SECRET_KEY"))?;
    Ok(Some(key.after(&old)))
}

fn wrong_key(error: &Error, flag: &str, variable: &str) -> Failure {
    let why = std::error::Error::source(error)
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    Failure::usage(format!("{error}{why}")).hint(format!("name a file with {flag}, or give {variable}"))
}

/// The folder of files, or of those that are in use where a bucket has them.
fn folder(options: &ServeOptions, database: &Database) -> Result<Option<PathBuf>> {
    match &options.files {
        Some(files) if !files.contains("://") => Ok(Some(files.into())),
        Some(_) => match options.storage.scratch.clone().or_else(|| beside(database)) {
            Some(folder) => Ok(Some(folder)),
            None => Ok(Some(data_folder()?.join("files"))),
        },
        None => Ok(beside(database)),
    }
}

/// A folder for files beside a database that is a file.
fn beside(database: &Database) -> Option<PathBuf> {
    match database {
        Database::Sqlite(file) => Some(file.with_extension("files")),
        Database::Postgres(_) => None,
    }
}

/// `vtwasm` in the user's data folder.
fn data_folder() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    let folder = folder.ok_or_else(|| {
        Failure::usage("there is no data folder: HOME is not set")
            .hint("name a file: --database=FILE; or a folder: --scratch=DIR")
    })?;
    Ok(folder.join("vtwasm"))
}

fn explained(error: Error, options: &Options) -> anyhow::Error {
    let hint = match (&error, &options.database) {
        (Error::Io { .. }, _) => "choose another with --listen, --database or --files",
        (Error::Storage { .. }, _) => {
            "see --files, --s3-endpoint and --s3-region; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from --s3-credentials"
        }
        (Error::Database(_), Database::Postgres(_)) => {
            "see that PostgreSQL runs there, and that the user may make tables"
        }
        (Error::Database(_), Database::Sqlite(_)) => {
            "see that the file and its folder can be written, or name another with --database"
        }
        _ => return error.into(),
    };
    // The address may have a password.
    let what = match &options.database {
        Database::Sqlite(file) => format!("opening {}", file.display()),
        Database::Postgres(_) => "opening PostgreSQL".into(),
    };
    let message = match &error {
        Error::Database(source) => format!("{what}: {source}"),
        Error::Io { source, .. } | Error::Storage { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    };
    Failure::host(message).hint(hint).into()
}
