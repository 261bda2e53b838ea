//! Programs that the recipe needs and that a bare Debian lacks.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::Result;

use super::Recipe;
use super::plan::{Inputs, Stage};
use super::toolchain::{unpack, write_script};
use crate::cache::Key;
use crate::packages::{Group, WANTED};
use crate::process::{find_program, output};

const PERL_MODULES: [&str; 5] = ["FindBin", "IPC::Cmd", "Pod::Usage", "Storable", "Time::Piece"];
/// The packages' perl looks below /usr by itself.
const PERL_LIBRARY: &str = "\
    for place in \"$root\"/usr/share/perl/5* \"$root\"/usr/lib/*/perl/5* \"$root\"/usr/lib/*/perl-base; do\n\
    PERL5LIB=\"$PERL5LIB${PERL5LIB:+:}$place\"\n\
    done\n\
    export PERL5LIB\n";

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(Stage::Tools, include_str!("tools.rs"), &[]);
    inputs.packages.add_to_key(key, &packages()).finish()
}

/// The packages of the programs that are not on PATH.
pub fn packages() -> Vec<&'static str> {
    missing().map(|(package, _)| package).collect()
}

fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    WANTED.iter().filter_map(|wanted| match wanted.group {
        Group::Tool(program) if find_program(program).is_none() => Some((wanted.package, program)),
        Group::Perl if !perl_is_whole() => Some((wanted.package, "perl")),
        _ => None,
    })
}

/// Whether there are the modules that OpenSSL's Configure and generators use beyond perl-base's.
fn perl_is_whole() -> bool {
    static WHOLE: LazyLock<bool> = LazyLock::new(|| {
        let modules = PERL_MODULES.iter().map(|module| format!("-M{module}"));
        output(Command::new("perl").args(modules).args(["-e", "1"])).is_ok()
    });
    *WHOLE
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    let root = directory.join("root");
    for (package, program) in missing() {
        unpack(recipe, package, &root)?;
        // tclsh is tclsh8.6 until the system's alternatives are set up; bookworm still has /bin.
        let places = [
            format!("usr/bin/{program}"),
            format!("bin/{program}"),
            format!("usr/bin/{program}8.6"),
        ];
        if let Some(file) = places.iter().find(|file| root.join(file).is_file()) {
            let script = format!(
                "export TCL_LIBRARY=\"$root/usr/share/tcltk/tcl8.6\"\n\
                 {PERL_LIBRARY}\
                 exec \"$root/{file}\" \"$@\""
            );
            write_script(&bin.join(program), &script)?;
        }
    }
    Ok(())
}
