//! What the threads of a run did and when, where that is asked for ([`Builder::record_timeline`](crate::Builder)).
//!
//! Nothing is noted inside the scheduler: after each of its steps, what has changed can be seen. So a run that
//! is not recorded pays for one question a step.

use crate::scheduler::{FiberId, Reason, Scheduler};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What the threads of a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// By number; a thread of which nothing was kept is not there.
    pub threads: Vec<ThreadTimeline>,
    /// Changes that were not kept, because there were more than were asked for. Those before them are whole.
    pub dropped: u64,
    /// Up to here it is known what happened, in microseconds: the run's end, or the first change that was dropped.
    pub end: u64,
}

/// What one thread did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadTimeline {
    /// 0 is the main thread; the others are counted in the order in which they were started.
    pub number: u32,
    /// One after the other, and nothing between them. The last one ends with the thread, or with the timeline.
    pub spans: Vec<Span>,
}

/// For how long a thread did one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// Microseconds since the sandbox was made.
    pub begin: u64,
    /// Microseconds since the sandbox was made.
    pub end: u64,
    /// What it did.
    pub activity: Activity,
    /// What it waited for, as an address in the sandbox's memory: where it is the same, that was the same thing.
    pub subject: Option<u32>,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activity {
    /// It runs, or would if no other sandbox did, or waits for a file.
    Running,
    /// It could run, and another thread does.
    Ready,
    /// It sleeps.
    Sleeping,
    /// It waits for a lock or a semaphore. Python's locks, events and queues are such, and the end of a thread.
    Lock,
    /// It waits for a condition of C's.
    Condition,
    /// It waits for a thread of C's to end.
    Join,
    /// It waits for a descriptor, for a name's address, or for a host function.
    Io,
}

impl Activity {
    /// In one word: `running`, `ready`, `sleeping`, `lock`, `condition`, `join`, `io`.
    pub fn name(self) -> &'static str {
        match self {
            Activity::Running => "running",
            Activity::Ready => "ready",
            Activity::Sleeping => "sleeping",
            Activity::Lock => "lock",
            Activity::Condition => "condition",
            Activity::Join => "join",
            Activity::Io => "io",
        }
    }
}

impl fmt::Display for ThreadTimeline {
    /// Its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str("main"),
            number => write!(f, "thread {number}"),
        }
    }
}

impl Timeline {
    /// As JSON in Chrome's trace-event format, which Perfetto and `chrome://tracing` show.
    pub fn to_chrome_trace(&self) -> String {
        let mut text = format!(
            "{{\"otherData\":{{\"dropped\":{}}},\"traceEvents\":[\n",
            self.dropped
        );
        text.push_str(r#"{"ph":"M","pid":1,"name":"process_name","args":{"name":"vtwasm"}}"#);
        for thread in &self.threads {
            // 0 is no thread there.
            let id = thread.number + 1;
            let head = format!(",\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{id},\"name\":\"thread_");
            let _ = write!(text, "{head}name\",\"args\":{{\"name\":\"{thread}\"}}}}");
            let _ = write!(text, "{head}sort_index\",\"args\":{{\"sort_index\":{id}}}}}");
            for span in &thread.spans {
                let Span { begin, end, .. } = *span;
                let (name, length) = (span.activity.name(), end - begin);
                let _ = write!(
                    text,
                    ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":{id},\"ts\":{begin},\"dur\":{length},\"name\":\"{name}\",\"cat\":\"thread\""
                );
                if let Some(subject) = span.subject {
                    let _ = write!(text, ",\"args\":{{\"subject\":{subject}}}");
                }
                text.push('}');
            }
        }
        text.push_str("\n]}\n");
        text
    }
}

/// A timeline that is being recorded.
pub(crate) struct Recording {
    changes: Vec<Change>,
    most: usize,
    dropped: u64,
    /// Of the first change that was dropped.
    full: Option<u64>,
    /// Which thread each fiber is; fibers' numbers serve again. Index: fiber − 1.
    threads: Vec<u32>,
    /// Threads so far.
    count: u32,
    running: Option<FiberId>,
    switches: u64,
    /// How many of the scheduler's woken fibers are known to be ready.
    ready: usize,
}

struct Change {
    nanos: u64,
    thread: u32,
    subject: u32,
    /// `None`: it is over.
    to: Option<Activity>,
}

/// What the running fiber has just done, if it stopped.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// It parked, for this.
    Parked(Reason, u32),
    /// It is over, or somebody else did something.
    Other,
}

