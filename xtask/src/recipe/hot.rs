//! The part of CPython that most programs spend their time in, optimised as one piece.
//!
//! A call costs more in wasm than natively (the host's checks of the stack and of the clock), so it
//! pays to inline across files: objects, their allocator, the interpreter's loop. All of CPython would
//! take three times as long and be no faster. What comes out are ordinary objects, so that linking
//! guest/ to them stays a matter of seconds, and so that --wrap can stand before what is not listed.

use std::path::Path;

use anyhow::Result;

use super::objects::print;
use crate::process::Runner;

/// For the compiler.
pub const FLAG: &str = "-flto=thin";
const OBJECT: &str = "vtwasm-hot.o";

/// Beside all of Objects/. None may define what guest/ldflags wraps.
const FILES: &[&str] = &[
    "Modules/_collectionsmodule",
    "Modules/_functoolsmodule",
    "Modules/_json",
    "Modules/_operator",
    "Modules/_sre/sre",
    "Modules/_threadmodule",
    "Modules/itertoolsmodule",
    "Modules/mathmodule",
    "Python/bltinmodule",
    "Python/ceval",
    "Python/context",
    "Python/critical_section",
    "Python/dtoa",
    "Python/errors",
    "Python/formatter_unicode",
    "Python/frame",
    "Python/gc",
    "Python/gc_gil",
    "Python/getargs",
    "Python/hamt",
    "Python/instrumentation",
    "Python/intrinsics",
    "Python/lock",
    "Python/modsupport",
    "Python/pyhash",
    "Python/pystate",
    "Python/pystrtod",
    "Python/pytime",
    "Python/specialize",
];

/// `wasm-ld -r` inlines across files what has up to so many instructions, where it is called often ten times as many:
/// fewer are slower, and so are more (ARCHITECTURE.md), as what the interpreter's loop takes in costs it registers.
const LINK: &[&str] = &[
    "-r",
    "--lto-O3",
    "--thinlto-jobs=all",
    "--mllvm=-import-instr-limit=45",
];

/// The object files, as CPython's makefile calls them.
pub fn objects(runner: &Runner, build: &Path, tree: &Path) -> Result<Vec<String>> {
    let all = print(runner, build, "OBJECT_OBJS")?;
    let mut objects: Vec<String> = all.split_whitespace().map(str::to_owned).collect();
    // Other versions of CPython lack some.
    let listed = FILES
        .iter()
        .filter(|file| tree.join(format!("{file}.c")).is_file());
    objects.extend(listed.map(|file| format!("{file}.o")));
    Ok(objects)
}

/// Puts what was made of `objects` in their place in the library.
pub fn optimise(runner: &Runner, build: &Path, objects: &[String], library: &str) -> Result<()> {
    let mut link = runner.command("wasm-ld", build);
    runner.run(link.args(LINK).args(["-o", OBJECT]).args(objects))?;
    let mut remove = runner.command("llvm-ar", build);
    runner.run(remove.args(["d", library]).args(objects))?;
    runner.run(runner.command("llvm-ar", build).args(["rs", library, OBJECT]))
}
