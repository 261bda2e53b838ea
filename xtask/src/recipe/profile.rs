//! Profile-guided optimisation: how often each branch of CPython is taken.
//!
//! The profile stands in the repository, so that a build need not train first and the same sources
//! give the same artifact. It is of Python for wasm itself: a native profile fits two functions of
//! three, and not the interpreter's loop. `cargo xtask python --profile` renews it: CPython is built
//! with counters, `train.py` runs in the sandbox, `profile.c` writes the counts down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::plan::Stage;
use super::{Options, Recipe, toolchain};
use crate::cache::KeyBuilder;
use crate::process::{Runner, output, run_visibly};
use crate::workspace::Workspace;

const RUNTIME: &str = "profile.c";
const TRAINING: &str = "train.py";
const RAW: &str = "python.profraw";
const PROFILE: &str = "python.profdata";
const PACKED: &str = "python.profdata.xz";

/// What merges the counts, and where it is in its package.
const PACKAGE: &str = "llvm-22";
const PROGRAM: &str = "usr/lib/llvm-22/bin/llvm-profdata";

/// A static function is called by its file's name without its directory, which holds a key.
const NAMES: &str = "-mllvm -static-func-full-module-prefix=false";

/// The interpreter's loop is not compiled by counts: all that is then laid out and inlined for the opcodes that the
/// training had most makes programs 5 to 10 % slower (ARCHITECTURE.md).
const BUT: &str = "--no-function=^_PyEval_EvalFrameDefault$";

/// clang's word for a function that is no longer the one that was counted.
const CHANGED: &str = "(hash mismatch)";

pub fn add_to_key(key: KeyBuilder, workspace: &Workspace, options: &Options) -> Result<KeyBuilder> {
    let key = key.text("profile", include_str!("profile.rs"));
    let file = match options.instrumented {
        true => RUNTIME,
        false => PACKED,
    };
    key.file(&workspace.recipe().join(file))
}

/// What the training needs beside the toolchain.
pub fn packages() -> Vec<&'static str> {
    match toolchain::packages().is_empty() {
        true => Vec::new(), // an SDK
        false => vec![PACKAGE],
    }
}

/// What of the runtime is linked.
pub fn runtime(recipe: &Recipe) -> Option<PathBuf> {
    let runtime = recipe.workspace.recipe().join(RUNTIME);
    recipe.options.instrumented.then_some(runtime)
}

/// What CPython is compiled with in a directory below `directory`.
pub fn flags(recipe: &Recipe, runner: &Runner, directory: &Path) -> Result<String> {
    if recipe.options.instrumented {
        return Ok(format!("-fprofile-generate {NAMES}"));
    }
    let packed = directory.join(PACKED);
    fs::copy(recipe.workspace.recipe().join(PACKED), &packed).context("copying the profile")?;
    runner.run(
        runner
            .command("xz", directory)
            .args(["--decompress", "--force", PACKED]),
    )?;
    // Another compiler may not know the format.
    let mut clang = runner.command(toolchain::CLANG, directory);
    clang.arg(format!("-fprofile-use={PROFILE}"));
    clang.args(["-O1", "-x", "c", "-c", "/dev/null", "-o", "/dev/null"]);
    if output(&mut clang).is_err() {
        recipe
            .progress
            .note("profile: the compiler cannot read it, so Python will be slower");
        return Ok(String::new());
    }
    Ok(format!("-fprofile-use=../{PROFILE} {NAMES}"))
}

/// Removes what `flags` left, and tells how well the profile still fits.
pub fn finish(recipe: &Recipe, runner: &Runner, directory: &Path) -> Result<()> {
    let _ = fs::remove_file(directory.join(PROFILE));
    let log = fs::read(&runner.log)?;
    let changed = String::from_utf8_lossy(&log).matches(CHANGED).count();
    if changed > 0 {
        recipe.progress.note(&format!(
            "profile: {changed} functions of CPython have changed since it was made \
             (`cargo xtask python --profile` renews it)"
        ));
    }
    Ok(())
}

/// Runs the training on the instrumented artifact in `python`; returns the new profile's path.
pub fn renew(recipe: &Recipe, vtwasm: &Path, python: &Path) -> Result<PathBuf> {
    let work = recipe.cache.directory("profile")?;
    let scripts = recipe.workspace.recipe();
    run_visibly(
        Command::new(vtwasm)
            .arg("run")
            .arg(format!("--allow-write={}", work.display()))
            .arg("--env")
            .arg(format!("VTWASM_PROFILE={}", work.join(RAW).display()))
            .arg(scripts.join(TRAINING))
            .env("VTWASM_PYTHON", python),
    )?;
    let runner = recipe.runner("profile")?;
    let mut merge = profdata(recipe, &runner, &work)?;
    // Sparse: what the training does not reach is compiled as without a profile, not as useless.
    runner.run(merge.args(["merge", "--sparse", BUT, "-o", PROFILE, RAW]))?;
    runner.run(runner.command("xz", &work).args(["-9", "--force", PROFILE]))?;
    let renewed = scripts.join(PACKED);
    fs::copy(work.join(PACKED), &renewed)?;
    fs::remove_dir_all(&work)?;
    Ok(renewed)
}

/// llvm-profdata of the compiler's release. The toolchain does not keep it: only the training wants it.
fn profdata(recipe: &Recipe, runner: &Runner, work: &Path) -> Result<Command> {
    if packages().is_empty() {
        let sdk = PathBuf::from(std::env::var_os("WASI_SDK_PATH").unwrap_or_default());
        return Ok(runner.command(sdk.join("bin/llvm-profdata"), work));
    }
    toolchain::unpack(recipe, PACKAGE, work)?;
    let libraries = recipe.entry(Stage::Toolchain).join("root/usr/lib");
    let places = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|machine| libraries.join(machine));
    let mut profdata = runner.command(work.join(PROGRAM), work);
    profdata.env("LD_LIBRARY_PATH", std::env::join_paths(places)?);
    Ok(profdata)
}
