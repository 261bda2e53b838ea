//! libFuzzer, of LLVM: `cargo xtask fuzz` compiles this crate with counters and links it.

use std::env;
use std::ffi::{CString, c_char, c_int};
use std::ptr;

type Callback = extern "C" fn(*const u8, usize) -> c_int;

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(argc: *mut c_int, argv: *mut *mut *mut c_char, callback: Callback) -> c_int;
}

macro_rules! targets {
    ($($name:ident),+) => {
        fn callback(target: &str) -> Callback {
            match target {
                $(stringify!($name) => {
                    extern "C" fn $name(bytes: *const u8, length: usize) -> c_int {
                        // SAFETY: libFuzzer gives so many bytes, for this call. A panic ends the process
                        // at this function, and libFuzzer keeps the input.
                        super::$name::target(unsafe { std::slice::from_raw_parts(bytes, length) });
                        0
                    }
                    $name
                })+
                _ => panic!("there is no target {target:?}"),
            }
        }
    };
}

targets! { imports, snapshots, values }

/// Not a test: `cargo xtask fuzz` runs it, with libFuzzer's command line, one argument a line.
#[test]
#[ignore = "goes on for as long as one likes"]
fn guided() {
    let target = env::var("VTWASM_FUZZ_TARGET").expect("cargo xtask fuzz sets it");
    let command_line = env::var("VTWASM_FUZZ_ARGUMENTS").expect("cargo xtask fuzz sets it");
    let arguments = command_line.lines().map(|line| CString::new(line).unwrap());
    let mut arguments: Vec<*mut c_char> = arguments.map(CString::into_raw).collect();
    // One that somebody catches is a failure all the same.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        std::process::abort();
    }));
    let mut count = arguments.len() as c_int;
    arguments.push(ptr::null_mut());
    let mut arguments = arguments.as_mut_ptr();
    // SAFETY: a command line as C has it, which is never freed.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut arguments, callback(&target)) };
    std::process::exit(code);
}
