//! One job in a sandbox of its own.

use crate::error::{Error, Result};
use crate::files::{Given, Room};
use crate::job::{JobFile, MOST_FILES, StoredFile, Submission, Usage, is_of_start};
use crate::output::{Stream, streams};
use crate::packages::Folder;
use crate::snapshot::{AtHand, LARGEST};
use crate::store::{Claimed, End, Store, Verdict};
use crate::tenant::Rules;
use crate::timeline::{CHANGES, JobTimeline};
use serde::de::IgnoredAny;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use vtwasm::{
    Access, Builder, Handle, HostError, Input, Limit, Limits, Making, Outcome, Output, Python, Report,
    Sandbox, Snapshot, Timeline, Value,
};

/// Defines what the interpreter runs: `run()`, which asks for the job's code.
const PROGRAM: &str = include_str!("job.py");
/// The module that `job.py` speaks to the host by.
pub(crate) const MODULE: &str = "vtwasm_job";
/// A killed run's streams are closed by tasks that may still be writing.
const CLOSING: Duration = Duration::from_secs(5);
/// Before a job is given back whose files are somewhere that does not answer: it may be the next again.
const AWAY: Duration = Duration::from_secs(3);

/// Python, with what each job needs in it already.
#[derive(Clone)]
pub(crate) struct Start {
    python: Python,
    snapshot: Snapshot,
    /// Those of tenants.
    at_hand: Arc<AtHand>,
}

impl Start {
    pub(crate) async fn new(python: Python) -> Result<Start> {
        let mut builder = Sandbox::builder(&python);
        builder.stdout(Output::Null).stderr(Output::Null);
        let snapshot = Snapshot::make(&mut builder, "<vtwasm>", PROGRAM).await?;
        let at_hand = Arc::default();
        Ok(Start {
            python,
            snapshot,
            at_hand,
        })
    }

    /// The snapshot at this place; none if it cannot be used, and its code is to run before the job's.
    async fn asked_for(&self, store: &Store, given: &Given, site: &Site) -> Result<Option<Snapshot>> {
        let snapshot = self.at_hand.get(store, &self.python, given).await?;
        Ok(snapshot.map(|snapshot| match site {
            Some(site) => snapshot.with_folder_at(&site.host, &site.guest),
            None => snapshot,
        }))
    }

    /// For a session, in which `run` is to be called.
    pub(crate) fn warm(&self, snapshot: Option<&Snapshot>) -> Builder {
        let mut builder = Sandbox::builder(&self.python);
        builder.snapshot(snapshot.unwrap_or(&self.snapshot));
        builder
    }

    /// With the program to run. Variables that decide how an interpreter starts want one that has not.
    fn builder(&self, snapshot: Option<&Snapshot>, is_cold: bool) -> Builder {
        let mut builder = Sandbox::builder(&self.python);
        if is_cold {
            builder.args(["python3", "-c", &format!("{PROGRAM}run()")]);
        } else {
            let snapshot = snapshot.unwrap_or(&self.snapshot);
            builder.snapshot(snapshot).args(["python3", "-c", "run()"]);
        }
        builder
    }
}

/// Why a run is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its tenant wants it.
    Cancelled,
    /// Its lease is over, and it is somebody else's.
    Lost,
    /// This process leaves.
    Leaving,
}

/// Ends a run from outside, before it has begun, too. The first reason counts.
#[derive(Default)]
pub(crate) struct Brake {
    state: Mutex<(Option<Why>, Option<Handle>)>,
    pulled: Notify,
}

impl Brake {
    fn lock(&self) -> MutexGuard<'_, (Option<Why>, Option<Handle>)> {
        self.state.lock().expect("no code panics with the lock")
    }

    pub(crate) fn stop(&self, why: Why) {
        let mut state = self.lock();
        state.0.get_or_insert(why);
        if let Some(handle) = &state.1 {
            handle.kill();
        }
        drop(state);
        self.pulled.notify_waiters();
    }

    /// Ready once it is to end.
    pub(crate) async fn stopped(&self) -> Why {
        loop {
            let pulled = self.pulled.notified();
            if let Some(why) = self.why() {
                return why;
            }
            pulled.await;
        }
    }

    /// The run is over; its sandbox may go on.
    pub(crate) fn detach(&self) {
        self.lock().1 = None;
    }

    pub(crate) fn attach(&self, handle: Handle) {
        let mut state = self.lock();
        if state.0.is_some() {
            handle.kill();
        }
        state.1 = Some(handle);
    }

    pub(crate) fn why(&self) -> Option<Why> {
        self.lock().0
    }
}

/// What `job.py` says of the job.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
}

