//! The engine's clock thread: it wakes sandboxes whose earliest sleeper is due.
//!
//! tokio's timers have a granularity of one millisecond, so that a `sleep(0.0002)` would take five
//! times as long; this thread asks the kernel for wake-ups to the microsecond.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::Waker;
use std::time::Instant;

/// So many alarms are not worth looking through.
const FEW: usize = 1024;

/// A sandbox's place on the ticker: at most one deadline, and whom to wake.
#[derive(Default)]
pub(crate) struct Alarm {
    state: Mutex<(Option<Instant>, Option<Waker>)>,
}

impl Alarm {
    /// Wakes who waits, unless the alarm was set anew since.
    fn ring(&self, deadline: Instant) {
        let mut state = self.state.lock().expect("no code panics with the lock");
        if state.0 != Some(deadline) {
            return;
        }
        state.0 = None;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[derive(Default)]
struct Queue {
    alarms: BinaryHeap<Reverse<Entry>>,
    /// With so many, those of runs that are over are taken out.
    full: usize,
    stop: bool,
}

/// Weak: a run that is over keeps nothing until the time that it was limited to.
struct Entry(Instant, Weak<Alarm>);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.0 == other.0
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// The handle of the thread; it ends when this is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Ticker {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("vtwasm-ticker".into())
            .spawn(move || thread.run())?;
        Ok(Ticker { shared })
    }

    /// Wakes `waker` at `deadline`, or earlier: an alarm that rings too soon is simply set again.
    pub(crate) fn set(&self, alarm: &Arc<Alarm>, deadline: Instant, waker: &Waker) {
        let mut state = alarm.state.lock().expect("no code panics with the lock");
        state.1 = Some(waker.clone());
        if state.0.is_some_and(|armed| armed <= deadline) {
            return;
        }
        state.0 = Some(deadline);
        drop(state);
        let mut queue = self.shared.lock();
        let first = queue
            .alarms
            .peek()
            .is_none_or(|Reverse(entry)| deadline < entry.0);
        if queue.alarms.len() >= queue.full {
            queue.alarms.retain(|Reverse(entry)| entry.1.strong_count() > 0);
            queue.full = (2 * queue.alarms.len()).max(FEW);
        }
        queue.alarms.push(Reverse(Entry(deadline, Arc::downgrade(alarm))));
        if first {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code panics with the lock")
    }

    fn run(&self) {
        // The default slack of 50 µs would be added to every short sleep.
        #[cfg(target_os = "linux")]
        // SAFETY: it concerns this thread's timers only.
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        }
        let mut due = Vec::new();
        let mut queue = self.lock();
        while !queue.stop {
            take_due(&mut queue, Instant::now(), &mut due);
            if !due.is_empty() {
                // A waker is somebody else's code: it may set alarms, or drop the engine.
                drop(queue);
                due.drain(..).for_each(|(deadline, alarm)| alarm.ring(deadline));
                queue = self.lock();
                continue;
            }
            let until = queue.alarms.peek().map(|Reverse(entry)| entry.0);
            queue = match until {
                Some(until) => {
                    let pause = until.saturating_duration_since(Instant::now());
                    let waited = self.changed.wait_timeout(queue, pause);
                    waited.expect("no code panics with the lock").0
                }
                None => self.changed.wait(queue).expect("no code panics with the lock"),
            };
        }
    }
}

/// Moves the alarms whose time has come to `due`.
fn take_due(queue: &mut Queue, now: Instant, due: &mut Vec<(Instant, Arc<Alarm>)>) {
    while queue.alarms.peek().is_some_and(|Reverse(entry)| entry.0 <= now) {
        let Some(Reverse(Entry(deadline, alarm))) = queue.alarms.pop() else {
            return;
        };
        due.extend(alarm.upgrade().map(|alarm| (deadline, alarm)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    struct Send(mpsc::Sender<Instant>);
    impl std::task::Wake for Send {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(Instant::now());
        }
    }

    #[test]
    fn a_run_that_is_over_leaves_nothing_behind() {
        let ticker = Ticker::start().unwrap();
        let (sender, _) = mpsc::channel();
        let woken = Arc::new(Send(sender));
        let far = Instant::now() + Duration::from_secs(3600);
        for _ in 0..3 * FEW {
            ticker.set(&Arc::default(), far, &Waker::from(woken.clone()));
        }
        assert_eq!(Arc::strong_count(&woken), 1, "no waker is kept");
        assert!(ticker.shared.lock().alarms.len() <= FEW);
    }

    /// The last to know its engine, as an executor's task can be.
    struct Last(Mutex<Option<Ticker>>, mpsc::Sender<()>);
    impl std::task::Wake for Last {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            let _ = self.1.send(());
        }
    }

    #[test]
    fn a_waker_may_drop_the_engine() {
        let ticker = Ticker::start().unwrap();
        let (sender, dropped) = mpsc::channel();
        let last = Arc::new(Last(Mutex::new(Some(ticker)), sender));
        let alarm = Arc::new(Alarm::default());
        let soon = Instant::now() + Duration::from_millis(2);
        let held = last.0.lock().unwrap();
        held.as_ref()
            .unwrap()
            .set(&alarm, soon, &Waker::from(last.clone()));
        drop(held);
        dropped.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn an_alarm_never_rings_late_by_more_than_the_machine_is() {
        let ticker = Ticker::start().unwrap();
        let (sender, rung) = mpsc::channel();
        let waker = Waker::from(Arc::new(Send(sender)));
        let alarm = Arc::new(Alarm::default());
        let far = Instant::now() + Duration::from_secs(3600);
        ticker.set(&alarm, far, &waker);
        let soon = Instant::now() + Duration::from_millis(2);
        ticker.set(&alarm, soon, &waker);
        assert!(rung.recv_timeout(Duration::from_secs(10)).unwrap() >= soon);
    }
}
