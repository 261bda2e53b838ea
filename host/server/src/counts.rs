//! What a process has done, for its metrics.

use crate::job::State;
use crate::metrics::Durations;
use crate::store::End;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Counts {
    claims: AtomicU64,
    claimed: AtomicU64,
    /// Ended with success, failure, revoked, and to start again.
    ended: [AtomicU64; 4],
    limited: Mutex<BTreeMap<&'static str, u64>>,
    durations: Durations,
}

impl Counts {
    pub(crate) fn add_claim(&self, jobs: usize) {
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.claimed.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_end(&self, state: State, end: &End) {
        let index = match state {
            State::Success => 0,
            State::Failure => 1,
            State::Revoked => 2,
            _ => 3,
        };
        self.ended[index].fetch_add(1, Ordering::Relaxed);
        if let Some(limit) = end.limit {
            let mut limited = self.limited.lock().expect("no code panics with the lock");
            *limited.entry(limit).or_default() += 1;
        }
        let took = Duration::try_from_secs_f64(end.usage.wall_time).unwrap_or_default();
        self.durations.add(format!("state=\"{}\"", state.name()), took);
    }

    pub(crate) fn claims(&self) -> u64 {
        self.claims.load(Ordering::Relaxed)
    }

    pub(crate) fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Relaxed)
    }

    /// How many runs have ended, by their job's state then.
    pub(crate) fn ended(&self) -> [(State, u64); 4] {
        let states = [State::Success, State::Failure, State::Revoked, State::Retry];
        let mut counts = self.ended.iter().map(|count| count.load(Ordering::Relaxed));
        states.map(|state| (state, counts.next().unwrap_or(0)))
    }

    /// How many have hit a limit, with the limit as a label.
    pub(crate) fn limited(&self) -> Vec<(String, u64)> {
        let limited = self.limited.lock().expect("no code panics with the lock");
        let label = |(limit, count): (&&str, &u64)| (format!("{{limit=\"{limit}\"}}"), *count);
        limited.iter().map(label).collect()
    }

    pub(crate) fn durations(&self) -> &Durations {
        &self.durations
    }
}

/// What was done from time to time.
#[derive(Default)]
pub(crate) struct Sweeps {
    pub(crate) jobs: AtomicU64,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Of schedules: with a job, and without.
    pub(crate) turns: [AtomicU64; 2],
}

impl Sweeps {
    pub(crate) fn add(count: &AtomicU64, more: impl TryInto<u64>) {
        count.fetch_add(more.try_into().unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn get(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}
