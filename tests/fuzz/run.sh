#!/bin/sh
# libFuzzer's program, as it starts itself with arguments of its own: one a line, since the test program
# takes others.
VTWASM_FUZZ_ARGUMENTS=$(printf '%s\n' "$0" "$@")
export VTWASM_FUZZ_ARGUMENTS
exec "$VTWASM_FUZZ_PROGRAM" --exact fuzz::coverage::guided --ignored --nocapture --quiet