/// Runs a job to its end, which is written by the caller; the output that is left is in it.
pub(crate) async fn run(
    start: &Start,
    sandboxes: &runtime::Handle,
    store: &Store,
    job: &Claimed,
    brake: &Brake,
) -> (End, crate::output::Rest) {
    let said = Arc::new(Mutex::new(Said::default()));
    let (stdout, stderr, gatherer) = streams();
    let run = async {
        let begun = Instant::now();
        let mut limits = job.rules.limits(&job.submission.limits);
        let prepared = in_time(brake, limits.wall_time, prepared(start, store, job)).await;
        let (needed, place) = match prepared {
            Ok(prepared) => prepared,
            Err(end) => return end,
        };
        limits.wall_time = limits.wall_time.map(|most| most.saturating_sub(begun.elapsed()));
        if job.submission.makes.is_some() {
            return match making(start, job, &needed, limits, [stdout, stderr]) {
                Ok(making) => make(making, sandboxes, store, job, brake).await,
                Err(error) => failed(chain(&error)),
            };
        }
        let place = place.as_ref();
        let sandbox = match sandbox(start, job, &needed, (limits, place), [stdout, stderr], &said) {
            Ok(sandbox) => sandbox,
            Err(error) => return failed(format!("the sandbox cannot be made: {}", chain(&error))),
        };
        brake.attach(sandbox.handle());
        match sandboxes.spawn(sandbox.run()).await {
            Ok(Ok(report)) => {
                let said = std::mem::take(&mut *said.lock().expect("no code panics with the lock"));
                let end = end(&report, said, brake.why());
                let end = with_files(end, store, job, place).await;
                with_timeline(end, store, job, report.timeline).await
            }
            Ok(Err(error)) => failed(format!("vtwasm failed: {}", chain(&error))),
            Err(_) => failed("vtwasm failed: its run panicked".into()),
        }
    };
    gathered(run, gatherer.gather(store, job)).await
}

/// A run's end with what is left of its output, once both are there.
pub(crate) async fn gathered(
    run: impl Future<Output = End>,
    gathering: impl Future<Output = crate::output::Rest>,
) -> (End, crate::output::Rest) {
    tokio::pin!(run, gathering);
    let (mut finished, mut rest) = (None, None);
    while finished.is_none() {
        tokio::select! {
            end = &mut run => finished = Some(end),
            left = &mut gathering, if rest.is_none() => rest = Some(left),
        }
    }
    if rest.is_none() {
        rest = tokio::time::timeout(CLOSING, gathering).await.ok();
    }
    let nothing = crate::output::Rest {
        seq: 0,
        pieces: Vec::new(),
    };
    (
        finished.unwrap_or_else(|| failed("it has no end".into())),
        rest.unwrap_or(nothing),
    )
}

/// Secrets by name; they are nowhere but in the sandbox.
pub(crate) type Secrets = Vec<(String, String)>;

/// A folder of packages, which is there for as long as this.
pub(crate) type Site = Option<Arc<Folder>>;

/// What a job needs besides its code, in whatever it runs.
pub(crate) struct Needed {
    pub(crate) secrets: Secrets,
    pub(crate) site: Site,
    pub(crate) snapshot: Option<Snapshot>,
    /// Where the snapshot's file is, which may be for another Python.
    pub(crate) place: Option<String>,
}

/// What is done before a job can begin is a part of its time, and ends with it.
pub(crate) async fn in_time<T>(
    brake: &Brake,
    most: Option<Duration>,
    done: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    tokio::select! {
        done = done => done,
        why = brake.stopped() => Err(killed(Some(why))),
        () = sleep(most.unwrap_or(Duration::MAX)) => Err(hit(Limit::WallTime)),
    }
}

/// What a job needs, with its folders. Or how it ends without.
async fn prepared(start: &Start, store: &Store, job: &Claimed) -> Result<(Needed, Option<Place>), End> {
    let needed = needed(start, store, job).await?;
    let place = Place::new(store, job).await;
    match place {
        Ok(place) => Ok((needed, place)),
        Err(error) => Err(without_files(error).await),
    }
}

/// What a job needs. Or how it ends without.
pub(crate) async fn needed(start: &Start, store: &Store, job: &Claimed) -> Result<Needed, End> {
    let needed = async {
        let secrets = store.open_secrets(&job.tenant, &job.submission.secrets).await?;
        let site = match &job.lock {
            Some(lock) => Some(Arc::new(store.packages()?.folder(lock.clone()).await?)),
            None => None,
        };
        let given = match &job.submission.snapshot {
            Some(_) => store.given(&job.id, "snapshot").await?.pop(),
            None => None,
        };
        let snapshot = match &given {
            Some(given) => start.asked_for(store, given, &site).await?,
            None => None,
        };
        Ok(Needed {
            secrets,
            site,
            snapshot,
            place: given.map(|given| given.place),
        })
    };
    match needed.await {
        Ok(needed) => Ok(needed),
        Err(error) => Err(without_files(error).await),
    }
}

