//! zlib, bzip2, xz and sqlite3 for wasm: static libraries and their headers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::plan::{Inputs, Stage};
use super::source::unpack_package;
use super::{Recipe, jobs, toolchain};
use crate::cache::Key;
use crate::process::Runner;

const PACKAGES: [&str; 4] = ["src:zlib", "src:bzip2", "src:xz-utils", "src:sqlite3"];
const CFLAGS: &[&str] = &["-O3", "-DNDEBUG", "-w"];

const BZIP2: &[&str] = &[
    "blocksort",
    "bzlib",
    "compress",
    "crctable",
    "decompress",
    "huffman",
    "randtable",
];

const XZ_CONFIGURE: &[&str] = &[
    "--host=wasm32-wasi",
    "--prefix=/",
    "--enable-static",
    "--disable-shared",
    // liblzma's own threads would need real ones; Python's module does not use them.
    "--disable-threads",
    "--disable-xz",
    "--disable-xzdec",
    "--disable-lzmadec",
    "--disable-lzmainfo",
    "--disable-lzma-links",
    "--disable-scripts",
    "--disable-doc",
    "--disable-nls",
    "--disable-sandbox",
];

/// Debian's choice of features, without what needs processes or dlopen.
const SQLITE: &[&str] = &[
    "-O2",
    // A fiber can lose the processor inside SQLite: its busy handler sleeps, and it calls Python.
    "-DSQLITE_THREADSAFE=1",
    "-DSQLITE_OMIT_LOAD_EXTENSION",
    "-DSQLITE_MAX_MMAP_SIZE=0",
    "-DSQLITE_ENABLE_COLUMN_METADATA",
    "-DSQLITE_ENABLE_FTS3",
    "-DSQLITE_ENABLE_FTS3_PARENTHESIS",
    "-DSQLITE_ENABLE_FTS5",
    "-DSQLITE_ENABLE_MATH_FUNCTIONS",
    "-DSQLITE_ENABLE_RTREE",
    "-DSQLITE_ENABLE_STMTVTAB",
    "-DSQLITE_ENABLE_UNLOCK_NOTIFY",
    "-DSQLITE_MAX_VARIABLE_NUMBER=250000",
    "-D_WASI_EMULATED_MMAN",
    // SQLite leaves it out on WASI, and the log's index needs its names.
    "-include",
    "sys/mman.h",
];

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(
        Stage::Libraries,
        include_str!("libraries.rs"),
        &[Stage::Toolchain],
    );
    inputs.packages.add_to_key(key, &PACKAGES).finish()
}

pub fn packages() -> Vec<&'static str> {
    PACKAGES.to_vec()
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory.join("include"))?;
    fs::create_dir_all(directory.join("lib"))?;
    let work = directory.join("work");
    let library = |name: &str| -> Result<Library> {
        let runner = recipe.runner(&format!("libraries-{name}"))?;
        let work = work.join(name);
        fs::create_dir_all(&work)?;
        unpack_package(recipe, &runner, &format!("src:{name}"), &work)?;
        let clang = recipe.entry(Stage::Toolchain).join("bin").join(toolchain::CLANG);
        Ok(Library {
            runner,
            clang,
            source: work.join("src"),
            out: directory.to_path_buf(),
        })
    };
    // The two long ones at once: xz's configure and SQLite's one file.
    std::thread::scope(|scope| {
        let sqlite = scope.spawn(|| sqlite(&library("sqlite3")?));
        zlib(&library("zlib")?)?;
        bzip2(&library("bzip2")?)?;
        xz(&library("xz-utils")?)?;
        sqlite.join().expect("a build does not panic")
    })?;
    fs::remove_dir_all(work)?;
    Ok(())
}

/// One library while it is built.
struct Library {
    runner: Runner,
    clang: PathBuf,
    source: PathBuf,
    out: PathBuf,
}

