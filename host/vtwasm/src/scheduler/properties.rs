//! The scheduler against a naive model: random programs, the same answers, and what must never happen.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Spawn,
    Block(u8, Option<u8>),
    Yield,
    Finish,
    Wake(u8),
    Pass(u8),
    Interrupt,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Spawn),
        4 => (0..3_u8, proptest::option::of(0..40_u8)).prop_map(|(reason, delay)| Step::Block(reason, delay)),
        2 => Just(Step::Yield),
        1 => Just(Step::Finish),
        4 => (0..12_u8).prop_map(Step::Wake),
        3 => (0..20_u8).prop_map(Step::Pass),
        1 => Just(Step::Interrupt),
    ]
}

/// What is known of a fiber without any queue.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    Gone,
    Ready,
    Running,
    Blocked { deadline: Option<u64> },
}

const LIMIT: usize = 8;
const UNIT: u64 = 1_000_000;

proptest! {
    #[test]
    fn no_wake_is_lost_no_fiber_runs_twice_none_starves(steps in proptest::collection::vec(step(), 1..400)) {
        let mut scheduler = Scheduler::new(LIMIT);
        let mut model = vec![Model::Gone; LIMIT + 2];
        model[1] = Model::Running;
        let mut now = 0;
        for step in steps {
            apply(&step, &mut scheduler, &mut model, &mut now)?;
            for (id, fiber) in model.iter_mut().enumerate() {
                if matches!(fiber, Model::Blocked { deadline: Some(at) } if *at <= now) {
                    *fiber = Model::Ready;
                    prop_assert!(id > 0);
                }
            }
            scheduler.expire(now);
            match scheduler.pick(now) {
                Some(Pick::Start(fiber, _) | Pick::Resume(fiber, _)) => {
                    let picked = &mut model[fiber.0 as usize];
                    prop_assert!(matches!(picked, Model::Ready), "{fiber:?} was {picked:?}");
                    *picked = Model::Running;
                }
                None => {
                    let ready = model.iter().any(|fiber| matches!(fiber, Model::Ready));
                    prop_assert!(scheduler.running().is_some() || !ready, "a ready fiber was not picked");
                }
            }
            prop_assert_eq!(model.iter().filter(|fiber| **fiber == Model::Running).count(),
                usize::from(scheduler.running().is_some()));
            let waits_for_nothing = model.iter().all(|fiber| matches!(fiber, Model::Gone | Model::Blocked { deadline: None }));
            prop_assert_eq!(scheduler.is_deadlocked(), waits_for_nothing);
            let earliest = model.iter().filter_map(|fiber| match fiber {
                Model::Blocked { deadline } => *deadline,
                _ => None,
            }).min();
            prop_assert_eq!(scheduler.next_live_deadline(), earliest);
        }
        nobody_starves(&mut scheduler, &model, now)?;
    }
}

fn apply(
    step: &Step,
    scheduler: &mut Scheduler,
    model: &mut [Model],
    now: &mut u64,
) -> Result<(), TestCaseError> {
    let running = scheduler.running().map(|fiber| fiber.0 as usize);
    match (step, running) {
        (Step::Pass(units), _) => *now += u64::from(*units) * UNIT,
        (Step::Wake(id), _) => {
            scheduler.wake(FiberId(u32::from(*id)), Wake::Ready);
            if let Some(fiber @ Model::Blocked { .. }) = model.get_mut(*id as usize) {
                *fiber = Model::Ready;
            }
        }
        (Step::Interrupt, _) => {
            scheduler.interrupt();
            if matches!(model[1], Model::Blocked { .. }) {
                model[1] = Model::Ready;
            }
        }
        (Step::Spawn, Some(_)) => {
            let live = model.iter().filter(|fiber| **fiber != Model::Gone).count();
            let fiber = scheduler.spawn(7);
            prop_assert_eq!(fiber.is_some(), live <= LIMIT);
            if let Some(fiber) = fiber {
                prop_assert_eq!(model[fiber.0 as usize], Model::Gone);
                model[fiber.0 as usize] = Model::Ready;
            }
        }
        (Step::Yield, Some(id)) => {
            scheduler.block(*now, Reason::Yield, None);
            model[id] = Model::Ready;
        }
        (Step::Block(reason, delay), Some(id)) => {
            let deadline = delay.map(|delay| *now + u64::from(delay) * UNIT);
            let reason = [Reason::Sleep, Reason::Semaphore, Reason::Condition][*reason as usize];
            let interrupted = id == 1 && scheduler.interrupt;
            scheduler.block(*now, reason, deadline);
            model[id] = if interrupted {
                Model::Ready
            } else {
                Model::Blocked { deadline }
            };
        }
        // The main fiber never finishes: the run ends with it.
        (Step::Finish, Some(id)) if id != 1 => {
            scheduler.finish();
            model[id] = Model::Gone;
        }
        _ => {}
    }
    Ok(())
}

/// With every fiber only giving way from now on, each ready one gets its turn.
fn nobody_starves(scheduler: &mut Scheduler, model: &[Model], mut now: u64) -> Result<(), TestCaseError> {
    let mut owed: Vec<u32> = (1..model.len() as u32)
        .filter(|id| matches!(model[*id as usize], Model::Ready))
        .collect();
    for _ in 0..4 * model.len() {
        now += 10 * UNIT;
        scheduler.block(now, Reason::Preempt, None);
        if let Some(Pick::Start(fiber, _) | Pick::Resume(fiber, _)) = scheduler.pick(now) {
            owed.retain(|id| *id != fiber.0);
        }
    }
    prop_assert!(owed.is_empty(), "{owed:?} starve");
    Ok(())
}
