//! OpenSSL's libcrypto and libssl for wasm, from Debian's package with its security corrections.
//!
//! Built with real (POSIX) threads, which guest/ defines: its error queue then is a virtual
//! thread's own, and its locks park the fiber. Random numbers come from getentropy alone, and no
//! configuration file is read.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::plan::{Inputs, Stage};
use super::source::{apply_debian_patches, tree, unpack_package};
use super::{Recipe, jobs};
use crate::cache::{Key, files_below};

const PACKAGE: &str = "src:openssl";
/// The target that python-wasm/openssl.conf describes.
const TARGET: &str = "wasm32-wasip1";

const CONFIGURE: &[&str] = &[
    "--prefix=/usr",
    // Where the default certificates are looked for. The host puts its own there, for Python to
    // find without a setting (host/vtwasm/src/certificates.rs).
    "--openssldir=/usr/lib/ssl",
    // On WASI that is getentropy, without a fallback.
    "--with-rand-seed=getrandom",
    "threads",
    // Needs nothing but a 128-bit integer type.
    "enable-ec_nistp_64_gcc_128",
    // What there is not on wasm.
    "no-asm",
    "no-async",
    "no-dso",
    "no-module",
    "no-pic",
    "no-secure-memory",
    "no-shared",
    "no-thread-pool",
    // Start and end are the interpreter's, and settings are the program's.
    "no-atexit",
    "no-autoload-config",
    "no-ui-console",
    // What CPython's modules do not use.
    "no-apps",
    "no-cmp",
    "no-cms",
    "no-comp",
    "no-ct",
    "no-dgram",
    "no-docs",
    "no-engine",
    "no-filenames",
    "no-http",
    "no-legacy",
    "no-makedepend",
    "no-nextprotoneg",
    "no-ocsp",
    "no-posix-io",
    "no-srp",
    "no-srtp",
    "no-tests",
    "no-ts",
    // Ciphers and curves that today's TLS does not have.
    "no-aria",
    "no-bf",
    "no-camellia",
    "no-cast",
    "no-ec2m",
    "no-idea",
    "no-md4",
    "no-mdc2",
    "no-rc2",
    "no-rc4",
    "no-seed",
    "no-sm2",
    "no-sm4",
    "no-ssl3",
    "no-ssl3-method",
    "no-whirlpool",
];
const LIBRARIES: [&str; 2] = ["libcrypto.a", "libssl.a"];

/// Files that need all of a system's socket calls. The socket BIO, which Python uses, does not, but
/// for three functions that guest/openssl.c has.
const SOCKETS: [&str; 3] = ["bio_addr.c", "bio_sock.c", "bio_sock2.c"];

pub fn key(inputs: &Inputs) -> Result<Key> {
    let key = inputs.key(Stage::Openssl, include_str!("openssl.rs"), &[Stage::Toolchain]);
    let key = key.file(&target(inputs.workspace))?;
    Ok(inputs.packages.add_to_key(key, &[PACKAGE]).finish())
}

pub fn packages() -> Vec<&'static str> {
    vec![PACKAGE]
}

fn target(workspace: &crate::workspace::Workspace) -> std::path::PathBuf {
    workspace.recipe().join("openssl.conf")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("openssl")?;
    let work = directory.join("work");
    let source = tree(&work);
    unpack_package(recipe, &runner, PACKAGE, &work)?;
    apply_debian_patches(&runner, &source, &work.join("debian"), &[])?;
    leave_sockets_out(&source)?;
    use_whole_words(&source)?;

    let mut configure = runner.command("perl", &source);
    configure
        .arg("Configure")
        .arg(format!("--config={}", target(&recipe.workspace).display()))
        .arg(TARGET)
        .args(CONFIGURE)
        .env("PERL", "perl");
    runner.run(&mut configure)?;
    let mut make = runner.command("make", &source);
    make.args([&jobs(), "build_generated"]).args(LIBRARIES);
    // It has its date of building in a text.
    runner.run(make.env("SOURCE_DATE_EPOCH", "0"))?;

    for library in LIBRARIES {
        copy(&source.join(library), &directory.join("lib").join(library))?;
    }
    for header in files_below(&source.join("include/openssl"))? {
        if header.extension().is_some_and(|extension| extension == "h") {
            let below = header.strip_prefix(&source)?;
            copy(&header, &directory.join(below))?;
        }
    }
    fs::remove_dir_all(work)?;
    Ok(())
}

/// The C library has no netdb.h either, which the other files include and do not use.
fn leave_sockets_out(source: &Path) -> Result<()> {
    let path = source.join("crypto/bio/build.info");
    let mut text = fs::read_to_string(&path)?;
    for file in SOCKETS {
        ensure!(text.contains(file), "{} lacks {file}", path.display());
        text = text.replace(&format!(" {file}"), "");
    }
    fs::write(&path, text)?;
    fs::write(source.join("include/netdb.h"), "")?;
    Ok(())
}

/// SHA-3 takes a machine with short pointers for one with short words.
fn use_whole_words(source: &Path) -> Result<()> {
    let path = source.join("crypto/sha/keccak1600.c");
    let text = fs::read_to_string(&path)?;
    let guess = "#define BIT_INTERLEAVE (sizeof(void *) < 8)";
    ensure!(text.contains(guess), "{} lacks `{guess}`", path.display());
    fs::write(&path, text.replace(guess, "#define BIT_INTERLEAVE 0"))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().expect("a path in the entry"))?;
    fs::copy(from, to)?;
    Ok(())
}