impl Recording {
    /// Of at most so many changes; the main fiber runs.
    pub(crate) fn new(most: usize) -> Recording {
        let mut recording = Recording {
            changes: Vec::new(),
            most,
            dropped: 0,
            full: None,
            threads: Vec::new(),
            count: 0,
            running: Some(FiberId::MAIN),
            switches: 0,
            ready: 0,
        };
        recording.spawn(FiberId::MAIN);
        recording.add(0, FiberId::MAIN, 0, Some(Activity::Running));
        recording
    }

    /// A fiber is a new thread from now on.
    pub(crate) fn spawn(&mut self, fiber: FiberId) {
        let index = fiber.0 as usize - 1;
        if index >= self.threads.len() {
            self.threads.resize(index + 1, 0);
        }
        self.threads[index] = self.count;
        self.count += 1;
    }

    /// Notes what a step of the scheduler has changed.
    pub(crate) fn look(&mut self, nanos: u64, scheduler: &Scheduler, step: Step) {
        let before = std::mem::replace(&mut self.running, scheduler.running());
        let picked = std::mem::replace(&mut self.switches, scheduler.switches()) != scheduler.switches();
        let woken = scheduler.woken();
        if picked && !scheduler.is_from_yielded() {
            // The first of them. If none was known, it was not ready before it ran.
            self.ready = self.ready.saturating_sub(1);
        }
        let again = before == self.running;
        if let Some(fiber) = before.filter(|_| !again) {
            let (to, subject) = match step {
                Step::Parked(reason, subject) => activity(reason, subject),
                Step::Other => (None, 0),
            };
            self.add(nanos, fiber, subject, to);
        }
        for &fiber in woken.iter().skip(self.ready) {
            self.add(nanos, fiber, 0, Some(Activity::Ready));
        }
        self.ready = woken.len();
        if let Some(fiber) = self.running.filter(|_| !again) {
            self.add(nanos, fiber, 0, Some(Activity::Running));
        }
    }

    fn add(&mut self, nanos: u64, fiber: FiberId, subject: u32, to: Option<Activity>) {
        if self.changes.len() >= self.most {
            self.dropped += 1;
            self.full.get_or_insert(nanos);
            return;
        }
        let thread = self.threads[fiber.0 as usize - 1];
        self.changes.push(Change {
            nanos,
            thread,
            subject,
            to,
        });
    }

    /// The run is over.
    pub(crate) fn finish(self, nanos: u64) -> Timeline {
        let end = self.full.unwrap_or(nanos);
        let mut threads = BTreeMap::<u32, (Vec<Span>, Option<Change>)>::new();
        for change in self.changes {
            let (spans, last) = threads.entry(change.thread).or_default();
            let until = change.nanos;
            spans.extend(last.replace(change).and_then(|last| last.until(until)));
        }
        let whole = threads.into_iter().map(|(number, (mut spans, last))| {
            spans.extend(last.and_then(|last| last.until(end)));
            ThreadTimeline { number, spans }
        });
        Timeline {
            threads: whole.collect(),
            dropped: self.dropped,
            end: micros(end),
        }
    }
}

impl Change {
    /// What lasted from then on. What lasted no time is nothing.
    fn until(&self, nanos: u64) -> Option<Span> {
        let activity = self.to.filter(|_| nanos > self.nanos)?;
        Some(Span {
            begin: micros(self.nanos),
            end: micros(nanos),
            activity,
            subject: Some(self.subject).filter(|&subject| subject != 0),
        })
    }
}

fn micros(nanos: u64) -> u64 {
    nanos / 1000
}

