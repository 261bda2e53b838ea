//! The image of an initialised interpreter, from which sandboxes start.
//!
//! The artifact's core module is compiled without its data: what a memory begins with is an
//! [`Image`](crate::memory::Image), which may be that data ([`bare`]), or the whole memory of a run that
//! has done what every start would do and loaded the modules that programs commonly import ([`make`],
//! `guest/snapshot.c`). So one compiled form serves for any number of images. They are made on the user's
//! machine: the secret of Python's hashes, which no program can change later, is this user's.

use crate::error::{Error, Result};
use crate::memory::RESERVATION;
use crate::python::Python;
use crate::sandbox::Sandbox;
use std::ops::Range;
use wasm_encoder::RawSection;
use wasmparser::{BinaryReaderError, Data, DataKind, Operator, Parser, Payload};

/// What is in the image.
pub(crate) const PRELOAD: &str = include_str!("preload.py");

/// The guest's import; only a component that has it can make an image.
pub(crate) const INTERFACE: &str = "vtwasm:host/snapshot@0.1.0";

pub(crate) const WASM_PAGE: usize = 1 << 16;

/// libc's initialisers; the component calls what stands under this name.
const INITIALIZE: &str = "_initialize";
/// The guest's function that calls them unless it starts from an image of a run.
const VT_INITIALIZE: &str = "vt_initialize";

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

/// The memory of a run that has loaded what [`PRELOAD`] says.
pub(crate) fn make(python: &Python) -> Result<Vec<u8>> {
    let run = || -> Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Error::Run(error.into()))?;
        let sandbox = Sandbox::builder(python)
            .args(["python3", "-c", PRELOAD])
            .build_for_image()?;
        let image = runtime.block_on(sandbox.image())?;
        image.map_err(|report| {
            let what = format!("it could not make an image of itself: {:?}", report.outcome);
            python.bad(wasmtime::Error::msg(what))
        })
    };
    // The caller may be a task of another runtime.
    std::thread::scope(|scope| scope.spawn(run).join()).expect("making an image does not panic")
}

/// An artifact's component without the data of its guest, which is its first core module, and that data as
/// a memory begins with it.
pub(crate) struct Bare {
    pub(crate) component: Vec<u8>,
    pub(crate) memory: Vec<u8>,
}

pub(crate) fn bare(component: &[u8]) -> wasmtime::Result<Bare> {
    let mut made = wasm_encoder::Component::new();
    let mut memory = None;
    let mut depth = 0;
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
            let bytes = slice(component, &range)?;
            if id == 1 && is_nested && memory.is_none() {
                let (module, data) = bare_module(bytes)?;
                memory = Some(data);
                made.section(&RawSection { id, data: &module });
            } else {
                made.section(&RawSection { id, data: bytes });
            }
        }
        depth += i32::from(is_nested);
    }
    Ok(Bare {
        component: made.finish(),
        // One without a guest is refused for what it lacks, when it is loaded.
        memory: memory.unwrap_or_else(|| vec![0; WASM_PAGE]),
    })
}

fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> wasmtime::Result<&'a [u8]> {
    bytes.get(range.clone()).ok_or_else(|| bad("to be whole"))
}

fn bare_module(module: &[u8]) -> wasmtime::Result<(Vec<u8>, Vec<u8>)> {
    let mut made = wasm_encoder::Module::new();
    let mut memory = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::ExportSection(section) => {
                made.section(&exports(section.clone())?);
                continue;
            }
            Payload::DataSection(section) => {
                for segment in section.clone() {
                    place(segment?, &mut memory)?;
                }
                continue;
            }
            Payload::MemorySection(section) => {
                let ty = section.clone().into_iter().next();
                let ty = ty.ok_or_else(|| bad("to have a memory"))??;
                let length = usize::try_from(ty.initial)
                    .ok()
                    .and_then(|pages| pages.checked_mul(WASM_PAGE));
                let length = length.filter(|&length| length <= RESERVATION);
                memory = vec![0; length.ok_or_else(|| bad("to have a memory of at most 4 GiB"))?];
            }
            // Code that names segments could not do without them.
            Payload::DataCountSection { .. } => {
                return Err(bad("to have only data that is there from the start"));
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            let data = slice(module, &range)?;
            made.section(&RawSection { id, data });
        }
    }
    match memory.is_empty() {
        true => Err(bad("to have a memory")),
        false => Ok((made.finish(), memory)),
    }
}

