//! The image of an initialised interpreter, from which sandboxes start.
//!
//! One run of the artifact does what every start would do, loads the modules that programs commonly
//! import, and hands its linear memory over (`guest/snapshot.c`). The memory takes the place of the data
//! of the artifact's core module. What comes out is a component like the artifact's own, whose instances
//! share the image until they write to it. It is made on the user's machine, once: so the secret of
//! Python's hashes, which no program can change later, is this user's.

use crate::error::{Error, Result};
use crate::python::Python;
use crate::sandbox::Sandbox;
use std::ops::Range;
use wasm_encoder::{ConstExpr, RawSection};
use wasmparser::{BinaryReaderError, Parser, Payload};

/// What is in the image.
pub(crate) const PRELOAD: &str = include_str!("preload.py");

/// The guest's import; only a component that has it can make an image.
pub(crate) const INTERFACE: &str = "vtwasm:host/snapshot@0.1.0";

const WASM_PAGE: usize = 1 << 16;
/// Images are written by the page: what is zero is left out.
const PAGE: usize = 1 << 12;

/// libc's initialisers have run in an image; the component calls what stands under this name.
const INITIALIZE: &str = "_initialize";
/// The guest's function that does nothing.
const INITIALIZED: &str = "vt_initialized";

/// Python's flags of one letter that an interpreter can take on after its start.
const FLAGS: &str = "BEIPiqsx";
/// Variables of Python's own that are read when they are wanted, and not at the start.
const VARIABLES: [&str; 4] = [
    "PYTHON_BASIC_REPL",
    "PYTHON_COLORS",
    "PYTHON_HISTORY",
    "PYTHONSTARTUP",
];
/// The locale decides on encodings.
const LOCALE: [&str; 3] = ["LANG", "LC_ALL", "LC_CTYPE"];

/// Whether a run with this command line of Python's may start from the image.
pub(crate) fn honours_arguments<'a>(args: impl IntoIterator<Item = &'a str>) -> bool {
    for arg in args.into_iter().skip(1) {
        let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return true;
        };
        for letter in letters.chars() {
            match letter {
                // The rest is the program's.
                'c' | 'm' => return true,
                _ if FLAGS.contains(letter) => {}
                _ => return false,
            }
        }
    }
    true
}

/// The same for a variable of its environment.
pub(crate) fn honours_variable(name: &str) -> bool {
    VARIABLES.contains(&name) || !(name.starts_with("PYTHON") || LOCALE.contains(&name))
}

/// The artifact's component with the image of a run that loads what [`PRELOAD`] says.
pub(crate) fn make(python: &Python, component: &[u8]) -> Result<Vec<u8>> {
    let run = || -> Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Error::Run(error.into()))?;
        let sandbox = Sandbox::builder(python)
            .args(["python3", "-c", PRELOAD])
            .build_for_image()?;
        runtime.block_on(sandbox.image())
    };
    // The caller may be a task of another runtime.
    let memory = std::thread::scope(|scope| scope.spawn(run).join()).expect("making an image does not panic");
    with_image(component, &memory?).map_err(|error| python.bad(error))
}

/// `component` with its first core module, which is the guest, started from `memory`.
fn with_image(component: &[u8], memory: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut made = wasm_encoder::Component::new();
    let mut depth = 0;
    let mut guest_is_done = false;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        let (id, range) = match &payload {
            Payload::ModuleSection { unchecked_range, .. } => (1, unchecked_range.clone()),
            Payload::ComponentSection { unchecked_range, .. } => (4, unchecked_range.clone()),
            Payload::End(_) => {
                depth -= 1;
                continue;
            }
            other => match other.as_section() {
                Some(section) => section,
                None => continue,
            },
        };
        let is_nested = matches!(
            payload,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. }
        );
        if depth == 0 {
            let bytes = slice(component, &range);
            if id == 1 && is_nested && !guest_is_done {
                guest_is_done = true;
                made.section(&RawSection {
                    id,
                    data: &module_with_image(bytes, memory)?,
                });
            } else {
                made.section(&RawSection { id, data: bytes });
            }
        }
        depth += i32::from(is_nested);
    }
    match guest_is_done {
        true => Ok(made.finish()),
        false => Err(wasmtime::Error::msg("there is no core module in the component")),
    }
}

fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    &bytes[range.clone()]
}

