//! guest/ and CPython linked into one core module, and that wrapped into a component.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::plan::{Inputs, Stage};
use super::{Recipe, checks, component, objects, patched, profile, relative, source, toolchain};
use crate::cache::{Key, KeyBuilder, Manifest};
use crate::process::{Runner, output};
use crate::workspace::Workspace;

const CORE: &str = "python.core.wasm";
const COMPONENT: &str = "python.wasm";

const CFLAGS: &[&str] = &[
    "-O3",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-D_GNU_SOURCE",
    "-D_WASI_EMULATED_GETPID",
    "-D_WASI_EMULATED_MMAN",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-D_WASI_EMULATED_SIGNAL",
];
/// Python is a library with entry points of its own, not a command.
const LDFLAGS: &[&str] = &["-mexec-model=reactor"];

pub fn key(inputs: &Inputs) -> Result<Key> {
    let key = inputs
        .key(
            Stage::Python,
            include_str!("python.rs"),
            &[Stage::Objects, Stage::Stdlib],
        )
        .text("checks", include_str!("checks.rs"))
        .text("wrap", include_str!("component.rs"))
        .text("names", [u8::from(inputs.options.debug_names)])
        .tree(&inputs.workspace.wit(), |_| true)?;
    Ok(add_guest(key, &inputs.workspace.guest())?.finish())
}

/// The C of guest/ and how it is linked, for a key.
pub fn add_guest(mut key: KeyBuilder, guest: &Path) -> Result<KeyBuilder> {
    for file in guest_files(guest, &["c", "h", "s"])? {
        key = key.file(&file)?;
    }
    key.file(&guest.join("ldflags"))
}

/// The files directly in guest/ with one of these extensions, in name order.
fn guest_files(guest: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(guest).with_context(|| format!("reading {}", guest.display()))? {
        let path = entry?.path();
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if extensions.contains(&extension.as_str()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("python")?;
    let mut sources = guest_sources(&recipe.workspace.guest())?;
    sources.extend(profile::runtime(recipe));
    let headers = objects::include_directories(recipe);
    let libraries = objects::link_arguments(recipe)?;
    make_module(recipe, &runner, directory, &sources, &headers, &libraries)?;
    let tree = source::tree(&recipe.entry(Stage::Patched));
    let zip = source::zip_name(&tree)?;
    fs::copy(recipe.entry(Stage::Stdlib).join(&zip), directory.join(&zip))?;
    fs::write(
        directory.join(Manifest::ABOUT),
        serde_json::to_vec(&about(recipe, &tree, zip)?)?,
    )?;
    Ok(())
}

/// The files of guest/ to compile.
pub fn guest_sources(guest: &Path) -> Result<Vec<PathBuf>> {
    guest_files(guest, &["c", "s"])
}

/// Compiles and links `sources`, as a core module and as a component.
pub fn make_module(
    recipe: &Recipe,
    runner: &Runner,
    directory: &Path,
    sources: &[PathBuf],
    headers: &[PathBuf],
    libraries: &[String],
) -> Result<()> {
    let work = directory.join("work");
    fs::create_dir_all(&work)?;
    let guest = recipe.workspace.guest();
    let mut includes = vec![guest.clone(), guest.join("include")];
    includes.extend_from_slice(headers);
    let objects = compile(runner, sources, &includes, &work)?;
    let core = directory.join(CORE);
    link(recipe, runner, &objects, libraries, &core)?;
    fs::remove_dir_all(&work)?;
    // A page needs none: it ends its worker. They would cost 15 % and more there.
    let checked = checks::insert(&fs::read(&core)?).context("putting checks into the core module")?;
    let wrapped = component::wrap(checked, &recipe.workspace.wit())?;
    Ok(fs::write(directory.join(COMPONENT), wrapped)?)
}

fn compile(runner: &Runner, sources: &[PathBuf], includes: &[PathBuf], work: &Path) -> Result<Vec<PathBuf>> {
    let half = sources.len().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        let halves: Vec<_> = sources
            .chunks(half)
            .map(|half| {
                scope.spawn(move || {
                    half.iter()
                        .map(|source| compile_one(runner, source, includes, work))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let compiled = halves
            .into_iter()
            .map(|half| half.join().expect("it does not panic"));
        Ok(compiled.collect::<Result<Vec<_>>>()?.concat())
    })
}

fn compile_one(runner: &Runner, source: &Path, includes: &[PathBuf], work: &Path) -> Result<PathBuf> {
    let name = source
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let object = work.join(format!("{name}.o"));
    let mut clang = runner.command(toolchain::CLANG, work);
    if !name.ends_with(".s") {
        clang.args(CFLAGS);
        for include in includes {
            clang.arg("-I").arg(include);
        }
    }
    runner.run(clang.arg("-c").arg(source).arg("-o").arg(&object))?;
    Ok(object)
}

fn link(
    recipe: &Recipe,
    runner: &Runner,
    objects: &[PathBuf],
    libraries: &[String],
    core: &Path,
) -> Result<()> {
    let directory = core.parent().expect("a path in the entry");
    let mut clang = runner.command(toolchain::CLANG, directory);
    clang
        .args(LDFLAGS)
        .arg("-o")
        .arg(core)
        .args(objects)
        .args(libraries)
        .args(guest_ldflags(&recipe.workspace)?);
    runner.run(&mut clang)?;
    if recipe.options.debug_names {
        return Ok(());
    }
    runner.run(runner.command("llvm-strip", directory).arg(core))
}

/// One flag per line, and comments.
fn guest_ldflags(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace.guest().join("ldflags");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().map(str::trim);
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// What the manifest says beside the files.
fn about(recipe: &Recipe, tree: &Path, zip: String) -> Result<BTreeMap<&'static str, String>> {
    let tests = patched::test_directory(&recipe.entry(Stage::Patched));
    let version = |package| recipe.packages.version(package).to_owned();
    Ok(BTreeMap::from([
        ("python", source::version(tree)?),
        (
            "python_source",
            match &recipe.options.source {
                Some(source) => source.display().to_string(),
                None => format!("Debian python3.13 {}", version("src:python3.13")),
            },
        ),
        ("clang", compiler(recipe, tree)?),
        (
            "wasi_libc",
            match std::env::var_os("WASI_SDK_PATH") {
                Some(sdk) => format!("of {}", sdk.display()),
                None => version("wasi-libc"),
            },
        ),
        ("zlib", version("src:zlib")),
        ("bzip2", version("src:bzip2")),
        ("xz", version("src:xz-utils")),
        ("sqlite3", version("src:sqlite3")),
        ("openssl", version("src:openssl")),
        ("wit", component::package_name(&recipe.workspace.wit())?),
        ("stdlib", zip),
        // Seen from the entry.
        (
            "test_directory",
            relative(&recipe.cache, 2, &tests)?.display().to_string(),
        ),
    ]))
}

/// The compiler's version in its own words.
fn compiler(recipe: &Recipe, directory: &Path) -> Result<String> {
    let clang = recipe.entry(Stage::Toolchain).join("bin").join(toolchain::CLANG);
    let text = output(Command::new(clang).arg("--version").current_dir(directory))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