/// How a job ends that cannot have what it needs; after a pause, if storage is away: the job may be the next again.
async fn without_files(error: Error) -> End {
    let is_stored = matches!(error, Error::Storage { .. });
    let end = without(error);
    if is_stored && end.verdict == Verdict::GivenBack {
        sleep(AWAY).await;
    }
    end
}

/// How a job ends that cannot have what it needs.
fn without(error: Error) -> End {
    let given_back = |why: &str| End {
        verdict: Verdict::GivenBack,
        ..failed(why.into())
    };
    match error {
        Error::Database(_) => given_back("what it needs could not be read from the database"),
        Error::Storage { source, .. } => {
            tracing::warn!(
                error = &source as &dyn std::error::Error,
                "a job has not its files"
            );
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => {
                    failed("a file that it is given is lost or damaged: put it again".into())
                }
                _ => given_back("its files could not be read"),
            }
        }
        Error::Io { .. } => failed(chain(&error)),
        error => failed(error.to_string()),
    }
}

/// A job's folders on the disk.
struct Place {
    room: Room,
    input: Option<PathBuf>,
    bundle: Option<PathBuf>,
    output: Option<PathBuf>,
}

impl Place {
    /// Nothing, if the job has no folders.
    async fn new(store: &Store, job: &Claimed) -> Result<Option<Place>> {
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

    fn mount(&self, builder: &mut Builder) -> vtwasm::Result<()> {
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
async fn with_files(end: End, store: &Store, job: &Claimed, place: Option<&Place>) -> End {
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

/// What its tenant's rules allow it, with whom this machine trusts.
pub(crate) fn network(builder: &mut Builder, rules: &Rules) -> Result<()> {
    let network = rules.network()?;
    if network.is_open()
        && let Some(certificates) = vtwasm::host_certificates()
    {
        builder.certificates(certificates)?;
    }
    builder.network(network);
    Ok(())
}

/// The run at whose end a snapshot is taken. It has what jobs of its tenant have, but nothing that is one job's own.
fn making(
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
async fn make(
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

/// The end of a run with what its threads did, if that was asked for. Where there is no room for it, it is left out.
async fn with_timeline(end: End, store: &Store, job: &Claimed, recorded: Option<Timeline>) -> End {
    let Some(recorded) = recorded else {
        return end;
    };
    let kept = async {
        let timeline = JobTimeline::new(job.attempt, &recorded);
        let text = serde_json::to_vec(&timeline).map_err(|error| Error::Invalid(error.to_string()))?;
        let mut receiving = store.files()?.receive().await?;
        receiving.write(&text).await?;
        store.put_file(&job.tenant, receiving.finish().await?).await
    };
    match kept.await {
        Ok(file) => End {
            timeline: Some(file.sha256),
            ..end
        },
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(
                job = job.id,
                tenant = job.tenant,
                error,
                "its timeline is not kept"
            );
            end
        }
    }
}

fn sandbox(
    start: &Start,
    job: &Claimed,
    needed: &Needed,
    (limits, place): (Limits, Option<&Place>),
    [stdout, stderr]: [Stream; 2],
    said: &Arc<Mutex<Said>>,
) -> Result<Sandbox> {
    let Submission {
        source,
        bundle,
        entry,
        arguments,
        stdin,
        environment,
        ..
    } = &job.submission;
    let Needed {
        secrets,
        site,
        snapshot,
        ..
    } = needed;
    let names = environment.keys().chain(secrets.iter().map(|(name, _)| name));
    let is_cold = names.clone().any(|name| is_of_start(name));
    let snapshot = snapshot.as_ref().filter(|_| !is_cold);
    let mut builder = start.builder(snapshot, is_cold);
    for (name, value) in environment {
        builder.env(name, value);
    }
    for (name, value) in secrets {
        builder.env(name, value);
    }
    builder
        .env("VTWASM_JOB", &job.id)
        .env("VTWASM_ATTEMPT", job.attempt.to_string())
        .limits(limits)
        .stdin(Input::Bytes(stdin.clone().into_bytes()))
        .stdout(Output::AsyncWriter(Box::pin(stdout)))
        .stderr(Output::AsyncWriter(Box::pin(stderr)));
    network(&mut builder, &job.rules)?;
    if job.submission.timeline {
        builder.record_timeline(CHANGES);
    }
    if let Some(site) = site {
        builder.mount(&site.host, &site.guest, Access::Read)?;
    }
    if let Some(place) = place {
        place.mount(&mut builder)?;
    }
    // Of a bundle without an entry this is its `__main__`.
    let entry = bundle.as_ref().map(|_| entry.as_deref().unwrap_or("__main__"));
    let submission = Value::List(vec![
        source.as_str().into(),
        arguments.to_string().as_str().into(),
        entry.map_or(Value::None, Value::from),
        job.before
            .as_deref()
            .filter(|_| snapshot.is_none())
            .map_or(Value::None, Value::from),
    ]);
    builder.host_function(MODULE, "submission", move |_| {
        let submission = submission.clone();
        async { Ok(submission) }
    })?;
    let most = job.rules.result;
    let by_result = said.clone();
    builder.host_function(MODULE, "result", move |mut arguments| {
        let result = arguments
            .required(0, "result")
            .and_then(|json| checked(json, most));
        let told =
            result.map(|json| by_result.lock().expect("no code panics with the lock").result = Some(json));
        async { told }
    })?;
    let by_failure = said.clone();
    builder.host_function(MODULE, "failed", move |mut arguments| {
        let error = arguments.required::<String>(0, "error");
        let told =
            error.map(|error| by_failure.lock().expect("no code panics with the lock").error = Some(error));
        async { told }
    })?;
    Ok(builder.build()?)
}

/// The job's code may call this itself, with anything.
pub(crate) fn checked(json: String, most: usize) -> Result<String, HostError> {
    if json.len() > most {
        let message = format!(
            "the result has {} bytes as JSON, and {most} are allowed",
            json.len()
        );
        return Err(HostError::new("ValueError", message));
    }
    match serde_json::from_str::<IgnoredAny>(&json) {
        Ok(_) if !json.contains('\0') => Ok(json),
        Ok(_) => Err(HostError::new("ValueError", "the result has a NUL")),
        Err(error) => Err(HostError::new(
            "ValueError",
            format!("the result is no JSON: {error}"),
        )),
    }
}

pub(crate) fn end(report: &Report, said: Said, why: Option<Why>) -> End {
    End {
        usage: usage(&report.usage),
        ..ended(&report.outcome, said, why)
    }
}

fn usage(used: &vtwasm::Usage) -> Usage {
    Usage {
        cpu_time: used.cpu_time.as_secs_f64(),
        wall_time: used.wall_time.as_secs_f64(),
        memory: i64::try_from(used.peak_memory).unwrap_or(i64::MAX),
        output: i64::try_from(used.output).unwrap_or(i64::MAX),
    }
}

fn ended(outcome: &Outcome, said: Said, why: Option<Why>) -> End {
    match outcome {
        Outcome::Exited(code) => exited((*code).into(), said),
        Outcome::LimitHit(limit) => hit(*limit),
        Outcome::Killed => killed(why),
        Outcome::Deadlocked => failed("deadlock: every thread waited for another".into()),
        Outcome::Trapped(_) => failed("Python itself crashed in the sandbox".into()),
        other => failed(format!("it ended in an unknown way: {other:?}")),
    }
}

/// A program's own end.
pub(crate) fn exited(code: i64, said: Said) -> End {
    let (verdict, result, error) = match code {
        0 => (Verdict::Success, said.result, None),
        _ => {
            let error = said.error.map(|error| error.replace('\0', "\u{fffd}"));
            let error = error.unwrap_or_else(|| format!("it ended with exit code {code}"));
            (Verdict::Failure, None, Some(error))
        }
    };
    let is_of_memory = error
        .as_ref()
        .is_some_and(|error| error.starts_with("MemoryError"));
    End {
        verdict,
        limit: is_of_memory.then_some("memory"),
        error,
        exit_code: Some(code),
        result,
        ..failed(String::new())
    }
}

pub(crate) fn hit(limit: Limit) -> End {
    End {
        limit: Some(name(limit)),
        ..failed(format!("it hit its limit of {limit}"))
    }
}

pub(crate) fn killed(why: Option<Why>) -> End {
    let (verdict, error) = match why {
        Some(Why::Cancelled) => (Verdict::Revoked, "it was cancelled"),
        _ => (Verdict::GivenBack, "its worker left"),
    };
    End {
        verdict,
        ..failed(error.into())
    }
}

fn name(limit: Limit) -> &'static str {
    match limit {
        Limit::CpuTime => "cpu_time",
        Limit::WallTime => "wall_time",
        Limit::Output => "output",
        Limit::Memory => "memory",
        _ => "other",
    }
}

pub(crate) fn failed(error: String) -> End {
    End {
        verdict: Verdict::Failure,
        limit: None,
        error: Some(error.replace('\0', "\u{fffd}")),
        exit_code: None,
        result: None,
        files: Vec::new(),
        snapshot: None,
        timeline: None,
        usage: Usage::default(),
    }
}

/// An error with its causes, for the tenant.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
