//! `vtwasm run`: builds the sandbox that the flags describe, runs it and tells how it ended.

use std::collections::BTreeMap;
use std::env;

use anyhow::{Context, Result};
use vtwasm::{Engine, Input, Limit, Limits, Outcome, Output, Sandbox};

use crate::artifact;
use crate::failure::{exit, say};
use crate::network;
use crate::options::{LimitFlags, RunOptions};
use crate::permissions;
use crate::program::Program;
use crate::signals;

/// Runs the program and returns the exit code of the process.
pub fn run(options: &RunOptions) -> Result<u8> {
    let program = Program::find(options)?;
    let engine = Engine::new().context("starting the WebAssembly engine")?;
    let sandbox = sandbox(&engine, options, &program)?;
    let ended = signals::listen(sandbox.handle(), program.interactive)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(sandbox.run()).context("running the program")?;
    match ended.by_signal() {
        Some(code) => Ok(code),
        None => Ok(tell(&report.outcome)),
    }
}

/// The sandbox for `program`, with what the flags allow and nothing else.
fn sandbox(engine: &Engine, options: &RunOptions, program: &Program) -> Result<Sandbox> {
    let mounts = permissions::mounts(&options.permissions, program.folder.as_deref())?;
    let environment = permissions::environment(&options.permissions)?;
    let network = network::network(&options.permissions)?;
    let limits = limits(&options.limits)?;
    let python = artifact::open(engine)?;
    let mut builder = Sandbox::builder(&python);
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
    builder
        .stdin(Input::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit);
    builder.build().context("making the sandbox")
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

fn limits(flags: &LimitFlags) -> Result<Limits> {
    let mut limits = Limits::default();
    limits.memory = flags.memory.unwrap_or(limits.memory);
    limits.wall_time = flags.timeout.or(limits.wall_time);
    limits.cpu_time = flags.cpu_time.or(limits.cpu_time);
    limits.threads = flags.max_threads.unwrap_or(limits.threads);
    limits.output = flags.max_output.or(limits.output);
    limits.sockets = network::sockets(flags.max_sockets)?;
    Ok(limits)
}

/// Says how the run ended where the program has not said so itself, and gives the exit code.
fn tell(outcome: &Outcome) -> u8 {
    match outcome {
        // The kernel keeps eight bits of an exit code, and so does every Python.
        Outcome::Exited(code) => *code as u8,
        Outcome::LimitHit(limit) => {
            say(
                "error",
                &format!("the program was ended: it reached its limit of {limit}"),
            );
            say("hint", &format!("allow it more with {}", flag_of(limit)));
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

/// The flag that sets a limit.
fn flag_of(limit: &Limit) -> &'static str {
    match limit {
        Limit::CpuTime => "--cpu-time",
        Limit::WallTime => "--timeout",
        Limit::Output => "--max-output",
        _ => "a flag of `vtwasm run --help`",
    }
}