/// What a fiber does that parks, and what it waits for.
fn activity(reason: Reason, subject: u32) -> (Option<Activity>, u32) {
    match reason {
        Reason::Yield | Reason::Preempt => (Some(Activity::Ready), 0),
        Reason::Sleep => (Some(Activity::Sleeping), 0),
        Reason::Mutex | Reason::Semaphore | Reason::Rwlock => (Some(Activity::Lock), subject),
        Reason::Condition => (Some(Activity::Condition), subject),
        Reason::Join => (Some(Activity::Join), subject),
        Reason::Io => (Some(Activity::Io), subject),
        Reason::Exit => (None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A scheduler that is recorded, and who ran when.
    struct World {
        scheduler: Scheduler,
        recording: Recording,
        now: u64,
        ran: Vec<(u64, Option<u32>)>,
    }

    impl World {
        fn new(most: usize) -> World {
            World {
                scheduler: Scheduler::new(8),
                recording: Recording::new(most),
                now: 0,
                ran: Vec::new(),
            }
        }

        /// Each a step of the scheduler, as `Fibers` takes them.
        fn step(&mut self, kind: u8, which: u8) {
            let World {
                scheduler,
                recording,
                now,
                ran,
            } = self;
            let mut step = Step::Other;
            match kind {
                0 => {
                    if let Some(fiber) = scheduler.running().and_then(|_| scheduler.spawn(0)) {
                        recording.spawn(fiber);
                    }
                }
                1 => {
                    step = Step::Parked(Reason::Semaphore, u32::from(which));
                    scheduler.block(*now, Reason::Semaphore, None);
                }
                2 => {
                    step = Step::Parked(Reason::Yield, 0);
                    scheduler.block(*now, Reason::Yield, None);
                }
                3 => {
                    step = Step::Parked(Reason::Sleep, 0);
                    let until = *now + u64::from(which) * 500;
                    scheduler.block(*now, Reason::Sleep, Some(until));
                }
                4 if scheduler.running() != Some(FiberId::MAIN) => scheduler.finish(),
                // Of nobody's asking.
                _ => scheduler.wake(FiberId(u32::from(which)), crate::scheduler::Wake::Ready),
            }
            scheduler.expire(*now);
            scheduler.pick(*now);
            recording.look(*now, scheduler, step);
            let thread = scheduler
                .running()
                .map(|fiber| recording.threads[fiber.0 as usize - 1]);
            ran.push((*now, thread));
        }
    }

    proptest! {
        #[test]
        fn whoever_runs_is_said_to_run_and_nobody_else(
            steps in proptest::collection::vec((0..8_u8, 0..9_u8, 0..3_u64), 1..300)
        ) {
            let mut world = World::new(usize::MAX);
            for (kind, which, pass) in steps {
                world.now += 1000 * pass;
                world.step(kind, which);
            }
            let World { recording, now, ran, .. } = world;
            let end = now + 1000;
            let timeline = recording.finish(end);
            prop_assert_eq!((timeline.dropped, timeline.end), (0, end / 1000));
            for thread in &timeline.threads {
                for pair in thread.spans.windows(2) {
                    prop_assert_eq!(pair[0].end, pair[1].begin, "{} {:?}", thread, thread.spans);
                }
            }
            // Of steps at the same time the last one counts.
            let last = ran.iter().zip(ran.iter().skip(1)).filter(|((time, _), (next, _))| time != next);
            let last = last.map(|(step, _)| step).chain(ran.last());
            for &(time, thread) in last {
                let at = time / 1000;
                let runs = |thread: &&ThreadTimeline| thread.spans.iter()
                    .any(|span| span.begin <= at && at < span.end && span.activity == Activity::Running);
                let running = timeline.threads.iter().filter(runs).map(|thread| thread.number);
                prop_assert_eq!(running.collect::<Vec<_>>(), thread.into_iter().collect::<Vec<_>>(), "at {}", at);
            }
        }
    }

    #[test]
    fn what_is_kept_ends_where_the_first_change_was_dropped() {
        let mut world = World::new(3);
        // Main runs, starts a thread, sleeps: the thread that runs then is the fourth change.
        world.now = 1000;
        world.step(0, 0);
        world.now = 2000;
        world.step(3, 100);
        world.now = 9000;
        world.step(1, 7);
        let timeline = world.recording.finish(10_000);
        assert_eq!((timeline.dropped, timeline.end), (2, 2));
        let spans = timeline
            .threads
            .iter()
            .map(|thread| (thread.number, thread.spans.len()));
        assert_eq!(spans.collect::<Vec<_>>(), [(0, 1), (1, 1)]);
        assert_eq!(timeline.threads[1].spans[0].activity, Activity::Ready);
    }

    #[test]
    fn a_fiber_that_serves_again_is_another_thread() {
        let mut world = World::new(100);
        for time in [1000, 2000] {
            world.now = time;
            world.step(0, 0);
            world.step(3, 0);
            world.now += 500;
            world.step(5, 1);
            world.step(4, 0);
        }
        let timeline = world.recording.finish(5000);
        let numbers = timeline.threads.iter().map(|thread| thread.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(timeline.threads[2].to_string(), "thread 2");
    }
}
