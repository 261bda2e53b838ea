//! CPython's configure for wasm32-wasip1.
//!
//! The forced header of guest/include is not seen here: configure declares functions its own way to
//! probe for them. The other headers are, since they decide what is found.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::plan::{Inputs, Stage};
use super::{Recipe, helper, relative, source, toolchain};
use crate::cache::Key;
use crate::process::{Runner, output};
use crate::workspace::Workspace;

/// What every object is compiled with; `objects` adds to it. Kept out of `CFLAGS`, where make would
/// put it twice.
pub const OPT: &str = "-DNDEBUG -O3";

const CONFIGURE: &[&str] = &[
    "--host=wasm32-wasip1",
    "--prefix=/usr",
    "--with-pymalloc",
    "--without-mimalloc",
    "--without-ensurepip",
    "--disable-test-modules",
];

pub const FORCED_HEADER: &str = "vtwasm_force.h";
/// Inside an entry of this stage or the next.
pub const BUILD: &str = "build";
const GUEST_INCLUDE: &str = "guest-include";

pub fn key(inputs: &Inputs) -> Result<Key> {
    let mut key = inputs.key(
        Stage::Configured,
        include_str!("configured.rs"),
        &[
            Stage::Toolchain,
            Stage::Libraries,
            Stage::Openssl,
            Stage::Helper,
            Stage::Patched,
        ],
    );
    for answers in answers(inputs.workspace) {
        key = key.file(&answers)?;
    }
    let guest = inputs.workspace.guest().join("include");
    Ok(key.tree(&guest, |path| !path.ends_with(FORCED_HEADER))?.finish())
}

/// Answers to what configure cannot find out; the guest's come last and win.
fn answers(workspace: &Workspace) -> [PathBuf; 2] {
    [
        workspace.recipe().join("config.site"),
        workspace.guest().join("config.site"),
    ]
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("configured")?;
    let build = directory.join(BUILD);
    fs::create_dir_all(&build)?;
    copy_guest_headers(&recipe.workspace, directory)?;
    let tree = relative(&recipe.cache, 3, &source::tree(&recipe.entry(Stage::Patched)))?;
    let answers = write_answers(recipe, directory)?;
    let native = output(runner.command("cc", &build).arg("-dumpmachine"))?;
    let libraries = recipe.entry(Stage::Libraries);
    let include = format!("-I{}/include", libraries.display());
    let link = |flags: &str| format!("-L{}/lib {flags}", libraries.display());

    let mut configure = runner.command(tree.join("configure"), &build);
    configure
        .args(CONFIGURE)
        .arg(format!("--build={}", native.trim()))
        .arg(format!(
            "--with-build-python={}",
            helper::program(&recipe.entry(Stage::Helper)).display()
        ))
        .arg(format!(
            "--with-openssl={}",
            recipe.entry(Stage::Openssl).display()
        ))
        .env("CONFIG_SITE", answers)
        .env("CC", toolchain::CLANG)
        .env("CPP", format!("{} -E", toolchain::CLANG))
        .env("AR", "llvm-ar")
        .env("RANLIB", "llvm-ranlib")
        .env("NM", "llvm-nm")
        .env("STRIP", "llvm-strip")
        .env("READELF", "true")
        .env("PKG_CONFIG", "false")
        .env("CFLAGS", format!("-I../{GUEST_INCLUDE}"))
        .env("OPT", OPT);
    for (name, flags) in [
        ("ZLIB", "-lz"),
        ("BZIP2", "-lbz2"),
        ("LIBLZMA", "-llzma"),
        ("LIBSQLITE3", "-lsqlite3 -lwasi-emulated-mman"),
    ] {
        configure.env(format!("{name}_CFLAGS"), &include);
        configure.env(format!("{name}_LIBS"), link(flags));
    }
    runner.run(&mut configure)
}

/// Brings guest/include beside the build directory, so that no object knows where the clone stands.
pub fn copy_guest_headers(workspace: &Workspace, directory: &Path) -> Result<()> {
    let target = directory.join(GUEST_INCLUDE);
    let _ = fs::remove_dir_all(&target);
    let guest = workspace.guest().join("include");
    if !guest.is_dir() {
        return Ok(fs::create_dir_all(&target)?);
    }
    let runner = Runner {
        path: Vec::new(),
        log: directory.join("copy.log"),
    };
    runner.run(runner.command("cp", directory).arg("-r").arg(guest).arg(&target))?;
    Ok(fs::remove_file(directory.join("copy.log"))?)
}

/// CPython's answers for WASI, then ours.
fn write_answers(recipe: &Recipe, directory: &Path) -> Result<PathBuf> {
    let tree = source::tree(&recipe.entry(Stage::Patched));
    let mut text = String::new();
    for name in ["config.site-wasm32-wasi", "wasi/config.site-wasm32-wasi"] {
        text += &fs::read_to_string(tree.join("Tools/wasm").join(name)).unwrap_or_default();
    }
    for path in answers(&recipe.workspace) {
        text += "\n";
        text += &fs::read_to_string(path).unwrap_or_default();
    }
    let path = directory.join("config.site");
    fs::write(&path, text)?;
    Ok(path)
}
