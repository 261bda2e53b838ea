//! `vtwasm run`: builds the sandbox that the flags describe, runs it and tells how it ended.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use vtwasm::{Builder, Engine, Input, Limit, Limits, Outcome, Output, Sandbox, Timeline};

use crate::artifact;
use crate::failure::{Failure, exit, say};
use crate::network;
use crate::options::{LimitFlags, RunOptions};
use crate::permissions;
use crate::program::Program;
use crate::signals;
use crate::snapshot;
use crate::units::show_size;
use crate::wheels::{self, Wheels};

/// Runs the program and returns the exit code of the process.
pub fn run(options: &RunOptions) -> Result<u8> {
    let program = Program::find(options)?;
    let limits = limits(&options.limits)?;
    let timeline = timeline(options)?;
    let wheels = Wheels::resolve(&options.packages, program.script.as_deref())?;
    let engine = Engine::new().context("starting the WebAssembly engine")?;
    let sandbox = sandbox(&engine, options, &program, limits.clone(), wheels.as_ref())?;
    let ended = signals::listen(sandbox.handle(), program.interactive)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(sandbox.run_last());
    // Not waiting for a thread that is held up.
    runtime.shutdown_background();
    let report = report.context("running the program")?;
    if let (Some(file), Some(recorded)) = (timeline, &report.timeline) {
        write(file, recorded).context("writing the timeline")?;
    }
    match ended.by_signal() {
        Some(code) => Ok(code),
        None => Ok(tell(&report.outcome, &report.reached, &limits)),
    }
}

/// Changes of a timeline that are kept: more than a viewer shows with ease.
const CHANGES: usize = 1_000_000;

/// The file for the timeline, before anything runs that would be lost without it.
fn timeline(options: &RunOptions) -> Result<Option<File>> {
    let Some(path) = &options.timeline else {
        return Ok(None);
    };
    let file = File::create(path);
    let cannot = |error| Failure::usage(format!("can't write --timeline {}: {error}", path.display()));
    Ok(Some(file.map_err(cannot)?))
}

fn write(mut file: File, timeline: &Timeline) -> Result<()> {
    file.write_all(timeline.to_chrome_trace().as_bytes())?;
    if timeline.dropped > 0 {
        let message = format!(
            "the timeline ends after {:.3} s: {} further changes are left out",
            timeline.end as f64 / 1e6,
            timeline.dropped
        );
        say("note", &message);
    }
    Ok(())
}

/// The sandbox for `program`, with what the flags allow and nothing else.
fn sandbox(
    engine: &Engine,
    options: &RunOptions,
    program: &Program,
    limits: Limits,
    wheels: Option<&Wheels>,
) -> Result<Sandbox> {
    let mounts = permissions::mounts(&options.permissions, program.folder.as_deref())?;
    let mut environment = permissions::environment(&options.permissions)?;
    let network = network::network(&options.permissions)?;
    let python = artifact::open(engine)?;
    let packages = wheels::mounts(wheels, &options.packages, &python)?;
    let mut mounts = permissions::joined(mounts, packages)?;
    let mut builder = Sandbox::builder(&python);
    if let Some(snapshot) = snapshot::open(options, &python)? {
        mounts = permissions::joined(mounts, snapshot::mounts(&snapshot)?)?;
        builder.snapshot(&snapshot);
    }
    if network.is_open() {
        trust(&mut builder, &mut environment)?;
    }
    builder
        .args(program.argv.iter().cloned())
        .limits(limits)
        .network(network);
    let environment = presentation(program)
        .chain(environment)
        .collect::<BTreeMap<_, _>>();
    for (name, value) in environment {
        builder.env(name, value);
    }
    for mount in mounts {
        let guest = mount.guest.to_str().context("the folder's name is not UTF-8")?;
        builder.mount(&mount.host, guest, mount.access)?;
    }
    if let Some(here) = env::current_dir().ok().as_deref().and_then(|here| here.to_str()) {
        builder.cwd(here);
    }
    if options.timeline.is_some() {
        builder.record_timeline(CHANGES);
    }
    builder
        .stdin(Input::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit);
    let sandbox = builder.build().map_err(snapshot::refused);
    sandbox.context("making the sandbox")
}

/// Lets Python's `ssl` trust whom this machine trusts.
fn trust(builder: &mut Builder, environment: &mut BTreeMap<String, String>) -> Result<()> {
    let Some(certificates) = vtwasm::host_certificates() else {
        return Ok(());
    };
    builder.certificates(certificates)?;
    // What these name is shown to the program in its own place; theirs it cannot see.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if env::var(name).is_ok_and(|here| environment.get(name) == Some(&here)) {
            environment.remove(name);
        }
    }
    Ok(())
}

