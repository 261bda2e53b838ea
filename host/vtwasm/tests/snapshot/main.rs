//! Sandboxes start from an image of an initialised interpreter. What two of them must not share, what
//! belongs to one run, and that a program cannot tell: each is compared with a start without the image.

#[path = "../common/mod.rs"]
mod common;
mod saved;

use common::run;
use vtwasm::{Access, Builder, Outcome, Output, Sandbox};

/// No image honours it, and it changes nothing.
const COLD: [&str; 2] = ["-X", "cold"];

fn program(flags: &[&str], code: &str) -> Builder {
    let mut builder = Sandbox::builder(common::python());
    builder
        .args([&["python3"], flags, &["-c", code]].concat())
        .stdout(Output::Capture)
        .stderr(Output::Capture);
    builder
}

/// What `code` prints; it must come to its end and say nothing on stderr.
async fn printed(flags: &[&str], code: &str) -> String {
    let report = run(&mut program(flags, code)).await;
    let stderr = String::from_utf8_lossy(&report.stderr);
    assert_eq!((report.outcome, &*stderr), (Outcome::Exited(0), ""), "{code}");
    String::from_utf8(report.stdout).unwrap()
}

#[tokio::test]
async fn two_sandboxes_share_nothing_that_is_random() {
    for code in [
        "import random; print(random.random())",
        "import random; print(random.Random().random())",
        "import uuid; print(uuid.uuid4())",
        "import uuid; print(uuid.uuid1())",
        "import secrets; print(secrets.token_hex())",
        "import os; print(os.urandom(16))",
        "import tempfile; print(next(tempfile._RandomNameSequence()))",
        "import ssl; print(ssl.RAND_bytes(16))",
        "import time; print(time.time_ns())",
    ] {
        assert_ne!(printed(&[], code).await, printed(&[], code).await, "{code}");
    }
}

#[tokio::test]
async fn clocks_begin_with_the_sandbox() {
    let code = "import logging, time
record = logging.LogRecord('', 0, '', 0, '', (), None)
print(time.monotonic() < 60, time.perf_counter() < 60, time.process_time() < 60, record.relativeCreated < 60e3)";
    assert_eq!(printed(&[], code).await, "True True True True\n");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let time: f64 = printed(&[], "import time; print(time.time())")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!((time - now).abs() < 60.0, "{time} {now}");
}

#[tokio::test]
async fn nothing_of_one_run_is_there_in_the_next() {
    let code = "import builtins, json, os, sys
print(os.environ, hasattr(builtins, 'left'), hasattr(json, 'left'), sys.argv, len(sys.path), os.getcwd())
builtins.left = json.left = os.environ['LEFT'] = 'x'; sys.path.append('/left')";
    let first = printed(&[], code).await;
    assert!(first.starts_with("environ({}) False False"), "{first}");
    let other = run(program(&[], code).env("NAME", "value").cwd("/here")).await;
    let other = String::from_utf8(other.stdout).unwrap();
    assert!(
        other.contains("'NAME': 'value'") && other.ends_with("/here\n"),
        "{other}"
    );
    assert_eq!(printed(&[], code).await, first);
}

/// What a program can see of the interpreter it starts with.
const STATE: &str = "import sys, os
for name in sorted(vars(sys)):
    value = getattr(sys, name)
    value = sorted(value) if isinstance(value, frozenset) else value
    if name not in ('modules', 'orig_argv', '_xoptions', 'path_hooks', 'path_importer_cache'):
        print(name, value if not callable(value) else '')
print(sys.getfilesystemencoding(), sys.getdefaultencoding(), sys.getrecursionlimit(), sys.getswitchinterval())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream, stream.errors, stream.line_buffering, stream.write_through, stream.buffer, stream.isatty())
print(os.environ, os.getcwd(), sorted(vars(__builtins__)), sorted(globals()))
import gc, locale, time, warnings
print(gc.get_threshold(), gc.isenabled(), gc.garbage, locale.getlocale(), time.tzname, warnings.filters)";

#[tokio::test]
async fn an_interpreter_from_the_image_is_as_any_other() {
    for flags in [&[][..], &["-I"], &["-B", "-q"], &["-EsP"], &["-Bx"]] {
        let warm = printed(flags, STATE).await;
        let cold = printed(&[flags, &COLD].concat(), STATE).await;
        assert_eq!(
            warm.replace("UTF-8", "utf-8"),
            cold.replace("UTF-8", "utf-8"),
            "{flags:?}"
        );
    }
}

