//! CPython's source: Debian's package with Debian's corrections, or what `--source` names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::plan::{Inputs, Stage};
use super::{Options, Recipe};
use crate::cache::Key;
use crate::process::Runner;

const PACKAGE: &str = "src:python3.13";

pub fn key(inputs: &Inputs) -> Result<Key> {
    let key = inputs.key(Stage::Source, include_str!("source.rs"), &[]);
    let key = match &inputs.options.source {
        None => inputs
            .packages
            .add_to_key(key, &[PACKAGE])
            .file(&skip_list(inputs.workspace))?,
        Some(source) if source.is_dir() => key.tree(source, |path| {
            !path.components().any(|part| part.as_os_str() == ".git")
        })?,
        Some(source) => {
            ensure!(
                source.is_file(),
                "--source {}: no such file or directory",
                source.display()
            );
            key.file(source)?
        }
    };
    Ok(key.finish())
}

pub fn packages(options: &Options) -> Vec<&'static str> {
    if options.source.is_some() {
        Vec::new()
    } else {
        vec![PACKAGE]
    }
}

/// The tree of a source entry.
pub fn tree(entry: &Path) -> PathBuf {
    entry.join("src")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("source")?;
    let tree = tree(directory);
    match &recipe.options.source {
        None => {
            unpack_package(recipe, &runner, PACKAGE, directory)?;
            let skipped = fs::read_to_string(skip_list(&recipe.workspace))?;
            let skipped: Vec<&str> = words(&skipped).collect();
            apply_debian_patches(&runner, &tree, &directory.join("debian"), &skipped)?;
            fs::remove_dir_all(directory.join("debian"))?;
        }
        Some(source) if source.is_dir() => {
            let source = fs::canonicalize(source)?;
            runner.run(runner.command("cp", directory).arg("-a").arg(source).arg(&tree))?;
            let _ = fs::remove_dir_all(tree.join(".git"));
        }
        Some(source) => {
            unpack_tarball(&runner, &fs::canonicalize(source)?, &tree)?;
        }
    }
    version(&tree).context("this is not CPython's source")?;
    Ok(())
}

/// Unpacks a source package: its tarball to `src`, Debian's part to `debian` in `directory`.
pub fn unpack_package(recipe: &Recipe, runner: &Runner, package: &str, directory: &Path) -> Result<()> {
    for file in recipe.packages.files(package) {
        let place = if file.name().contains(".debian.tar.") {
            directory.join("debian")
        } else if file.name().contains(".orig.tar.") {
            directory.join("src")
        } else {
            continue;
        };
        unpack_tarball(runner, &recipe.packages.path(file), &place)?;
    }
    Ok(())
}

fn unpack_tarball(runner: &Runner, tarball: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    let mut tar = runner.command("tar", place);
    tar.args(["--strip-components=1", "--no-same-owner", "-xf"])
        .arg(tarball);
    runner.run(&mut tar)
}

fn skip_list(workspace: &crate::workspace::Workspace) -> PathBuf {
    workspace.recipe().join("debian-patches.skip")
}

/// Applies Debian's patches in their order, except those that lay things out as Debian does.
pub fn apply_debian_patches(runner: &Runner, tree: &Path, debian: &Path, skipped: &[&str]) -> Result<()> {
    let series = fs::read_to_string(debian.join("patches/series"))?;
    for name in words(&series).filter(|name| !skipped.contains(name)) {
        apply(runner, tree, &debian.join("patches").join(name))?;
    }
    Ok(())
}

/// The first word of each line that is no comment.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next())
}

/// Applies one patch, or says which one does not fit.
pub fn apply(runner: &Runner, tree: &Path, patch: &Path) -> Result<()> {
    let mut command = runner.command("patch", tree);
    command
        .args(["-p1", "--batch", "--no-backup-if-mismatch", "--fuzz=2", "-i"])
        .arg(patch);
    runner
        .run(&mut command)
        .with_context(|| format!("the patch {} does not fit this source", patch.display()))
}

/// The release, e.g. `3.13.5`.
pub fn version(tree: &Path) -> Result<String> {
    let path = tree.join("Include/patchlevel.h");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let define = "#define PY_VERSION ";
    match text.lines().find_map(|line| line.strip_prefix(define)) {
        Some(version) => Ok(version.trim().trim_matches('"').to_owned()),
        None => bail!("{} does not say PY_VERSION", path.display()),
    }
}

/// The name of the zip on `sys.path`, e.g. `python313.zip`.
pub fn zip_name(tree: &Path) -> Result<String> {
    let version = version(tree)?;
    let digits: Vec<&str> = version.split('.').take(2).collect();
    Ok(format!("python{}.zip", digits.concat()))
}