/// What the terminal wants and can. It tells the program nothing about the machine, so it needs no
/// permission.
fn presentation(program: &Program) -> impl Iterator<Item = (String, String)> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let plain = is_set("NO_COLOR") || env::var_os("TERM").is_some_and(|value| value == "dumb");
    // WASI has no termios: without this, the REPL starts with a warning that it has to be basic.
    let variables = [("NO_COLOR", plain), ("PYTHON_BASIC_REPL", program.interactive)];
    let wanted = variables.into_iter().filter(|(_, wanted)| *wanted);
    wanted.map(|(name, _)| (name.into(), "1".into()))
}

/// The library's limits, but where flags set others.
pub fn limits(flags: &LimitFlags) -> Result<Limits> {
    let mut limits = Limits::default();
    limits.memory = flags.memory.unwrap_or(limits.memory);
    limits.wall_time = flags.timeout.or(limits.wall_time);
    limits.cpu_time = flags.cpu_time.or(limits.cpu_time);
    limits.threads = flags.max_threads.unwrap_or(limits.threads);
    limits.output = flags.max_output.or(limits.output);
    limits.written = flags.max_written.or(limits.written);
    limits.descriptors = flags.max_descriptors.unwrap_or(limits.descriptors);
    limits.sockets = network::sockets(flags.max_sockets)?;
    Ok(limits)
}

/// wasmtime's words for it.
const STACK_EXHAUSTED: &str = "call stack exhausted";

/// Says how the run ended where the program has not said so itself, and gives the exit code.
pub fn tell(outcome: &Outcome, reached: &[Limit], limits: &Limits) -> u8 {
    match outcome {
        Outcome::Exited(code) if *code != 0 && !reached.is_empty() => {
            for limit in reached {
                let (value, flag) = value_and_flag(limit, limits);
                let message =
                    format!("the program reached its limit of {limit}, {value}; {flag} allows it more");
                say("note", &message);
            }
            *code as u8
        }
        // The kernel keeps eight bits of an exit code, and so does every Python.
        Outcome::Exited(code) => *code as u8,
        Outcome::LimitHit(limit) => {
            let (value, flag) = value_and_flag(limit, limits);
            say(
                "error",
                &format!("the program was ended: it reached its limit of {value} of {limit}"),
            );
            say("hint", &format!("allow it more with {flag}"));
            exit::LIMIT
        }
        Outcome::Deadlocked => {
            say(
                "error",
                "deadlock: every thread waits for another, and none can go on",
            );
            exit::DEADLOCK
        }
        Outcome::Killed => {
            say("error", "the program was killed");
            exit::HOST
        }
        Outcome::Trapped(message) if message.contains(STACK_EXHAUSTED) => {
            say(
                "error",
                "Python crashed inside the sandbox: its C code recursed beyond its thread's stack",
            );
            say(
                "hint",
                "CPython does not count the depth of this recursion, and crashes natively too, only later: \
                 build what is nested less deep, and please report it with the program",
            );
            exit::TRAP
        }
        Outcome::Trapped(message) => {
            say("error", &format!("Python crashed inside the sandbox: {message}"));
            say(
                "hint",
                "this is a bug in vtwasm; please report it with the program",
            );
            exit::TRAP
        }
        other => {
            say("error", &format!("the program was ended: {other:?}"));
            exit::HOST
        }
    }
}

/// How much a limit allows, and the flag that sets it.
fn value_and_flag(limit: &Limit, limits: &Limits) -> (String, &'static str) {
    let time = |time: Option<Duration>| format!("{:?}", time.unwrap_or_default());
    match limit {
        Limit::CpuTime => (time(limits.cpu_time), "--cpu-time"),
        Limit::WallTime => (time(limits.wall_time), "--timeout"),
        Limit::Output => (show_size(limits.output.unwrap_or_default()), "--max-output"),
        Limit::Memory => (show_size(limits.memory), "--memory"),
        Limit::Threads => (limits.threads.to_string(), "--max-threads"),
        Limit::Descriptors => (limits.descriptors.to_string(), "--max-descriptors"),
        Limit::Sockets => (limits.sockets.to_string(), "--max-sockets"),
        Limit::Written => (show_size(limits.written.unwrap_or_default()), "--max-written"),
        _ => ("what it may use".into(), "a flag of `vtwasm run --help`"),
    }
}
