//! One job in a sandbox of its own.

mod ends;
mod making;
mod place;

use ends::without_files;
pub(crate) use ends::{chain, end, exited, failed, hit, killed};
use making::{make, making};
use place::{Place, with_files};

use crate::error::{Error, Result};
use crate::files::Given;
use crate::job::{Submission, is_of_start};
use crate::output::{Stream, streams};
use crate::packages::Folder;
use crate::snapshot::AtHand;
use crate::store::{Claimed, End, Store};
use crate::tenant::Rules;
use crate::timeline::{CHANGES, JobTimeline};
use serde::de::IgnoredAny;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use vtwasm::{
    Access, Builder, Handle, HostError, Input, Limit, Limits, Output, Python, Sandbox, Snapshot, Timeline,
    Value,
};

/// Defines what the interpreter runs: `run()`, which asks for the job's code.
const PROGRAM: &str = include_str!("job.py");
/// The module that `job.py` speaks to the host by.
pub(crate) const MODULE: &str = "vtwasm_job";
/// A killed run's streams are closed by tasks that may still be writing.
const CLOSING: Duration = Duration::from_secs(5);

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