/// Puts a segment where it is in a memory that begins.
fn place(segment: Data<'_>, memory: &mut [u8]) -> wasmtime::Result<()> {
    let no_address = || bad("to have data at fixed addresses of its memory");
    let DataKind::Active {
        memory_index: 0,
        offset_expr,
    } = segment.kind
    else {
        return Err(no_address());
    };
    let mut operators = offset_expr.get_operators_reader();
    let Operator::I32Const { value } = operators.read()? else {
        return Err(no_address());
    };
    let place = memory
        .get_mut(value as u32 as usize..)
        .and_then(|rest| rest.get_mut(..segment.data.len()));
    place.ok_or_else(no_address)?.copy_from_slice(segment.data);
    Ok(())
}

fn bad(wanted: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("its core module has {wanted}"))
}

/// The same exports, but the guest decides whether the initialisers run.
fn exports(section: wasmparser::ExportSectionReader<'_>) -> wasmtime::Result<wasm_encoder::ExportSection> {
    let all = section
        .into_iter()
        .collect::<Result<Vec<_>, BinaryReaderError>>()?;
    let decides = all.iter().find(|export| export.name == VT_INITIALIZE);
    let decides = decides.map(|export| export.index);
    let mut made = wasm_encoder::ExportSection::new();
    for export in all {
        let kind = match export.kind {
            wasmparser::ExternalKind::Func => wasm_encoder::ExportKind::Func,
            wasmparser::ExternalKind::Table => wasm_encoder::ExportKind::Table,
            wasmparser::ExternalKind::Memory => wasm_encoder::ExportKind::Memory,
            wasmparser::ExternalKind::Global => wasm_encoder::ExportKind::Global,
            _ => {
                return Err(bad(
                    "to have no other exports than functions, tables, memories and globals",
                ));
            }
        };
        let index = match decides {
            Some(decides) if export.name == INITIALIZE => decides,
            _ => export.index,
        };
        made.export(export.name, kind, index);
    }
    Ok(made)
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

    /// A component around a core module.
    fn component(module: &[u8]) -> Vec<u8> {
        let mut component = wasm_encoder::Component::new();
        component.section(&RawSection { id: 1, data: module });
        component.finish()
    }

    fn module(pages: u64, data: &[(i32, &[u8])]) -> Vec<u8> {
        let mut memories = wasm_encoder::MemorySection::new();
        memories.memory(wasm_encoder::MemoryType {
            minimum: pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut section = wasm_encoder::DataSection::new();
        for (offset, bytes) in data {
            section.active(
                0,
                &wasm_encoder::ConstExpr::i32_const(*offset),
                bytes.iter().copied(),
            );
        }
        let mut module = wasm_encoder::Module::new();
        module.section(&memories).section(&section);
        module.finish()
    }

    #[test]
    fn the_data_of_a_module_is_where_it_would_be_in_its_memory() {
        let bare = bare(&component(&module(
            1,
            &[(8, b"one"), (-0, b"two"), (65_533, b"end")],
        )))
        .unwrap();
        assert_eq!(bare.memory.len(), WASM_PAGE);
        assert_eq!(&bare.memory[..12], b"two\0\0\0\0\0one\0");
        assert_eq!(&bare.memory[WASM_PAGE - 4..], b"\0end");
        assert_eq!(
            bare.component,
            component(&module(1, &[])[..module(1, &[]).len() - 3])
        );
    }

    #[test]
    fn what_is_no_component_of_ours_is_refused() {
        let beyond = component(&module(1, &[(65_534, b"end")]));
        let too_large = component(&module(1 << 40, &[]));
        let whole = component(&module(1, &[(8, b"one")]));
        for rubbish in [
            &b""[..],
            b"rubbish",
            b"\0asm\x0d\0\x01\0\x01\x04\0asm",
            &component(b"\0asm\x01\0\0\0"),
            &beyond,
            &too_large,
            &whole[..whole.len() - 1],
        ] {
            assert!(bare(rubbish).is_err(), "{rubbish:?}");
        }
    }
}
