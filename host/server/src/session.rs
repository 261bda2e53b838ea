//! Interpreters that stay: a job that names a session runs where the job before it of that tenant and name has run, so that
//! what that has imported and made is there. One at a time; the next one waits for its turn.
//!
//! A session's limits are those of its tenant's rules. One that has used half of a limit is not taken again, so that no
//! job pays for those before it; but for what it holds in memory, which is what a session is for.

use crate::error::Result;
use crate::job::Usage;
use crate::output::{Rest, Stream, streams};
use crate::run::{Brake, Said, Start, checked, end, failed, gathered};
use crate::store::{Claimed, End, Store, Verdict};
use crate::tenant::Rules;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::runtime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use vtwasm::{Builder, Error, Handle, Output, PythonError, Session, Value};

/// Of all tenants, in one worker.
const MOST: usize = 64;
/// One that nobody asks for goes after this time.
const IDLE: Duration = Duration::from_secs(300);
/// How often who waits looks whether it still is to.
const LOOK: Duration = Duration::from_millis(20);
/// For a sign of life, and for what was written to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tenant, and what it calls its session.
type Key = (String, String);

/// Those of a worker.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<Key, Arc<Warm>>>);

struct Warm {
    /// Whose turn it is holds it. None: it is over.
    session: Arc<AsyncMutex<Option<Session>>>,
    handle: Handle,
    current: Arc<Mutex<Current>>,
    /// When it was asked for.
    used: Mutex<Instant>,
}

