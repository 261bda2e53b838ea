//! `vtwasm doctor`: what is in use, for people and for bug reports.

use std::io::{self, Write};

use anyhow::{Context, Result};
use vtwasm::{Engine, Limits};

use crate::artifact;
use crate::failure;
use crate::network;
use crate::units::show_size;
use crate::wheels;

/// Tells what it finds on stdout; a missing part is told of and gives the exit code.
pub fn doctor() -> Result<u8> {
    let engine = Engine::new().context("starting the WebAssembly engine")?;
    let python = artifact::open(&engine);
    let mut sections = vec![
        ("vtwasm", env!("CARGO_PKG_VERSION").to_owned()),
        ("engine", engine.describe()),
        ("cache", vtwasm::cache_dir()?.display().to_string()),
        ("packages", wheels::describe()),
        ("limits", describe_limits(&Limits::default())),
        ("sockets", describe_sockets()?),
    ];
    if let Ok(python) = &python {
        sections.insert(1, ("python", python.describe()));
    }
    match print(&sections) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("writing to stdout");
        }
        _ => {}
    }
    Ok(python.err().map_or(0, |error| failure::report(&error)))
}

/// Each section with its name in front and its further lines beneath its first.
fn print(sections: &[(&str, String)]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (name, text) in sections {
        let text = text.trim_end().replace('\n', "\n          ");
        writeln!(stdout, "{name:<10}{text}")?;
    }
    stdout.flush()
}

fn describe_sockets() -> Result<String> {
    let (wanted, there) = (Limits::default().sockets, network::sockets(None)?);
    let files = network::files();
    Ok(match there < wanted {
        true => format!(
            "{there} by default, not {wanted}: this process may have only {files} files open (ulimit -Hn)"
        ),
        false => format!("{there} by default; this process may have {files} files open"),
    })
}

fn describe_limits(limits: &Limits) -> String {
    let time = |time: Option<std::time::Duration>| time.map_or("none".to_owned(), |time| format!("{time:?}"));
    format!(
        "memory {}, time {}, processor time {}, threads {}, output {}",
        show_size(limits.memory),
        time(limits.wall_time),
        time(limits.cpu_time),
        limits.threads,
        limits.output.map_or("none".to_owned(), show_size)
    )
}
