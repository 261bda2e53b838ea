//! The policy: which fiber runs next, and when a running one must give way.
//!
//! Nothing here knows wasmtime, tokio or a clock; time comes in as an argument, in nanoseconds since
//! the sandbox was made. One fiber runs at a time and every wake goes through here, so a seeded or
//! recorded schedule is another `pick` and not another program.
//!
//! The rule: fibers that were woken go first, in the order of their wakes, because they have usually
//! little to do. A fiber that gave way goes after them; if they keep coming, the two kinds take turns,
//! so that neither starves the other. A running fiber gives way after one interval, or after half of one when a
//! woken fiber waits for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// A fiber of one sandbox. The main fiber is 1; 0 is never a fiber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiberId(pub u32);

impl FiberId {
    /// The fiber that `run` of the guest runs on.
    pub const MAIN: FiberId = FiberId(1);

    fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// What a blocked fiber waits for, in the words of `wit/world.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reason {
    Yield,
    Preempt,
    Sleep,
    Mutex,
    Condition,
    Semaphore,
    Rwlock,
    Join,
    Io,
    Exit,
}

/// Why a fiber goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke it, or it only gave way.
    Ready,
    /// Its deadline has passed.
    TimedOut,
    /// The main fiber: an interrupt is delivered.
    Interrupted,
    /// The main fiber: nothing is left that could wake anybody.
    Deadlocked,
}

/// What is to be done with the fiber that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Its first run: call the guest's `run-thread` with this argument.
    Start(FiberId, u32),
    /// It is parked: let `park` return this.
    Resume(FiberId, Wake),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The slot waits for its next fiber.
    Free,
    /// Spawned and not yet picked; the argument of `run-thread`. In `woken`.
    New(u32),
    /// In `woken` or in `yielded`.
    Ready(Wake),
    Running,
    /// In `timers` iff there is a deadline.
    Blocked(Option<u64>),
}

#[derive(Debug)]
struct Fiber {
    state: State,
    /// Counts the blocks of this slot, so that a timer of an earlier one is known as stale.
    generation: u32,
    /// It asked to be told of something outside, until its next block is over.
    subscribed: bool,
    /// That happened before it blocked.
    notified: bool,
}

/// The fibers of one sandbox and the order in which they run.
#[derive(Debug)]
pub struct Scheduler {
    fibers: Vec<Fiber>,
    free: Vec<FiberId>,
    limit: usize,
    woken: VecDeque<FiberId>,
    /// Fibers that gave way, each with the time since when.
    yielded: VecDeque<(FiberId, u64)>,
    /// Deadlines of blocked fibers; entries of another generation are stale.
    timers: BinaryHeap<Reverse<(u64, FiberId, u32)>>,
    running: Option<FiberId>,
    slice_start: u64,
    /// Whether the last pick came from `yielded`.
    from_yielded: bool,
    /// When a fiber picked from `yielded` last stopped running: the woken ones' turn began.
    woken_turn: u64,
    interval: u64,
    live: usize,
    /// Blocked fibers that are subscribed.
    waiting_outside: usize,
    interrupt: bool,
    switches: u64,
}

impl Scheduler {
    /// A scheduler whose main fiber runs, with room for `limit` fibers besides it.
    pub fn new(limit: usize) -> Scheduler {
        Scheduler {
            fibers: vec![Fiber {
                state: State::Running,
                generation: 0,
                subscribed: false,
                notified: false,
            }],
            free: Vec::new(),
            limit: limit.saturating_add(1),
            woken: VecDeque::new(),
            yielded: VecDeque::new(),
            timers: BinaryHeap::new(),
            running: Some(FiberId::MAIN),
            slice_start: 0,
            from_yielded: false,
            woken_turn: 0,
            interval: 5_000_000,
            live: 1,
            waiting_outside: 0,
            interrupt: false,
            switches: 0,
        }
    }

