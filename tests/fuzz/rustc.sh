#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER of `cargo xtask fuzz`: counts what runs, of the crate that is fuzzed only, so that
# its dependencies are those of every other build.
case " $* " in
*" --crate-name vtwasm "*" --test "*)
    exec "$@" --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
        -Clink-arg="$VTWASM_FUZZ_LIBRARY" -Clink-arg=-l:libstdc++.so.6
    ;;
esac
exec "$@"
