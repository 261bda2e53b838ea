//! What happens at a tick, when the guest has spent its budget of checks (`fibers.tick` of `wit/world.wit`): the
//! run may be over, its fiber may have to give way, and other sandboxes get their turn.
//!
//! The guest counts checks, not time, so a tick also says how many checks the next slice has. A check takes from a
//! nanosecond to some tens; what is known to take longer is charged for as many (`xtask/src/recipe/checks.rs`).

use crate::driver::Deadlines;
use crate::imports::State;
use crate::outcome::Stop;
use std::time::Duration;

/// How far apart ticks shall be.
const TICK: Duration = Duration::from_micros(500);
/// A sandbox that computes lets other sandboxes of its tokio thread run after so long.
const TURN: Duration = Duration::from_millis(5);
/// A slice is not shorter, so that ticks never cost more than a few per cent;
const LEAST_CHECKS: u32 = 2_000;
/// nor longer, since the checks of the next one may take a hundred times as long as those of the last.
const MOST_CHECKS: u32 = 100_000;

/// When a sandbox was last looked at, in nanoseconds of [`Fibers::now`](crate::fibers::Fibers::now).
pub(crate) struct Ticks {
    deadlines: Deadlines,
    /// Of the current slice.
    checks: u32,
    slice_began: u64,
    looked: u64,
    turn_began: u64,
}

impl Ticks {
    pub(crate) fn new(deadlines: Deadlines) -> Ticks {
        Ticks {
            deadlines,
            checks: LEAST_CHECKS,
            slice_began: 0,
            looked: 0,
            turn_began: 0,
        }
    }
}

/// Looks at a guest that computes. True if other sandboxes shall run before it goes on.
///
/// # Errors
/// The run is over.
pub(crate) fn tick(state: &mut State) -> Result<bool, Stop> {
    let now = state.fibers.now();
    // What the sandbox has waited since is not the checks' time.
    let polled = state.fibers.poll_began();
    let ticks = &mut state.ticks;
    let began = ticks.slice_began.max(polled);
    ticks.checks = next_slice(ticks.checks, Duration::from_nanos(now.saturating_sub(began)));
    ticks.slice_began = now;
    ticks.turn_began = ticks.turn_began.max(polled);
    if now.saturating_sub(ticks.looked) < nanos(TICK) / 2 {
        return Ok(false);
    }
    ticks.looked = now;
    state.depths.tick(&state.fibers, state.memory.account())?;
    ticks.deadlines.check(&state.fibers)?;
    let has_had_its_turn = now.saturating_sub(ticks.turn_began) >= nanos(TURN);
    if has_had_its_turn {
        ticks.turn_began = now;
    }
    look(state);
    Ok(has_had_its_turn)
}

/// How many checks the guest has until the next tick.
pub(crate) fn checks(state: &State) -> u32 {
    state.ticks.checks
}

fn look(state: &State) {
    state.net.tick();
    let size = state.memory.size();
    let interval = state.control.and_then(|control| control.interval(size));
    if state.fibers.tick(interval, state.woken())
        && let Some(control) = state.control
    {
        control.ask_to_give_way(size);
    }
}

/// As many checks as will take a tick's time, if they take as long as those of the last slice did.
fn next_slice(checks: u32, took: Duration) -> u32 {
    let wanted = u128::from(checks) * TICK.as_nanos() / took.as_nanos().max(1);
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    wanted
        .min(checks.saturating_mul(2))
        .clamp(LEAST_CHECKS, MOST_CHECKS)
}

const fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_steady_work_come_to_last_a_tick() {
        for nanos_per_check in [5, 20, 200] {
            let mut checks = LEAST_CHECKS;
            for _ in 0..10 {
                checks = next_slice(checks, Duration::from_nanos(nanos_per_check * checks as u64));
            }
            let lasts = Duration::from_nanos(nanos_per_check * checks as u64);
            assert!(
                lasts > TICK * 9 / 10 && lasts <= TICK,
                "{lasts:?} at {nanos_per_check} ns"
            );
        }
    }

    #[test]
    fn a_slice_is_never_empty_nor_endless() {
        for took in [Duration::ZERO, Duration::from_secs(3600), Duration::MAX] {
            let mut checks = LEAST_CHECKS;
            for _ in 0..100 {
                checks = next_slice(checks, took);
                assert!((LEAST_CHECKS..=MOST_CHECKS).contains(&checks));
            }
        }
    }
}