/// The job whose turn it is.
#[derive(Default)]
struct Current {
    /// Code and arguments, as `job.py` asks for them.
    submission: Value,
    said: Said,
    /// Bytes of its result.
    most: usize,
    streams: [Option<Stream>; 2],
    /// Bytes of both streams, of all jobs.
    received: u64,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Warm>>> {
        self.0.lock().expect("no code panics with the lock")
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends those that nobody asks for, for ever.
    pub(crate) async fn reap(&self) {
        loop {
            sleep(Duration::from_secs(1)).await;
            self.end_idle(IDLE);
        }
    }

    fn end_idle(&self, idle: Duration) {
        self.lock()
            .retain(|_, warm| warm.used().elapsed() < idle || warm.session.try_lock().is_err());
    }

    /// Runs a job to its end, as `run::run` does.
    pub(crate) async fn run(
        &self,
        start: &Start,
        sandboxes: &runtime::Handle,
        store: &Store,
        job: &Claimed,
        brake: &Brake,
    ) -> (End, Rest) {
        let (stdout, stderr, gatherer) = streams();
        let run = async {
            match self.turn(start, sandboxes, job, brake).await {
                Ok(Some((warm, held))) => self.call(&warm, held, job, brake, [stdout, stderr]).await,
                Ok(None) => killed(brake),
                Err(error) => failed(format!("the session cannot be started: {error}")),
            }
        };
        gathered(run, gatherer.gather(store, job)).await
    }

    /// A session whose turn is the job's; none if the job is to end before that.
    async fn turn(
        &self,
        start: &Start,
        sandboxes: &runtime::Handle,
        job: &Claimed,
        brake: &Brake,
    ) -> Result<Option<(Arc<Warm>, OwnedMutexGuard<Option<Session>>)>> {
        while brake.why().is_none() {
            let Some(warm) = self.find(start, sandboxes, job)? else {
                sleep(LOOK).await;
                continue;
            };
            let Ok(mut held) = timeout(LOOK, warm.session.clone().lock_owned()).await else {
                continue;
            };
            let Some(session) = &*held else {
                self.forget(&warm);
                continue;
            };
            let lives = matches!(timeout(PATIENCE, session.eval("None")).await, Ok(Ok(_)));
            if lives && !warm.is_worn(&job.rules) {
                return Ok(Some((warm, held)));
            }
            *held = None;
            self.forget(&warm);
        }
        Ok(None)
    }

    /// The session of a job, which is started if it is not there; none if there is no room for it now.
    fn find(&self, start: &Start, sandboxes: &runtime::Handle, job: &Claimed) -> Result<Option<Arc<Warm>>> {
        let name = job.submission.session.clone().unwrap_or_default();
        let key = (job.tenant.clone(), name);
        let mut all = self.lock();
        if let Some(warm) = all.get(&key) {
            *warm.used.lock().expect("no code panics with the lock") = Instant::now();
            return Ok(Some(warm.clone()));
        }
        let of_tenant = all.keys().filter(|(tenant, _)| *tenant == job.tenant).count();
        if of_tenant >= job.rules.sessions as usize && !end_oldest(&mut all, Some(&job.tenant))
            || all.len() >= MOST && !end_oldest(&mut all, None)
        {
            return Ok(None);
        }
        // It runs where sandboxes do.
        let _there = sandboxes.enter();
        let warm = Arc::new(Warm::start(start.warm(), &job.rules)?);
        all.insert(key, warm.clone());
        Ok(Some(warm))
    }

    fn forget(&self, gone: &Arc<Warm>) {
        self.lock().retain(|_, warm| !Arc::ptr_eq(warm, gone));
    }

    async fn call(
        &self,
        warm: &Arc<Warm>,
        mut held: OwnedMutexGuard<Option<Session>>,
        job: &Claimed,
        brake: &Brake,
        streams: [Stream; 2],
    ) -> End {
        let Some(session) = &*held else {
            return failed("the session is over".into());
        };
        let before = warm.handle.usage();
        let received = warm.current().received;
        *warm.current() = Current {
            submission: submission(job),
            said: Said::default(),
            most: job.rules.result,
            streams: streams.map(Some),
            received,
        };
        brake.attach(warm.handle.clone());
        let most = job.rules.limits(&job.submission.limits).wall_time;
        let call = session.call("run", [Value::from(true)], []);
        let called = timeout(most.unwrap_or(Duration::MAX), call).await;
        if matches!(called, Ok(Ok(_) | Err(Error::Python(_)))) {
            warm.heard().await;
        }
        brake.detach();
        let after = warm.handle.usage();
        let said = {
            let mut current = warm.current();
            current.streams = [None, None];
            std::mem::take(&mut current.said)
        };
        let usage = Usage {
            cpu_time: after.cpu_time.saturating_sub(before.cpu_time).as_secs_f64(),
            wall_time: after.wall_time.saturating_sub(before.wall_time).as_secs_f64(),
            memory: i64::try_from(after.peak_memory).unwrap_or(i64::MAX),
            output: i64::try_from(after.output - before.output).unwrap_or(i64::MAX),
        };
        let end = match called {
            Ok(Ok(_)) => succeeded(said),
            Ok(Err(Error::Python(error))) => raised(said, &error),
            over => {
                self.forget(warm);
                match (over, held.take()) {
                    (Ok(_), Some(session)) => match session.close().await {
                        Ok(report) => end(&report, said, brake.why()),
                        Err(error) => failed(format!("vtwasm failed: {error}")),
                    },
                    _ => End {
                        limit: Some("wall_time"),
                        ..failed("it hit its limit of wall time".into())
                    },
                }
            }
        };
        End { usage, ..end }
    }
}

/// Ends the session that was asked for longest ago and has no job now, a tenant's or any.
fn end_oldest(all: &mut HashMap<Key, Arc<Warm>>, tenant: Option<&str>) -> bool {
    let is_free = |(key, warm): &(&Key, &Arc<Warm>)| {
        tenant.is_none_or(|tenant| key.0 == tenant) && warm.session.try_lock().is_ok()
    };
    let oldest = all.iter().filter(is_free).min_by_key(|(_, warm)| warm.used());
    let oldest = oldest.map(|(key, _)| key.clone());
    oldest.is_some_and(|key| all.remove(&key).is_some())
}

impl Warm {
    fn start(mut builder: Builder, rules: &Rules) -> Result<Warm> {
        let current = Arc::new(Mutex::new(Current::default()));
        let output = |index| {
            let current = current.clone();
            Output::AsyncWriter(Box::pin(Writer { current, index }))
        };
        let mut limits = rules.limits(&crate::job::Limits::default());
        // Of each job, not of all.
        limits.wall_time = None;
        builder.limits(limits).stdout(output(0)).stderr(output(1));
        crate::run::network(&mut builder, rules)?;
        let asked = current.clone();
        builder.host_function(crate::run::MODULE, "submission", move |_| {
            let submission = lock(&asked).submission.clone();
            async { Ok(submission) }
        })?;
        let told = current.clone();
        builder.host_function(crate::run::MODULE, "result", move |mut arguments| {
            let mut current = lock(&told);
            let most = current.most;
            let result = arguments.required(0, "result");
            let told = result.and_then(|json| checked(json, most));
            let told = told.map(|json| current.said.result = Some(json));
            async { told }
        })?;
        let told = current.clone();
        builder.host_function(crate::run::MODULE, "failed", move |mut arguments| {
            let error = arguments.required::<String>(0, "error");
            let told = error.map(|error| lock(&told).said.error = Some(error));
            async { told }
        })?;
        let session = Session::start(&mut builder)?;
        Ok(Warm {
            handle: session.handle(),
            session: Arc::new(AsyncMutex::new(Some(session))),
            current,
            used: Mutex::new(Instant::now()),
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }

    fn used(&self) -> Instant {
        *self.used.lock().expect("no code panics with the lock")
    }

    /// Whether it has used up half of what it may.
    fn is_worn(&self, rules: &Rules) -> bool {
        let usage = self.handle.usage();
        usage.cpu_time.as_secs_f64() > rules.cpu_time / 2.0 || usage.output > rules.output / 2
    }

    /// What the job has written has arrived.
    async fn heard(&self) {
        let until = Instant::now() + PATIENCE;
        while self.current().received < self.handle.usage().output && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().expect("no code panics with the lock")
}

/// A stream of a session, which is that of the job whose turn it is; between them nobody hears what is written.
struct Writer {
    current: Arc<Mutex<Current>>,
    index: usize,
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut current = lock(&self.current);
        let written = match &mut current.streams[self.index] {
            Some(stream) => std::task::ready!(Pin::new(stream).poll_write(context, bytes)),
            None => Ok(bytes.len()),
        };
        // A job that has left does not end the session.
        let written = written.unwrap_or(bytes.len());
        current.received += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn submission(job: &Claimed) -> Value {
    Value::List(vec![
        job.submission.source.as_str().into(),
        job.submission.arguments.to_string().as_str().into(),
        Value::None,
    ])
}

fn succeeded(said: Said) -> End {
    End {
        verdict: Verdict::Success,
        error: None,
        exit_code: Some(0),
        result: said.result,
        ..failed(String::new())
    }
}

/// `job.py` has told of an exception; but `sys.exit()` is one as well.
fn raised(said: Said, error: &PythonError) -> End {
    let code = match (error.exception.as_str(), error.message.as_str()) {
        ("SystemExit", "" | "None") => 0,
        ("SystemExit", code) => code.parse().unwrap_or(1),
        _ => 1,
    };
    if code == 0 {
        return succeeded(said);
    }
    let error = match error.exception.as_str() {
        "SystemExit" => format!("it ended with exit code {code}"),
        _ => error.to_string(),
    };
    End {
        exit_code: Some(code),
        ..failed(said.error.unwrap_or(error))
    }
}

fn killed(brake: &Brake) -> End {
    End {
        verdict: match brake.why() {
            Some(crate::run::Why::Cancelled) => Verdict::Revoked,
            _ => Verdict::GivenBack,
        },
        ..failed("it was cancelled, or its worker left".into())
    }
}
