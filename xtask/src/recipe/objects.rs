//! CPython's own make, up to the static libraries that guest/ is linked to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::{Inputs, Stage};
use super::{Recipe, configured, hot, jobs, profile, relative, source, toolchain};
use crate::cache::Key;
use crate::process::{Runner, output};

/// What the guest needs in every object, beside configure's [`configured::OPT`]. The forced header
/// includes others before any of CPython's could say `_GNU_SOURCE`. Of the warnings only the profile's.
const FORCED: &str = "-Wno-everything -Wbackend-plugin -D_GNU_SOURCE=1 -include vtwasm_force.h";

/// CPython's -fno-strict-overflow makes recent clangs give up folding pointer offsets, which costs
/// a few percent; integers still wrap. Older clangs do not know the flag and do not need it.
const KEEP_POINTERS: &str = "-fno-wrapv-pointer";

/// Modules whose libraries are archives of their own.
const ARCHIVES: &[&str] = &[
    "Modules/_hacl/libHacl_Hash_SHA2.a",
    "Modules/expat/libexpat.a",
    "Modules/_decimal/libmpdec/libmpdec.a",
];

const PRINT: &str = "\
vtwasm-print:
\t@echo LIBRARY=$(LIBRARY)
\t@echo OBJECT_OBJS=$(OBJECT_OBJS)
\t@echo MODLIBS=$(MODLIBS)
\t@echo LIBS=$(LIBS) $(SYSLIBS)
";

pub fn key(inputs: &Inputs) -> Result<Key> {
    let header = inputs
        .workspace
        .guest()
        .join("include")
        .join(configured::FORCED_HEADER);
    let key = inputs
        .key(Stage::Objects, include_str!("objects.rs"), &[Stage::Configured])
        .text("hot", include_str!("hot.rs"))
        .file(&header)?;
    Ok(profile::add_to_key(key, inputs.workspace, inputs.options)?.finish())
}

/// The header directories that guest/ is compiled with.
pub fn include_directories(recipe: &Recipe) -> Vec<PathBuf> {
    let tree = source::tree(&recipe.entry(Stage::Patched));
    vec![
        recipe.entry(Stage::Objects),
        tree.join("Include"),
        tree.join("Include/internal"),
        recipe.entry(Stage::Libraries).join("include"),
    ]
}

/// The libraries to link, in order; `-L` and archives are absolute.
pub fn link_arguments(recipe: &Recipe) -> Result<Vec<String>> {
    let entry = recipe.entry(Stage::Objects);
    let text = fs::read_to_string(entry.join("link"))?;
    let places = [Stage::Libraries, Stage::Openssl];
    let mut arguments: Vec<_> = places
        .map(|stage| format!("-L{}/lib", recipe.entry(stage).display()))
        .to_vec();
    arguments.extend(text.split_whitespace().map(|word| match word.ends_with(".a") {
        true => entry.join(word).display().to_string(),
        false => word.to_owned(),
    }));
    Ok(arguments)
}

/// What `sysconfig` knows about this build: a Python source file.
pub fn sysconfig_data(recipe: &Recipe) -> Result<PathBuf> {
    let entry = recipe.entry(Stage::Objects);
    let found = fs::read_dir(&entry)?.flatten().map(|file| file.path());
    let is_data = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("_sysconfigdata"))
    };
    found
        .into_iter()
        .find(is_data)
        .context("CPython's build wrote no _sysconfigdata")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("objects")?;
    let build = directory.join(configured::BUILD);
    let before = recipe.entry(Stage::Configured).join(configured::BUILD);
    runner.run(runner.command("cp", directory).arg("-a").arg(before).arg(&build))?;
    configured::copy_guest_headers(&recipe.workspace, directory)?;

    let opt = format!(
        "{} {FORCED} {} {}",
        configured::OPT,
        keep_pointers(&runner, directory)?,
        profile::flags(recipe, &runner, directory)?
    );
    let tree = source::tree(&recipe.entry(Stage::Patched));
    let library = print(&runner, &build, "LIBRARY")?;
    let date = release_date(&tree)?;
    let make = |flag: &str| {
        let mut make = runner.command("make", &build);
        make.arg(jobs())
            .arg(format!("OPT={opt} {flag}"))
            // configure wrote down where it ran.
            .arg(format!("abs_builddir={}", build.display()))
            .env("SOURCE_DATE_EPOCH", &date);
        make
    };
    let hot = match recipe.options.instrumented {
        true => Vec::new(),
        false => hot::objects(&runner, &build, &tree)?,
    };
    if !hot.is_empty() {
        runner.run(make(hot::FLAG).args(&hot))?;
    }
    runner.run(
        make("")
            .args([library.trim(), "pybuilddir.txt"])
            .args(ARCHIVES.iter().filter(|archive| wanted(&tree, archive))),
    )?;
    if !hot.is_empty() {
        hot::optimise(&runner, &build, &hot, library.trim())?;
    }
    profile::finish(recipe, &runner, directory)?;
    collect(recipe, &runner, &build, directory, library.trim())?;
    fs::remove_dir_all(&build)?;
    fs::remove_dir_all(directory.join("guest-include"))?;
    Ok(())
}