#[tokio::test]
async fn what_an_image_cannot_honour_starts_without_it() {
    for (flags, code, expected) in [
        (&["-O"][..], "assert False; print(__debug__)", "False"),
        (
            &["-W", "error"],
            "import sys; print(sys.warnoptions)",
            "['error']",
        ),
        (&["-X", "dev"], "import sys; print(sys.flags.dev_mode)", "True"),
        (&["-S"], "import sys; print('site' in sys.modules)", "False"),
        (&["-u"], "import sys; print(sys.stdout.write_through)", "True"),
        (&["-bb"], "import sys; print(sys.flags.bytes_warning)", "2"),
    ] {
        assert_eq!(printed(flags, code).await.trim(), expected, "{flags:?}");
    }
    let mut seeded = program(&[], "import sys; print(hash('x'), sys.flags.hash_randomization)");
    let first = run(seeded.env("PYTHONHASHSEED", "7")).await.stdout;
    let mut seeded = program(&[], "import sys; print(hash('x'), sys.flags.hash_randomization)");
    assert_eq!(run(seeded.env("PYTHONHASHSEED", "7")).await.stdout, first);
    let mut path = program(&[], "import sys; print('/extra' in sys.path)");
    assert_eq!(run(path.env("PYTHONPATH", "/extra")).await.stdout, b"True\n");
}

#[tokio::test]
async fn a_module_that_imports_main_has_the_programs_and_holds_none_before() {
    let code = "import gc, sys
main = sys.modules['__main__']
print([r for r in gc.get_referrers(main) if type(r) is dict and '__doc__' in r and r is not globals()])
import rlcompleter
print(rlcompleter.__main__ is main, rlcompleter.Completer().complete('mai', 0))";
    assert_eq!(printed(&[], code).await, "[]\nTrue main\n");
}

#[tokio::test]
async fn modules_are_there_when_they_are_imported_and_not_before() {
    let at_start = printed(&[], "import sys; print(*sys.modules)").await;
    let visible: Vec<&str> = at_start.split_whitespace().collect();
    for module in [
        "json",
        "logging",
        "concurrent.futures",
        "urllib.parse",
        "threading",
        "decimal",
    ] {
        assert!(!visible.contains(&module), "{module}");
        let code = format!(
            "import {module}, sys
first = sorted(sys.modules)
import importlib; importlib.reload(sys.modules['{module}'])
print(*first, {module}.__spec__, {module}.__loader__.archive, {module}.__file__)"
        );
        let without_visible = |text: String| -> Vec<String> {
            let words = text.split_whitespace().filter(|word| !visible.contains(word));
            words
                .filter(|word| !word.starts_with("0x"))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(
            without_visible(printed(&[], &code).await),
            without_visible(printed(&COLD, &code).await),
            "{module}"
        );
    }
}

#[tokio::test]
async fn a_module_of_the_program_s_own_stands_before_a_loaded_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("random.py"), "mine = True").unwrap();
    let code = "import random; print(random.mine); import tempfile; print(len(next(tempfile._RandomNameSequence())))";
    let mut builder = program(&[], code);
    builder
        .mount(folder.path(), "/mine", Access::Read)
        .unwrap()
        .cwd("/mine");
    assert_eq!(run(&mut builder).await.stdout, b"True\n8\n");
}

