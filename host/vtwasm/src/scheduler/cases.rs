//! The policy by the cases of tests/policy.txt, which the host of the browser runs too.

use super::*;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/policy.txt");
const MS: u64 = 1_000_000;
const REASONS: [(&str, Reason); 10] = [
    ("yield", Reason::Yield),
    ("preempt", Reason::Preempt),
    ("sleep", Reason::Sleep),
    ("mutex", Reason::Mutex),
    ("condition", Reason::Condition),
    ("semaphore", Reason::Semaphore),
    ("rwlock", Reason::Rwlock),
    ("join", Reason::Join),
    ("io", Reason::Io),
    ("exit", Reason::Exit),
];

#[test]
fn the_policy_is_what_its_cases_say() {
    let text = std::fs::read_to_string(CASES).expect("tests/policy.txt is there");
    let mut scheduler = Scheduler::new(0);
    let mut name = "";
    let mut count = 0;
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(case) = line.strip_prefix("case ") {
            let (limit, rest) = case.split_once(' ').expect("a limit and a name");
            scheduler = Scheduler::new(limit.parse().expect("a limit"));
            name = rest;
            count += 1;
            continue;
        }
        let (action, expected) = line.split_once(" -> ").unwrap_or((line, ""));
        assert_eq!(step(&mut scheduler, action), expected, "{name}: {action}");
    }
    assert!(count > 10, "the file has few cases");
}

/// What a step gives, in the words of the file.
fn step(scheduler: &mut Scheduler, action: &str) -> String {
    let mut words = action.split(' ');
    let verb = words.next().unwrap_or_default();
    let words: Vec<&str> = words.collect();
    let number = |index: usize| -> u64 { words[index].parse().expect("a number") };
    let fiber = || FiberId(u32::try_from(number(0)).expect("a fiber"));
    let yes_or_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
    match verb {
        "spawn" => {
            let spawned = scheduler.spawn(u32::try_from(number(0)).expect("a thread"));
            return spawned.map_or("none".to_owned(), |fiber| fiber.0.to_string());
        }
        "pick" => return shown(scheduler.pick(number(0) * MS)),
        "preempt" => return yes_or_no(scheduler.should_preempt(number(0) * MS)),
        "deadlocked" => return yes_or_no(scheduler.is_deadlocked()),
        "block" => {
            let reason = REASONS.iter().find(|(name, _)| *name == words[1]);
            let deadline = (words.len() > 2).then(|| number(2) * MS);
            scheduler.block(number(0) * MS, reason.expect("a reason").1, deadline);
        }
        "finish" => scheduler.finish(),
        "wake" => scheduler.wake(fiber(), Wake::Ready),
        "subscribe" => drop(scheduler.subscribe()),
        "notify" => scheduler.notify(fiber()),
        "interrupt" => scheduler.interrupt(),
        "expire" => scheduler.expire(number(0) * MS),
        "interval" => scheduler.set_interval(Duration::from_millis(number(0))),
        other => panic!("policy.txt has no step {other}"),
    }
    String::new()
}

fn shown(pick: Option<Pick>) -> String {
    match pick {
        None => "none".to_owned(),
        Some(Pick::Start(fiber, thread)) => format!("{} start {thread}", fiber.0),
        Some(Pick::Resume(fiber, wake)) => {
            let wake = match wake {
                Wake::Ready => "ready",
                Wake::TimedOut => "timed-out",
                Wake::Interrupted => "interrupted",
                Wake::Deadlocked => "deadlocked",
            };
            format!("{} {wake}", fiber.0)
        }
    }
}