    /// How long a fiber may run while another waits its turn (`sys.setswitchinterval`).
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
    }

    /// The fiber that runs, unless all of them wait.
    pub fn running(&self) -> Option<FiberId> {
        self.running
    }

    /// How many fibers have not finished.
    pub fn live(&self) -> usize {
        self.live
    }

    /// How many times a fiber was picked.
    pub fn switches(&self) -> u64 {
        self.switches
    }

    /// The fibers that were woken, or are new, in the order in which they will run.
    pub(crate) fn woken(&self) -> &VecDeque<FiberId> {
        &self.woken
    }

    /// Whether the last pick was a fiber that had given way, and not the first of those that were woken.
    pub(crate) fn is_from_yielded(&self) -> bool {
        self.from_yielded
    }

    /// A new fiber, ready to call `run-thread(thread)`; `None` beyond the limit.
    pub fn spawn(&mut self, thread: u32) -> Option<FiberId> {
        if self.live >= self.limit {
            return None;
        }
        self.live += 1;
        let fiber = self.free.pop().unwrap_or_else(|| {
            self.fibers.push(Fiber {
                state: State::Free,
                generation: 0,
                subscribed: false,
                notified: false,
            });
            FiberId(u32::try_from(self.fibers.len()).expect("fewer fibers than addresses"))
        });
        self.fibers[fiber.index()].state = State::New(thread);
        self.woken.push_back(fiber);
        Some(fiber)
    }

    /// The running fiber parks. Without a running fiber (a guest that calls in a wrong order)
    /// nothing happens.
    pub fn block(&mut self, now: u64, reason: Reason, deadline: Option<u64>) {
        let Some(fiber) = self.running.take() else {
            return;
        };
        let slot = &mut self.fibers[fiber.index()];
        // What was subscribed to before a wait of another kind is of no interest any more.
        let subscribed = std::mem::take(&mut slot.subscribed) && reason == Reason::Io;
        let notified = std::mem::take(&mut slot.notified);
        if matches!(reason, Reason::Yield | Reason::Preempt) {
            slot.state = State::Ready(Wake::Ready);
            self.yielded.push_back((fiber, now));
            return;
        }
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::Blocked(deadline);
        slot.subscribed = subscribed;
        self.waiting_outside += usize::from(subscribed);
        if let Some(deadline) = deadline {
            self.timers.push(Reverse((deadline, fiber, slot.generation)));
            self.drop_stale_timers();
        }
        if fiber == FiberId::MAIN && self.interrupt {
            self.wake(fiber, Wake::Interrupted);
        } else if subscribed && notified {
            self.wake(fiber, Wake::Ready);
        }
    }

    /// The running fiber is over; its slot may serve another one.
    pub fn finish(&mut self) {
        if let Some(fiber) = self.running.take() {
            let slot = &mut self.fibers[fiber.index()];
            slot.state = State::Free;
            slot.subscribed = false;
            self.free.push(fiber);
            self.live -= 1;
        }
    }

    /// A blocked fiber becomes ready. Any other one stays as it is: there is no permit.
    pub fn wake(&mut self, fiber: FiberId, wake: Wake) {
        let Some(slot) = self.fibers.get_mut((fiber.0 as usize).wrapping_sub(1)) else {
            return;
        };
        if let State::Blocked(_) = slot.state {
            self.waiting_outside -= usize::from(std::mem::take(&mut slot.subscribed));
            slot.state = State::Ready(wake);
            self.woken.push_back(fiber);
        }
    }

    /// The running fiber asks to be told of something outside until its next block is over, which is
    /// for input or output. Gives the fiber and the number of its blocks so far, which tells this
    /// subscription from those of earlier blocks.
    pub fn subscribe(&mut self) -> Option<(FiberId, u32)> {
        let fiber = self.running?;
        let slot = &mut self.fibers[fiber.index()];
        slot.subscribed = true;
        Some((fiber, slot.generation))
    }

    /// Something happened outside that the fiber subscribed to: it wakes, or its next block is over at
    /// once, since the world outside does not wait until it has parked. A fiber that has gone on since
    /// is left alone.
    pub fn notify(&mut self, fiber: FiberId) {
        let slot = self.fibers.get_mut((fiber.0 as usize).wrapping_sub(1));
        if let Some(slot) = slot.filter(|slot| slot.subscribed) {
            slot.notified = slot.state == State::Running;
            self.wake(fiber, Wake::Ready);
        }
    }

    /// The main fiber gets an interrupt at its next park, or now if it waits.
    pub fn interrupt(&mut self) {
        self.interrupt = true;
        self.wake(FiberId::MAIN, Wake::Interrupted);
    }

    /// Wakes every fiber whose deadline is not after `now`.
    pub fn expire(&mut self, now: u64) {
        while let Some(&Reverse((deadline, fiber, generation))) = self.timers.peek() {
            if !self.is_current(fiber, generation) {
                self.timers.pop();
            } else if deadline <= now {
                self.timers.pop();
                self.wake(fiber, Wake::TimedOut);
            } else {
                break;
            }
        }
    }

    /// The earliest deadline that somebody waits for.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.peek().map(|&Reverse((deadline, ..))| deadline)
    }

    /// If no fiber runs, the one that runs next.
    pub fn pick(&mut self, now: u64) -> Option<Pick> {
        if self.running.is_some() {
            return None;
        }
        if self.from_yielded {
            self.woken_turn = now;
        }
        self.from_yielded = self.woken.is_empty() || self.yielded_is_due(now);
        let fiber = match self.from_yielded {
            true => self.yielded.pop_front()?.0,
            false => self.woken.pop_front()?,
        };
        self.running = Some(fiber);
        self.slice_start = now;
        self.switches += 1;
        let slot = &mut self.fibers[fiber.index()];
        match std::mem::replace(&mut slot.state, State::Running) {
            State::New(thread) => Some(Pick::Start(fiber, thread)),
            State::Ready(mut wake) => {
                if fiber == FiberId::MAIN && std::mem::take(&mut self.interrupt) {
                    wake = Wake::Interrupted;
                }
                Some(Pick::Resume(fiber, wake))
            }
            state => unreachable!("{fiber:?} was queued as {state:?}"),
        }
    }

    /// Whether the running fiber should be asked to give way.
    pub fn should_preempt(&self, now: u64) -> bool {
        let Some(running) = self.running else {
            return false;
        };
        let ran = now.saturating_sub(self.slice_start);
        // An interrupt is delivered in a park: the running fiber, whichever it is, must reach one.
        let interrupted = self.interrupt && (running == FiberId::MAIN || self.main_is_ready());
        interrupted
            || (!self.woken.is_empty() && ran >= self.interval / 2)
            || (!self.yielded.is_empty() && ran >= self.interval)
    }

    /// Nothing runs, is ready, sleeps or waits for the world outside: nobody will ever go on.
    pub fn is_deadlocked(&self) -> bool {
        self.running.is_none()
            && self.woken.is_empty()
            && self.yielded.is_empty()
            && self.waiting_outside == 0
            && !self
                .timers
                .iter()
                .any(|&Reverse((_, fiber, generation))| self.is_current(fiber, generation))
    }

    /// Both kinds wait: the woken ones had an interval, and so waited the first that gave way.
    fn yielded_is_due(&self, now: u64) -> bool {
        let waited = |since: u64| now.saturating_sub(since) >= self.interval;
        self.yielded
            .front()
            .is_some_and(|&(_, since)| waited(since) && waited(self.woken_turn))
    }

    /// The earliest deadline, found the slow way.
    #[cfg(test)]
    fn next_live_deadline(&self) -> Option<u64> {
        let live = self
            .timers
            .iter()
            .filter(|&&Reverse((_, fiber, generation))| self.is_current(fiber, generation));
        live.map(|&Reverse((deadline, ..))| deadline).min()
    }

    fn main_is_ready(&self) -> bool {
        matches!(self.fibers[FiberId::MAIN.index()].state, State::Ready(_))
    }

    fn is_current(&self, fiber: FiberId, generation: u32) -> bool {
        let slot = &self.fibers[fiber.index()];
        slot.generation == generation && matches!(slot.state, State::Blocked(Some(_)))
    }

    /// Timed waits that end early leave their timers behind; half of the heap may be such.
    fn drop_stale_timers(&mut self) {
        if self.timers.len() > 64 + 2 * self.live {
            let timers = std::mem::take(&mut self.timers);
            self.timers = timers
                .into_iter()
                .filter(|&Reverse((_, fiber, generation))| self.is_current(fiber, generation))
                .collect();
        }
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;