/// Programs whose end shows something, each with a file `f` that it may write.
const ENDS: &[&str] = &[
    "open('f', 'w').write('never closed')",
    "file = open('f', 'w'); file.write('never closed')",
    "with open('f', 'w') as file: file.write('closed')",
    "import io\nclass F(io.StringIO):\n def __del__(self): print('deleted')\nf = F(); f.close()",
    "import io\nclass F(io.RawIOBase):\n @property\n def closed(self): print('asked'); return False\n def close(self): print('closes')\nf = F()",
    "import socket; a, b = socket.socketpair(); a.close(); b.close()",
    "import socket, warnings; warnings.simplefilter('always'); a, b = socket.socketpair(); a.close()",
    "import logging; logging.basicConfig(); logging.getLogger('x').warning('logged')",
    "import io; file = io.BufferedWriter(io.FileIO('f', 'w')); file.write(b'x')",
    "class A:\n def __del__(self): print('deleted')\na = A()",
    "class A:\n __slots__ = ()\n def __del__(self): print('deleted')\na = A()",
    "class A:\n def __del__(self): print('deleted')\na = A(); a.a = a; del a",
    "import json\nclass A:\n def __del__(self): print('deleted')\njson.a = A()",
    "import gc\nclass A:\n def __del__(self): print('deleted')\na = A(); gc.freeze()",
    "def g():\n try: yield\n finally: print('left')\na = g(); next(a)",
    "def g():\n yield\na = g()",
    "async def c(): pass\na = c()",
    "import weakref\nclass A: pass\na = A(); b = weakref.ref(a, lambda _: print('gone'))",
    "import weakref\nclass A: pass\na = A(); b = weakref.finalize(a, print, 'finalized')",
    "import weakref\nclass A: pass\na = A(); b = weakref.WeakValueDictionary(a=a)",
    "import atexit; atexit.register(print, 'at exit')",
    "import atexit, sys; atexit.register(sys.exit, 3)",
    "import sys, threading, time\nthreading.Thread(target=lambda: (time.sleep(0.01), print('thread'))).start(); sys.exit(4)",
    "import threading, time\nthreading.Thread(target=lambda: (time.sleep(9), print('daemon')), daemon=True).start(); print('main')",
    "import threading\nl = threading.local(); l.x = 1\nt = threading.Thread(target=setattr, args=(l, 'x', 2)); t.start(); t.join()",
    "import threading\nclass L(threading.local):\n def __del__(self): print('deleted')\nl = L()",
    "import threading\nclass A:\n def __del__(self): print('deleted')\nl = threading.local(); l.a = A()",
    "class A:\n def __del__(self): self.a = None; print('deleted')\na = A(); a.a = a; b = A(); b.a = b; del a",
    "import asyncio\nasync def f(): print('run')\nasyncio.run(f())",
    "import asyncio\nloop = asyncio.new_event_loop(); loop.run_until_complete(asyncio.sleep(0))",
    "import concurrent.futures as c\np = c.ThreadPoolExecutor(); p.submit(print, 'submitted')",
    "import sys; sys.stdout.write('no newline')",
    "import sys; b = sys.stdout.detach(); b.write(b'detached')",
    "import io, sys; sys.stdout.write('first'); sys.stdout = io.StringIO()",
    "import sys; sys.stdout.write('x'); sys.stdout.close()",
    "import sys; sys.stdout = None",
    "import sys\nclass W:\n def write(self, t): pass\n def flush(self): raise OSError('full')\nsys.stdout = W()",
    "import sys; sys.addaudithook(lambda name, args: sys.stderr.write(name + '\\n') if 'clear' in name.lower() else None)",
    "import sys; sys.exit('why')",
    "raise SystemExit(5)",
    "1/0",
    "import os; os._exit(6)",
    "raise KeyboardInterrupt",
    "import logging; logging.basicConfig(filename='f'); logging.warning('logged')",
    "import tempfile; f = tempfile.NamedTemporaryFile('w', dir='.'); f.write('x')",
    "import sqlite3; c = sqlite3.connect('f'); c.execute('create table t(x)'); c.execute('insert into t values(1)')",
    "import contextlib, sys\nwith contextlib.redirect_stdout(sys.stderr): print('to stderr')",
];

async fn end(flags: &[&str], code: &str) -> (Outcome, String, String, Vec<(String, Vec<u8>)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = program(flags, code);
    builder
        .mount(folder.path(), "/work", Access::ReadWrite)
        .unwrap()
        .cwd("/work");
    let report = run(&mut builder).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    });
    (
        report.outcome,
        text(report.stdout),
        text(report.stderr),
        files.collect(),
    )
}

#[tokio::test]
async fn an_end_shows_what_python_shows() {
    for code in ENDS {
        let cold = end(&COLD, code).await;
        assert_eq!(end(&[], code).await, cold, "{code:?}");
    }
    assert_eq!(
        end(&[], ENDS[1]).await.3,
        [("f".to_owned(), b"never closed".to_vec())]
    );
    assert_eq!(end(&[], ENDS[3]).await.1, "deleted\n");
}

#[tokio::test]
async fn a_program_with_little_memory_starts_without_the_image() {
    let mut limits = vtwasm::Limits::default();
    limits.memory = 12 << 20;
    let mut small = program(&[], "print(len(bytes(1_000_000)))");
    let report = run(small.limits(limits)).await;
    assert_eq!(report.stdout, b"1000000\n", "{:?}", report.outcome);
    assert!(report.usage.peak_memory <= 12 << 20, "{:?}", report.usage);
}

#[tokio::test]
async fn too_little_memory_for_python_to_start_is_that_limit_whatever_it_breaks() {
    for kib in (4096..12288).step_by(256) {
        let mut limits = vtwasm::Limits::default();
        limits.memory = kib << 10;
        limits.wall_time = Some(std::time::Duration::from_secs(5));
        let report = run(program(&[], "print('started')").limits(limits)).await;
        match report.outcome {
            Outcome::LimitHit(vtwasm::Limit::Memory) => {}
            // CPython 3.13 unwinds for ever where not even the int is left that a handler gets (`lasti`, in
            // ceval.c), which depends on a few KiB.
            Outcome::LimitHit(vtwasm::Limit::WallTime) => {}
            Outcome::Exited(0) => assert_eq!(report.stdout, b"started\n"),
            // It had started and its program ran out: which, depends on how deep its stack was found to be.
            Outcome::Exited(1) => assert_eq!(report.reached, [vtwasm::Limit::Memory]),
            other => panic!("{kib} KiB: {other:?}"),
        }
    }
}
