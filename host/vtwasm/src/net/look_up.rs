//! Names and addresses looked up by the system's resolver, without stopping anybody.
//!
//! getaddrinfo(3) can only be called and waited for, so it has threads of its own: the system's hosts
//! file, name servers and other sources count as they do for every program, and unlike tokio's blocking
//! threads these do not hold a runtime back that shuts down. A look-up whose sandbox has ended is not
//! begun; one that has begun ends by itself, and its answer is dropped.

use super::imports::Readiness;
use super::ranges::canonical;
use super::rules::normal_name;
use super::table::{Entry, Handle};
use super::waiting::Waiters;
use super::{Inner, Net};
use crate::errno::{self, Errno};
use dns_lookup::{LookupError, LookupErrorKind};
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::Duration;

/// Look-ups that one sandbox has running; more of it wait, so that others have their turn.
const RUNNING: usize = 4;
/// Threads of one engine.
const THREADS: usize = 16;
/// A thread without work ends after so long.
const IDLE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Clone)]
enum Question {
    Addresses(String),
    Name(IpAddr),
}

enum Answer {
    Addresses(Result<Vec<IpAddr>, Errno>),
    Name(Result<String, Errno>),
}

pub(super) struct LookUp {
    question: Question,
    answer: Option<Answer>,
    pub(super) waiters: Waiters,
}

impl LookUp {
    pub(super) fn is_done(&self) -> bool {
        self.answer.is_some()
    }
}

/// The look-ups of one sandbox that wait for an answer.
#[derive(Default)]
pub(super) struct LookUps {
    running: usize,
    waiting: VecDeque<Handle>,
}

impl LookUps {
    pub(super) fn cancel(&mut self, handle: Handle) {
        self.waiting.retain(|waiting| *waiting != handle);
    }
}

impl Net {
    pub(crate) fn look_up(self: &Arc<Self>, name: &str) -> Result<Handle, Errno> {
        let name = normal_name(name).ok_or(errno::NOENT)?;
        let allowed = self.network.check_name(&name);
        self.begin(allowed, Question::Addresses(name))
    }

    pub(crate) fn look_up_address(self: &Arc<Self>, address: IpAddr) -> Result<Handle, Errno> {
        let address = canonical(address);
        let allowed = self.network.check_address(address);
        self.begin(allowed, Question::Name(address))
    }

    pub(crate) fn addresses(&self, handle: Handle) -> Result<Vec<IpAddr>, Errno> {
        match self.answer(handle)? {
            Answer::Addresses(answer) => answer,
            Answer::Name(_) => Err(errno::INVAL),
        }
    }

    pub(crate) fn name(&self, handle: Handle) -> Result<String, Errno> {
        match self.answer(handle)? {
            Answer::Name(answer) => answer,
            Answer::Addresses(_) => Err(errno::INVAL),
        }
    }

    fn answer(&self, handle: Handle) -> Result<Answer, Errno> {
        let mut inner = self.lock();
        let look_up = inner.table.look_up(handle).ok_or(errno::BADF)?;
        match &look_up.answer {
            Some(Answer::Addresses(answer)) => Ok(Answer::Addresses(answer.clone())),
            Some(Answer::Name(answer)) => Ok(Answer::Name(answer.clone())),
            None => Err(errno::AGAIN),
        }
    }

    fn begin(self: &Arc<Self>, allowed: Result<(), String>, question: Question) -> Result<Handle, Errno> {
        let mut inner = self.lock();
        inner.permit(allowed)?;
        let handle = inner.table.insert(Entry::LookUp(LookUp {
            question,
            answer: None,
            waiters: Waiters::default(),
        }))?;
        inner.look_ups.waiting.push_back(handle);
        self.run_next(&mut inner);
        Ok(handle)
    }

    /// Hands the next look-up to a thread if not too many run.
    fn run_next(self: &Arc<Self>, inner: &mut Inner) {
        while inner.look_ups.running < RUNNING
            && let Some(handle) = inner.look_ups.waiting.pop_front()
        {
            let Some(look_up) = inner.table.look_up(handle) else {
                continue;
            };
            let question = look_up.question.clone();
            let resolver = self.network.resolver();
            let net: Weak<Net> = Arc::downgrade(self);
            let job = move || {
                // The sandbox may have ended while this waited for a thread.
                if net.strong_count() == 0 {
                    return;
                }
                let ask = || match &question {
                    Question::Addresses(name) => Answer::Addresses(match resolver {
                        Some(resolver) => resolver(name).map_err(|error| errno_of(&error)),
                        None => system_addresses(name),
                    }),
                    Question::Name(address) => Answer::Name(system_name(*address)),
                };
                // An embedder's function may panic; the sandbox then has no answer.
                let answer = catch_unwind(AssertUnwindSafe(ask));
                if let Some(net) = net.upgrade() {
                    net.answered(
                        handle,
                        &question,
                        answer.unwrap_or(Answer::Addresses(Err(errno::IO))),
                    );
                }
            };
            inner.look_ups.running += 1;
            if self.threads.run(Box::new(job)).is_err() {
                inner.look_ups.running -= 1;
                self.settle(inner, handle, Answer::Addresses(Err(errno::IO)));
            }
        }
    }

    /// On the thread that has the answer.
    fn answered(self: &Arc<Self>, handle: Handle, question: &Question, mut answer: Answer) {
        let mut inner = self.lock();
        if let (Question::Addresses(name), Answer::Addresses(Ok(found))) = (question, &mut answer) {
            self.network.note(name, found, &mut inner.answers);
            if found.is_empty() {
                answer = Answer::Addresses(Err(errno::NOENT));
            }
        }
        inner.look_ups.running -= 1;
        self.settle(&mut inner, handle, answer);
        self.run_next(&mut inner);
        drop(inner);
        self.fibers.wake_driver();
    }

    fn settle(&self, inner: &mut Inner, handle: Handle, answer: Answer) {
        // It may have been closed meanwhile.
        if let Some(look_up) = inner.table.look_up(handle) {
            look_up.answer = Some(answer);
            self.notify(look_up.waiters.take(Readiness::READABLE));
        }
    }
}

fn system_addresses(name: &str) -> Result<Vec<IpAddr>, Errno> {
    let found = dns_lookup::lookup_host(name).map_err(|error| errno_of_look_up(&error))?;
    let mut addresses = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn system_name(address: IpAddr) -> Result<String, Errno> {
    dns_lookup::lookup_addr(&address).map_err(|error| errno_of_look_up(&error))
}

fn errno_of_look_up(error: &LookupError) -> Errno {
    match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => errno::NOENT,
        _ => errno::IO,
    }
}

fn errno_of(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::NotFound => errno::NOENT,
        _ => errno::IO,
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one engine on which look-ups wait.
#[derive(Default)]
pub(crate) struct Threads {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code panics with the lock")
    }

    /// Runs the job when a thread is free. An error if there is none and none can be made.
    fn run(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut queue = self.lock();
        if queue.idle <= queue.jobs.len() && queue.threads < THREADS {
            let threads = self.clone();
            let thread = std::thread::Builder::new().name("vtwasm-look-up".into());
            match thread.spawn(move || threads.work()) {
                Ok(_) => queue.threads += 1,
                Err(error) if queue.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        queue.jobs.push_back(job);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.lock();
                continue;
            }
            queue.idle += 1;
            let waited = self.changed.wait_timeout(queue, IDLE);
            let (woken, waited) = waited.expect("no code panics with the lock");
            queue = woken;
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}