/// Whether this version of CPython has the archive's directory.
fn wanted(tree: &Path, archive: &str) -> bool {
    tree.join(archive).parent().is_some_and(Path::is_dir)
}

fn keep_pointers(runner: &Runner, directory: &Path) -> Result<&'static str> {
    let probe = directory.join("probe.c");
    fs::write(&probe, "int probe;\n")?;
    let mut clang = runner.command(toolchain::CLANG, directory);
    clang.args(["-Werror", KEEP_POINTERS, "-fsyntax-only", "probe.c"]);
    let known = output(&mut clang).is_ok();
    fs::remove_file(probe)?;
    Ok(if known { KEEP_POINTERS } else { "" })
}

/// `sys.version` carries a date; let it be the release's and not the day of the build.
fn release_date(tree: &Path) -> Result<String> {
    let written = fs::metadata(tree.join("Include/patchlevel.h"))?.modified()?;
    let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(since.as_secs().to_string())
}

/// A variable of CPython's makefile.
pub fn print(runner: &Runner, build: &Path, name: &str) -> Result<String> {
    let extra = build.join("vtwasm.mk");
    fs::write(&extra, PRINT)?;
    let mut make = runner.command("make", build);
    let text = output(make.args(["-s", "-f", "Makefile", "-f", "vtwasm.mk", "vtwasm-print"]))?;
    let prefix = format!("{name}=");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    Ok(found.context("CPython's makefile lacks a variable")?.to_owned())
}

/// Moves what the next stages need out of the build directory.
fn collect(recipe: &Recipe, runner: &Runner, build: &Path, directory: &Path, library: &str) -> Result<()> {
    let mut arguments = vec![library.to_owned()];
    arguments.extend(
        print(runner, build, "MODLIBS")?
            .split_whitespace()
            .map(str::to_owned),
    );
    arguments.extend(
        print(runner, build, "LIBS")?
            .split_whitespace()
            .map(str::to_owned),
    );
    // The libraries' place is added when linking.
    arguments.retain(|argument| !argument.starts_with("-L"));
    fs::write(directory.join("link"), arguments.join("\n"))?;
    let archives = arguments.iter().filter(|argument| argument.ends_with(".a"));
    for file in archives.map(String::as_str).chain(["pyconfig.h"]) {
        let target = directory.join(file);
        fs::create_dir_all(target.parent().expect("a path in the entry"))?;
        if build.join(file).exists() {
            fs::rename(build.join(file), target)?;
        }
    }
    let platform = fs::read_to_string(build.join("pybuilddir.txt"))?;
    for entry in fs::read_dir(build.join(platform.trim()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            let text = without_places(recipe, &fs::read_to_string(&path)?)?;
            fs::write(directory.join(path.file_name().unwrap_or_default()), text)?;
        }
    }
    Ok(())
}

/// Takes the cache's directories out of a text that ships.
fn without_places(recipe: &Recipe, text: &str) -> Result<String> {
    let mut text = text.to_owned();
    for (stage, place) in [
        (Stage::Libraries, "/usr"),
        (Stage::Openssl, "/usr"),
        (Stage::Patched, "/usr/src/python"),
        (Stage::Helper, "/usr/bin"),
        (Stage::Configured, "/usr/src/build"),
        (Stage::Objects, "/usr/src/build"),
    ] {
        let entry = recipe.entry(stage);
        text = text.replace(&*entry.with_extension("partial").to_string_lossy(), place);
        text = text.replace(&*entry.to_string_lossy(), place);
        text = text.replace(&*relative(&recipe.cache, 3, &entry)?.to_string_lossy(), place);
    }
    Ok(text)
}
