//! Which program is run: from the command line to Python's own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::Failure;
use crate::options::RunOptions;
use crate::permissions::visible_path;

/// A program, ready to be handed to Python.
#[derive(Debug, PartialEq)]
pub struct Program {
    /// Python's whole command line.
    pub argv: Vec<String>,
    /// The script's file, if it is one.
    pub script: Option<PathBuf>,
    /// The folder that is readable without being asked for.
    pub folder: Option<PathBuf>,
    /// A person sits at the other end.
    pub interactive: bool,
}

impl Program {
    /// What `options` ask for, once the script is known to be there.
    pub fn find(options: &RunOptions) -> Result<Program> {
        let mut argv = vec!["python3".to_owned()];
        argv.extend(options.python.to_args());
        let mut folder = None;
        if let [code, args @ ..] = &options.code[..] {
            argv.extend(["-c".into(), utf8(code)?]);
            argv.extend(all_utf8(args)?);
        } else if let [module, args @ ..] = &options.module[..] {
            folder = module_folder(&utf8(module)?);
            argv.extend(["-m".into(), utf8(module)?]);
            argv.extend(all_utf8(args)?);
        } else if let [script, ..] = &options.script[..]
            && script != "-"
        {
            let (script, beside) = find_script(Path::new(script))?;
            folder = Some(beside);
            let file = script.is_file().then(|| script.clone());
            argv.push(utf8(script.as_os_str())?);
            argv.extend(all_utf8(&options.script[1..])?);
            return Ok(Program {
                argv,
                script: file,
                folder,
                interactive: options.python.interactive,
            });
        }
        let from_stdin = options.code.is_empty() && options.module.is_empty();
        argv.extend(all_utf8(&options.script)?);
        let interactive = options.python.interactive || (from_stdin && io::stdin().is_terminal());
        Ok(Program {
            argv,
            script: None,
            folder,
            interactive,
        })
    }
}

/// The name that Python gets for the script, and the folder that it may read.
///
/// The name stays as the user spelt it unless the sandbox could not follow it: a link may lead out
/// of the folder, and so may `..`.
fn find_script(script: &Path) -> Result<(PathBuf, PathBuf)> {
    let cannot = |what: &str| Failure::usage(format!("can't run {}: {what}", script.display()));
    let metadata = fs::metadata(script).map_err(|error| cannot(&error.to_string()))?;
    let visible = match fs::symlink_metadata(script) {
        Ok(data) if data.is_symlink() => script.canonicalize()?,
        _ => visible_path(script)?,
    };
    let name = if std::path::absolute(script)? == visible {
        script
    } else {
        &visible
    };
    if metadata.is_dir() {
        if !script.join("__main__.py").is_file() {
            let hint = "give the script's file, or put a __main__.py into the folder";
            return Err(cannot("it is a folder without a __main__.py").hint(hint).into());
        }
        return Ok((name.to_owned(), visible));
    }
    if !metadata.is_file() {
        let hint = "to run what a pipe or a device gives, use: vtwasm run - < FILE";
        return Err(cannot("it is no regular file").hint(hint).into());
    }
    fs::File::open(script).map_err(|error| cannot(&error.to_string()))?;
    let beside = visible.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((name.to_owned(), beside))
}

/// The current folder, if it has the module: running a module from here is leave to read it. A
/// module of the standard library needs no folder.
fn module_folder(module: &str) -> Option<PathBuf> {
    let package = module.split('.').next().filter(|name| !name.is_empty())?;
    let here = std::env::current_dir().ok()?;
    let found = here.join(package).is_dir() || here.join(format!("{package}.py")).is_file();
    found.then_some(here)
}

fn utf8(text: &std::ffi::OsStr) -> Result<String> {
    let hint = "the sandbox passes on only UTF-8; hand other bytes in through a file or stdin";
    let message = || Failure::usage(format!("the argument {text:?} is not UTF-8")).hint(hint);
    Ok(text.to_str().ok_or_else(message)?.to_owned())
}

fn all_utf8(texts: &[OsString]) -> Result<Vec<String>> {
    texts.iter().map(|text| utf8(text)).collect()
}