fn module_with_image(module: &[u8], memory: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let mut made = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::MemorySection(section) => {
                let before = section
                    .clone()
                    .into_iter()
                    .next()
                    .ok_or_else(|| bad("a memory"))??;
                let mut memories = wasm_encoder::MemorySection::new();
                memories.memory(wasm_encoder::MemoryType {
                    minimum: (memory.len() / WASM_PAGE) as u64,
                    maximum: before.maximum,
                    memory64: before.memory64,
                    shared: before.shared,
                    page_size_log2: before.page_size_log2,
                });
                made.section(&memories);
            }
            Payload::ExportSection(section) => {
                made.section(&exports(section.clone())?);
            }
            Payload::DataSection(_) => {
                made.section(&data(memory));
            }
            // Code that names segments could not do without them.
            Payload::DataCountSection { .. } => return Err(bad("only data that is there from the start")),
            other => {
                if let Some((id, range)) = other.as_section() {
                    made.section(&RawSection {
                        id,
                        data: slice(module, &range),
                    });
                }
            }
        }
    }
    Ok(made.finish())
}

fn bad(wanted: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "to start from an image, the core module must have {wanted}"
    ))
}

/// The same exports, but the initialisers do not run again.
fn exports(section: wasmparser::ExportSectionReader<'_>) -> wasmtime::Result<wasm_encoder::ExportSection> {
    let all = section
        .into_iter()
        .collect::<Result<Vec<_>, BinaryReaderError>>()?;
    let nothing = all.iter().find(|export| export.name == INITIALIZED);
    let nothing = nothing.ok_or_else(|| bad("the export `vt_initialized`"))?.index;
    let mut made = wasm_encoder::ExportSection::new();
    for export in all {
        let kind = match export.kind {
            wasmparser::ExternalKind::Func => wasm_encoder::ExportKind::Func,
            wasmparser::ExternalKind::Table => wasm_encoder::ExportKind::Table,
            wasmparser::ExternalKind::Memory => wasm_encoder::ExportKind::Memory,
            wasmparser::ExternalKind::Global => wasm_encoder::ExportKind::Global,
            _ => {
                return Err(bad(
                    "no other exports than functions, tables, memories and globals",
                ));
            }
        };
        let index = if export.name == INITIALIZE {
            nothing
        } else {
            export.index
        };
        made.export(export.name, kind, index);
    }
    Ok(made)
}

/// The pages that are not zero, neighbours together.
fn data(memory: &[u8]) -> wasm_encoder::DataSection {
    let mut section = wasm_encoder::DataSection::new();
    let pages: Vec<&[u8]> = memory.chunks(PAGE).collect();
    let mut first = 0;
    for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
        let start = first * PAGE;
        first += run.len();
        if !is_zero(run[0]) {
            let bytes = &memory[start..(first * PAGE).min(memory.len())];
            section.active(
                0,
                &ConstExpr::i32_const(start as u32 as i32),
                bytes.iter().copied(),
            );
        }
    }
    section
}

fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honours(args: &[&str]) -> bool {
        honours_arguments(["python3"].iter().chain(args).copied())
    }

    #[test]
    fn flags_of_a_running_interpreter_are_honoured_and_those_of_its_start_are_not() {
        for warm in [
            &[][..],
            &["-"],
            &["-c", "pass", "-O"],
            &["-Ic", "pass"],
            &["-m", "x", "-X", "dev"],
            &["-BqsP", "script.py", "-v"],
            &["-iEx"],
        ] {
            assert!(honours(warm), "{warm:?}");
        }
        for cold in [
            &["-O", "x.py"][..],
            &["-IO"],
            &["-X", "dev"],
            &["-Wc"],
            &["-u"],
            &["--version"],
            &["-é"],
            &["-S", "-c", "pass"],
        ] {
            assert!(!honours(cold), "{cold:?}");
        }
    }

    #[test]
    fn variables_that_python_reads_at_its_start_are_not_honoured() {
        for warm in ["HOME", "PWD", "PYTHON_BASIC_REPL", "MYPYTHON"] {
            assert!(honours_variable(warm), "{warm}");
        }
        for cold in ["PYTHONPATH", "PYTHONHASHSEED", "PYTHON_NEW", "LANG", "LC_ALL"] {
            assert!(!honours_variable(cold), "{cold}");
        }
    }

    #[test]
    fn only_pages_that_are_not_zero_are_written() {
        let mut memory = vec![0; 16 * PAGE];
        memory[3 * PAGE] = 1;
        memory[5 * PAGE - 1] = 1;
        memory[16 * PAGE - 1] = 1;
        assert_eq!(data(&memory).len(), 2);
    }

    #[test]
    fn what_is_no_component_of_ours_is_refused() {
        let memory = vec![1; WASM_PAGE];
        for rubbish in [&b""[..], b"rubbish", b"\0asm\x0d\0\x01\0\x01\x04\0asm"] {
            assert!(with_image(rubbish, &memory).is_err(), "{rubbish:?}");
        }
    }
}
