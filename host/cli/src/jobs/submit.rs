//! `vtwasm job submit`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::http::{Asking, Client};
use super::{follow, print};
use crate::failure::Failure;
use crate::units;

const AFTER_HELP: &str = "\
If the code has a function `main`, it is called with the arguments, and what it returns is the result.

Examples:
  vtwasm job submit report.py --arguments '{\"year\": 2025}'
  vtwasm job submit -c 'print(1)' --follow
  vtwasm job submit shop.zip --entry shop.reports:yearly --file prices.csv=data/2025.csv
  vtwasm job submit nightly.py --delay 2h --retries 3 --key nightly-2025-11-23";

/// The flags and arguments of `vtwasm job submit`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Submit {
    /// The file of Python code, or - for stdin; or a zip of code
    #[arg(
        value_name = "FILE",
        required_unless_present = "code",
        conflicts_with = "code"
    )]
    file: Option<PathBuf>,

    /// The code itself
    #[arg(short = 'c', value_name = "CODE")]
    code: Option<String>,

    /// What is run of a zip: package.module:function, or a module; else its __main__
    #[arg(long, value_name = "ENTRY", requires = "file")]
    entry: Option<String>,

    /// Give it a file, which it finds as /input/PATH; may be repeated
    #[arg(long = "file", value_name = "PATH=FILE")]
    files: Vec<String>,

    /// A package that it can import, such as requests==2.32.5; may be repeated
    #[arg(long, value_name = "PACKAGE")]
    with: Vec<String>,

    /// Start it from a snapshot, which `vtwasm job snapshot` makes: packages are there and imported
    #[arg(long, value_name = "NAME", conflicts_with = "with")]
    snapshot: Option<String>,

    /// Run it where the last job with this name has run, with what that left in modules and globals, if that is not long ago
    #[arg(long, value_name = "NAME")]
    session: Option<String>,

    /// What `main` is called with, as JSON: an object for keywords, or an array
    #[arg(long, value_name = "JSON")]
    arguments: Option<String>,

    /// A file that the program reads as its stdin
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,

    /// Set an environment variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Give it a secret, as a variable of its environment; may be repeated
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,

    /// Of two jobs that wait the one with the higher priority starts first: -9 to 9
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true, value_parser = clap::value_parser!(i64).range(-9..=9))]
    priority: i64,

    /// Start it after this time, such as 10min
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    delay: Option<Duration>,

    /// Do not start it after this time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    time_to_live: Option<Duration>,

    /// How often it is started again when it fails
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(i64).range(0..=100))]
    retries: i64,

    /// Time before the first retry; before each further one twice as much
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    backoff: Duration,

    /// A word of yours: the same submission with it makes no second job
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Memory, such as 64MiB; no more than the tenant may have, as with all limits
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    memory: Option<u64>,

    /// Time that may pass, such as 10s
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,

    /// Processor time that may be used
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    cpu_time: Option<Duration>,

    /// Record what its threads do, for the dashboard
    #[arg(long)]
    timeline: bool,

    /// Print what it writes until it is over; the exit code is 0 if it succeeded, else 1
    #[arg(short, long)]
    follow: bool,
}

impl Submit {
    /// Sends it, and prints the job's id.
    pub async fn send(&self, client: &Client) -> Result<u8> {
        let body = self.body(client).await?;
        let key = self.key.as_deref().map(|key| ("idempotency-key", key));
        let headers = key.into_iter().collect::<Vec<_>>();
        let asking = Asking {
            method: Method::POST,
            path: "/v1/jobs",
            headers: &headers,
            body: Some(&body),
        };
        let answer = client.send(asking).await?.into_body().collect().await?.to_bytes();
        let job: Value = serde_json::from_slice(&answer)?;
        let id = job["id"].as_str().unwrap_or_default();
        if !self.follow {
            print(id)?;
            return Ok(0);
        }
        let job = follow::follow(client, id).await?;
        Ok(u8::from(job["state"] != "SUCCESS"))
    }

    /// A schedule has a job for each of its turns.
    pub fn has_neither_key_nor_follow(&self) -> Result<()> {
        if self.key.is_none() && !self.follow {
            return Ok(());
        }
        Err(Failure::usage("--key and --follow are for one job, and a schedule has many").into())
    }

    pub async fn body(&self, client: &Client) -> Result<Value> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let mut limits = Map::new();
        for (name, value) in [
            ("memory", self.memory.map(Value::from)),
            ("wall_time", seconds(self.timeout).map(Value::from)),
            ("cpu_time", seconds(self.cpu_time).map(Value::from)),
        ] {
            limits.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut environment = Map::new();
        for variable in &self.env {
            let (name, value) = variable.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--env {variable}: there is no value")).hint("write --env NAME=VALUE")
            })?;
            environment.insert(name.to_owned(), value.into());
        }
        let mut files = Map::new();
        for given in &self.files {
            let (path, file) = given.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--file {given}: there is no file")).hint("write --file PATH=FILE")
            })?;
            files.insert(path.to_owned(), client.put(Path::new(file)).await?.into());
        }
        let (source, bundle) = match &self.file {
            Some(file) if file.extension().is_some_and(|extension| extension == "zip") => {
                (None, Some(client.put(file).await?))
            }
            _ => (Some(self.source()?), None),
        };
        let stdin = self.stdin.as_ref().map(read).transpose()?;
        let arguments = self.arguments.as_deref().map(super::parsed).transpose()?;
        Ok(json!({
            "source": source.unwrap_or_default(),
            "bundle": bundle,
            "entry": self.entry,
            "files": files,
            "packages": self.with,
            "session": self.session,
            "snapshot": self.snapshot,
            "arguments": arguments.unwrap_or_default(),
            "stdin": stdin.unwrap_or_default(),
            "environment": environment,
            "secrets": self.secret,
            "timeline": self.timeline,
            "limits": limits,
            "priority": self.priority,
            "delay": seconds(self.delay).unwrap_or_default(),
            "time_to_live": seconds(self.time_to_live),
            "retries": self.retries,
            "backoff": self.backoff.as_secs_f64(),
        }))
    }

    fn source(&self) -> Result<String> {
        if let Some(code) = &self.code {
            return Ok(code.clone());
        }
        let file = self.file.clone().unwrap_or_default();
        if file.as_os_str() != "-" {
            return read(&file);
        }
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| Failure::usage(format!("can't read stdin: {error}")))?;
        Ok(text)
    }
}

fn read(file: &PathBuf) -> Result<String> {
    let text = fs::read_to_string(file);
    Ok(text.map_err(|error| Failure::usage(format!("can't read {}: {error}", file.display())))?)
}