impl Library {
    /// Compiles these files of the source into `lib/<archive>`.
    fn compile(&self, archive: &str, files: &[PathBuf], flags: &[&str]) -> Result<()> {
        let mut objects = Vec::new();
        for file in files {
            let object = file.with_extension("wasm.o");
            let mut clang = self.runner.command(&self.clang, &self.source);
            self.runner.run(
                clang
                    .args(CFLAGS)
                    .args(flags)
                    .arg("-c")
                    .arg(file)
                    .arg("-o")
                    .arg(&object),
            )?;
            objects.push(object);
        }
        let archive = self.out.join("lib").join(archive);
        let mut ar = self.runner.command("llvm-ar", &self.source);
        self.runner.run(ar.arg("rcs").arg(archive).args(objects))
    }

    fn header(&self, name: &str) -> Result<()> {
        let target = self.out.join("include").join(name);
        fs::copy(self.source.join(name), target)?;
        Ok(())
    }
}

fn zlib(library: &Library) -> Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&library.source)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path);
        }
    }
    files.sort();
    library.compile("libz.a", &files, &["-DHAVE_UNISTD_H", "-D_LARGEFILE64_SOURCE=1"])?;
    library.header("zlib.h")?;
    library.header("zconf.h")
}

fn bzip2(library: &Library) -> Result<()> {
    let files: Vec<_> = BZIP2
        .iter()
        .map(|name| library.source.join(name).with_extension("c"))
        .collect();
    library.compile("libbz2.a", &files, &["-D_FILE_OFFSET_BITS=64"])?;
    library.header("bzlib.h")
}

fn xz(library: &Library) -> Result<()> {
    let Library {
        runner,
        clang,
        source,
        out,
    } = library;
    let mut configure = runner.command(source.join("configure"), source);
    configure
        .args(XZ_CONFIGURE)
        .env("CC", clang)
        .env("CFLAGS", CFLAGS.join(" "))
        .env("AR", "llvm-ar")
        .env("RANLIB", "llvm-ranlib")
        .env("NM", "llvm-nm");
    runner.run(&mut configure)?;
    for directory in ["src/liblzma", "src/liblzma/api"] {
        let mut make = runner.command("make", &source.join(directory));
        let destination = format!("DESTDIR={}", out.display());
        runner.run(make.arg(jobs()).args(["install", &destination]))?;
    }
    for useless in ["lib/liblzma.la", "lib/pkgconfig"] {
        let path = out.join(useless);
        if path.is_dir() {
            fs::remove_dir_all(path)?
        } else {
            fs::remove_file(path)?
        }
    }
    Ok(())
}

fn sqlite(library: &Library) -> Result<()> {
    let Library { runner, source, .. } = library;
    // Only to put the single source file together, for which it wants a native compiler's blessing.
    let mut configure = runner.command(source.join("configure"), source);
    runner.run(configure.args(["--disable-shared", "--disable-readline", "--disable-tcl"]))?;
    runner.run(runner.command("make", source).arg("sqlite3.c"))?;
    let amalgamation = source.join("sqlite3.c");
    if !amalgamation.is_file() {
        bail!("sqlite3's make did not write sqlite3.c");
    }
    allow_write_ahead_log(&amalgamation)?;
    library.compile("libsqlite3.a", &[amalgamation], SQLITE)?;
    library.header("sqlite3.h")?;
    library.header("sqlite3ext.h")
}

/// On WASI SQLite leaves the write-ahead log out, for want of shared memory; guest/sqlite.c brings some.
fn allow_write_ahead_log(amalgamation: &Path) -> Result<()> {
    const OMITTED: &str = "# define SQLITE_OMIT_WAL 1";
    let text = fs::read_to_string(amalgamation)?;
    if !text.contains(OMITTED) {
        bail!("sqlite3.c does not say `{OMITTED}` any more: look at what it does for WASI");
    }
    Ok(fs::write(amalgamation, text.replace(OMITTED, ""))?)
}
