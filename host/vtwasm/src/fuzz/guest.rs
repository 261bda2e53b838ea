//! A guest in CPython's place that does what a tape tells it: it calls any import of `wit/world.wit` with
//! any arguments, on any number of fibers.
//!
//! # The tape
//! The first [`TAPE`] bytes of stdin; what follows is input like any other. A call is a byte that says which
//! ([`DEEDS`], then [`CALLS`], modulo 64) and its arguments. A fiber goes on to the tape's end; one that is
//! spawned begins where its argument says. What a call returns is kept in registers, for the arguments of
//! later ones. How arguments are written stands at `$u32`, `$u64` and the others in [`CORE`].

use std::fmt::Write;

const TAPE: usize = 1024;
/// What the memory begins with: zeros, which the guest makes sure of.
pub(super) const MEMORY: usize = 4 << 16;
/// The exit code by which it says that something of an earlier run was there; a tape has smaller ones.
pub(super) const NOT_NEW: u32 = 0x10000;

/// An import: its interface, its name, the kinds of its parameters, and its result.
///
/// The kinds are those of [`parameter`]. Results: nothing, a type, or a type with `!` in front, which is a
/// `result` with an errno.
type Import = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CALLS: [Import; 49] = [
    ("fibers", "control", "C", ""),
    ("fibers", "spawn", "i", "u32"),
    ("fibers", "park", "ril", "$wake"),
    ("fibers", "unpark", "i", ""),
    ("fibers", "finish", "", ""),
    ("fibers", "exit", "e", ""),
    ("clocks", "now", "c", "u64"),
    ("clocks", "cpu-time", "", "u64"),
    ("stdio", "read", "i", "!(list u8)"),
    ("stdio", "write", "iL", "!u32"),
    ("stdio", "subscribe", "in", "bool"),
    ("stdio", "is-terminal", "i", "bool"),
    ("snapshot", "wanted", "", "bool"),
    ("snapshot", "take", "L", ""),
    ("sockets", "open", "fk", "!u32"),
    ("sockets", "bind", "iA", "!"),
    ("sockets", "listen", "ii", "!"),
    ("sockets", "accept", "i", "!(tuple u32 $address)"),
    ("sockets", "connect", "iA", "!"),
    ("sockets", "disconnect", "i", "!"),
    ("sockets", "shutdown", "id", "!"),
    ("sockets", "local-address", "i", "!$address"),
    ("sockets", "remote-address", "i", "!$address"),
    ("sockets", "get-option", "io", "!s64"),
    ("sockets", "set-option", "iol", "!"),
    ("sockets", "available", "i", "!u32"),
    ("sockets", "receive", "iiM", "!(tuple (list u8) u32)"),
    ("sockets", "receive-from", "iiM", "!(tuple (list u8) u32 $address)"),
    ("sockets", "send", "iLM", "!u32"),
    ("sockets", "send-to", "iLMA", "!u32"),
    ("sockets", "close", "i", "!"),
    ("sockets", "look-up", "S", "!u32"),
    ("sockets", "addresses", "i", "!(list $address)"),
    ("sockets", "look-up-address", "N", "!u32"),
    ("sockets", "name", "i", "!string"),
    ("sockets", "ready", "i", "$readiness"),
    ("sockets", "subscribe", "iR", "bool"),
    ("sockets", "poller", "", "!u32"),
    ("sockets", "watch", "iiRb", "!"),
    ("sockets", "events", "ii", "(list (tuple u32 $readiness))"),
    ("sockets", "refusal", "", "string"),
    ("calls", "functions", "", "string"),
    ("calls", "start", "iL", "!u32"),
    ("calls", "answered", "i", "!u32"),
    ("calls", "take", "i", "!(list u8)"),
    ("calls", "cancel", "i", ""),
    // Twice, since most calls do nothing without it.
    ("fibers", "park", "ril", "$wake"),
    // New ones come last, so that the inputs in tests/fuzz still do what they did.
    ("limits", "descriptors", "", "u32"),
    ("fibers", "tick", "", "u32"),
];

const REASONS: &str =
    r#"(enum "yield" "preempt" "sleep" "mutex" "condition" "semaphore" "rwlock" "join" "io" "exit")"#;
const WAKES: &str = r#"(enum "ready" "timed-out" "interrupted" "deadlocked")"#;
const OPTIONS: &str = r#"(enum "error" "reuse-address" "reuse-port" "broadcast" "keep-alive" "keep-idle"
    "keep-interval" "keep-count" "no-delay" "cork" "quick-ack" "user-timeout" "defer-accept" "max-segment"
    "linger" "receive-buffer" "send-buffer" "receive-low" "v6-only" "type-of-service" "time-to-live"
    "hop-limit" "multicast-loop" "multicast-time-to-live" "out-of-band-inline")"#;
const READINESS: &str = r#"(flags "readable" "writable" "error" "hangup" "read-hangup" "urgent")"#;
const ADDRESS: &str = r#"(record (field "family" $family) (field "port" u16) (field "high" u64)
    (field "low" u64) (field "scope" u32))"#;

/// The interfaces with their types.
#[rustfmt::skip]
const INTERFACES: [(&str, &[(&str, &str)]); 7] = [
    ("fibers", &[("reason", REASONS), ("wake", WAKES)]),
    ("clocks", &[("clock", r#"(enum "realtime" "monotonic")"#)]),
    ("stdio", &[("interest", r#"(enum "read" "write")"#)]),
    ("limits", &[]),
    ("snapshot", &[]),
    ("sockets", &[
        ("family", r#"(enum "inet" "inet6")"#),
        ("kind", r#"(enum "stream" "datagram")"#),
        ("direction", r#"(enum "read" "write" "both")"#),
        ("socket-option", OPTIONS),
        ("readiness", READINESS),
        ("message", r#"(flags "peek" "out-of-band" "truncate")"#),
        ("address", ADDRESS),
    ]),
    ("calls", &[]),
];

/// A kind of parameter: its types, those of its values in the core module, and how the tape gives them.
fn parameter(kind: char) -> (&'static [&'static str], &'static str, &'static str) {
    match kind {
        'i' => (&["u32"], "i32", "(call $u32)"),
        // An exit code that is not NOT_NEW.
        'e' => (&["u32"], "i32", "(i32.and (call $u32) (i32.const 0xffff))"),
        'l' => (&["s64"], "i64", "(call $u64)"),
        'b' => (&["bool"], "i32", "(call $byte)"),
        'r' => (&["$reason"], "i32", "(call $enum (i32.const 10))"),
        'c' => (&["$clock"], "i32", "(call $enum (i32.const 2))"),
        'n' => (&["$interest"], "i32", "(call $enum (i32.const 2))"),
        'f' => (&["$family"], "i32", "(call $enum (i32.const 2))"),
        'k' => (&["$kind"], "i32", "(call $enum (i32.const 2))"),
        'd' => (&["$direction"], "i32", "(call $enum (i32.const 3))"),
        'o' => (&["$socket-option"], "i32", "(call $enum (i32.const 25))"),
        'R' => (&["$readiness"], "i32", "(call $byte)"),
        'M' => (&["$message"], "i32", "(call $byte)"),
        'A' => (&["$address"], "i32 i32 i64 i64 i32", "(call $address)"),
        // One whose name is no question to a name server.
        'N' => (&["$address"], "i32 i32 i64 i64 i32", "(call $local)"),
        'L' => (&["(list u8)"], "i32 i32", "(call $pointer) (call $u32)"),
        'S' => (&["string"], "i32 i32", "(call $text)"),
        'C' => (&["u32", "(list u8)"], "i32 i32 i32", "(call $block)"),
        _ => unreachable!("{kind} is no kind"),
    }
}

/// The type in the core module, and whether it goes through memory.
fn core_result(result: &str) -> (&str, bool) {
    match result {
        "" => ("", false),
        "u64" => ("(result i64)", false),
        "u32" | "bool" | "$wake" | "$readiness" => ("(result i32)", false),
        _ => ("", true),
    }
}

fn component_type((_, name, parameters, result): &Import) -> String {
    let mut text = format!("(export \"{name}\" (func");
    if *name == "park" {
        text += " async";
    }
    let types = parameters.chars().flat_map(|kind| parameter(kind).0);
    for (number, ty) in types.enumerate() {
        write!(text, " (param \"p{number}\" {ty})").unwrap();
    }
    match result.strip_prefix('!') {
        Some("") => text += " (result (result (error u16)))",
        Some(ok) => write!(text, " (result (result {ok} (error u16)))").unwrap(),
        None if result.is_empty() => {}
        None => write!(text, " (result {result})").unwrap(),
    }
    text + "))\n"
}

/// What a tape can do beside calls.
const DEEDS: [&str; 4] = ["$land", "$spoil", "$burn", "$grow"];

/// Makes a call as the tape says, and keeps what came back.
fn core_call(number: usize, (_, name, parameters, result): &Import) -> String {
    let mut text = format!("(func $call{number} (local $at i32)\n");
    for kind in parameters.chars() {
        text += parameter(kind).2;
    }
    let (_, through_memory) = core_result(result);
    if through_memory {
        text += " (i32.const 0x600)";
    }
    // Other fibers run meanwhile.
    text += "\n(local.set $at (global.get $pc))";
    write!(text, " (call $import{number})").unwrap();
    text += match (*result, core_result(result).0) {
        (_, "(result i64)") => " i32.wrap_i64 (call $keep)",
        (_, "(result i32)") => " (call $keep)",
        (result, _) if result.contains("$address") || result.contains("s64") => " (call $keep_wide)",
        (result, _) if result.starts_with('!') => " (call $keep_narrow)",
        _ => "",
    };
    if *name == "park" {
        text += " (global.set $pc (local.get $at))";
    }
    text + ")\n"
}

/// The component, as text.
pub(super) fn component() -> String {
    let mut text = String::from("(component\n");
    for (interface, types) in INTERFACES {
        writeln!(
            text,
            "(import \"vtwasm:host/{interface}@0.1.0\" (instance ${interface}"
        )
        .unwrap();
        for (name, definition) in types {
            writeln!(text, "(type $its-{name} {definition})").unwrap();
            writeln!(text, "(export \"{name}\" (type ${name} (eq $its-{name})))").unwrap();
        }
        let mut calls: Vec<_> = CALLS.iter().filter(|call| call.0 == interface).collect();
        calls.dedup_by_key(|call| call.1);
        calls.sort();
        calls.dedup();
        text.extend(calls.into_iter().map(component_type));
        text += "))\n";
    }
    text += MEMORY_MODULE;
    for (number, (interface, name, ..)) in CALLS.iter().enumerate() {
        writeln!(
            text,
            "(core func $lower{number} (canon lower (func ${interface} \"{name}\") \
             (memory $memory \"memory\") (realloc (func $memory \"realloc\"))))"
        )
        .unwrap();
    }
    text += "(core module $main\n(import \"\" \"memory\" (memory 1))\n";
    text += "(import \"\" \"landing\" (global $landing (mut i32)))\n";
    text += "(import \"\" \"return\" (func $return (param i32)))\n";
    text += "(import \"\" \"return-thread\" (func $return-thread))\n";
    for (number, (_, _, parameters, result)) in CALLS.iter().enumerate() {
        write!(text, "(import \"\" \"{number}\" (func $import{number}").unwrap();
        for kind in parameters.chars() {
            write!(text, " (param {})", parameter(kind).1).unwrap();
        }
        let (direct, through_memory) = core_result(result);
        writeln!(
            text,
            "{} {direct}))",
            if through_memory { " (param i32)" } else { "" }
        )
        .unwrap();
    }
    let number = |name: &str| CALLS.iter().position(|call| call.1 == name).expect("it is there");
    for name in ["read", "now", "exit", "finish"] {
        writeln!(
            text,
            "(func ${name} {})",
            match name {
                "read" => format!(
                    "(param i32) (call $import{} (local.get 0) (i32.const 0x600))",
                    number(name)
                ),
                "now" => format!("(result i64) (call $import{} (i32.const 1))", number(name)),
                "exit" => format!("(param i32) (call $import{} (local.get 0))", number(name)),
                _ => format!("(call $import{})", number(name)),
            }
        )
        .unwrap();
    }
    text += &CORE
        .replace("$NOT_NEW", &NOT_NEW.to_string())
        .replace("$MEMORY", &MEMORY.to_string());
    text = text.replace("$TAPE", &TAPE.to_string());
    text.extend(
        CALLS
            .iter()
            .enumerate()
            .map(|(number, call)| core_call(number, call)),
    );
    let all = CALLS.len() + DEEDS.len();
    writeln!(
        text,
        "(table {all} funcref) (elem (i32.const 0) {}",
        DEEDS.join(" ")
    )
    .unwrap();
    (0..CALLS.len()).for_each(|number| write!(text, " $call{number}").unwrap());
    text += ")\n";
    writeln!(
        text,
        "(func $next (local $which i32) (local.set $which (i32.and (call $byte) (i32.const 63)))
           (if (i32.lt_u (local.get $which) (i32.const {all}))
             (then (call_indirect (local.get $which)))))\n)"
    )
    .unwrap();
    text += "(core func $return (canon task.return (result u32)))\n";
    text += "(core func $return-thread (canon task.return))\n";
    text += "(core instance $main (instantiate $main (with \"\" (instance\n";
    text +=
        "(export \"memory\" (memory $memory \"memory\")) (export \"landing\" (global $memory \"landing\"))\n";
    text += "(export \"return\" (func $return)) (export \"return-thread\" (func $return-thread))\n";
    (0..CALLS.len()).for_each(|n| writeln!(text, "(export \"{n}\" (func $lower{n}))").unwrap());
    text += ")))) ";
    text + EXPORTS
}

/// The memory is apart, since the calls are made with it before the guest is.
const MEMORY_MODULE: &str = r#"
(core module $memory
  (memory (export "memory") 4 65536)
  (global $landing (export "landing") (mut i32) (i32.const 0x10000))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (global.get $landing)))
(core instance $memory (instantiate $memory))
"#;

/// Addresses: registers at 0x100, the control block at 0x400, results at 0x600, a name at 0x700, lists land
/// at 0x1000, the tape is at 0x10000.
const CORE: &str = r#"
(global $pc (mut i32) (i32.const 0))
(global $end (mut i32) (i32.const 0))
(global $steps (mut i32) (i32.const 0))
(global $kept (mut i32) (i32.const 0))
(global $burnt (mut i32) (i32.const 0))

(func $byte (result i32)
  (if (i32.ge_u (global.get $pc) (global.get $end)) (then (return (i32.const 0))))
  (i32.load8_u offset=0x10000 (global.get $pc))
  (global.set $pc (i32.add (global.get $pc) (i32.const 1))))
(func $register (param i32) (result i32)
  (i32.load offset=0x100 (i32.shl (i32.and (local.get 0) (i32.const 31)) (i32.const 2))))
(func $literal (result i32)
  (i32.or
    (i32.or (call $byte) (i32.shl (call $byte) (i32.const 8)))
    (i32.or (i32.shl (call $byte) (i32.const 16)) (i32.shl (call $byte) (i32.const 24)))))
;; A small number, a register, a power of two, a number near 2^32, or four bytes.
(func $u32 (result i32) (local $b i32)
  (local.set $b (call $byte))
  (if (i32.lt_u (local.get $b) (i32.const 0x80)) (then (return (local.get $b))))
  (if (i32.lt_u (local.get $b) (i32.const 0xc0)) (then (return (call $register (local.get $b)))))
  (if (i32.lt_u (local.get $b) (i32.const 0xe0)) (then (return (i32.shl (i32.const 1) (local.get $b)))))
  (if (i32.lt_u (local.get $b) (i32.const 0xf0)) (then (return (i32.or (local.get $b) (i32.const -16)))))
  (call $literal))
;; The same, but for a time soon in place of the power.
(func $u64 (result i64) (local $b i32)
  (local.set $b (call $byte))
  (if (i32.lt_u (local.get $b) (i32.const 0x80)) (then (return (i64.extend_i32_u (local.get $b)))))
  (if (i32.lt_u (local.get $b) (i32.const 0xc0))
    (then (return (i64.extend_i32_u (call $register (local.get $b))))))
  (if (i32.lt_u (local.get $b) (i32.const 0xe0)) (then (return
    (i64.add (call $now) (i64.extend_i32_u (i32.shl (i32.and (local.get $b) (i32.const 31)) (i32.const 13)))))))
  (if (i32.lt_u (local.get $b) (i32.const 0xf0))
    (then (return (i64.extend_i32_s (i32.or (local.get $b) (i32.const -16))))))
  (i64.or (i64.extend_i32_u (call $literal)) (i64.shl (i64.extend_i32_u (call $literal)) (i64.const 32))))
(func $enum (param $count i32) (result i32) (local $b i32)
  (local.set $b (call $byte))
  (if (i32.eq (local.get $b) (i32.const 0xff)) (then (return (call $u32))))
  (i32.rem_u (local.get $b) (local.get $count)))
;; Where lists land, in the tape, or anywhere.
(func $pointer (result i32) (local $b i32)
  (local.set $b (call $byte))
  (if (i32.lt_u (local.get $b) (i32.const 0x80))
    (then (return (i32.add (i32.const 0x1000) (i32.shl (local.get $b) (i32.const 4))))))
  (if (i32.lt_u (local.get $b) (i32.const 0xc0))
    (then (return (i32.add (i32.const 0x10000) (i32.shl (local.get $b) (i32.const 2))))))
  (call $u32))
(func $text (result i32 i32)
  (if (i32.lt_u (call $byte) (i32.const 0x80)) (then (return (i32.const 0x700) (i32.const 9))))
  (call $pointer) (call $u32))
;; Most of 127.77.0.0/16, where nobody else listens.
(func $low (result i64) (local $b i32)
  (local.set $b (i32.and (call $byte) (i32.const 7)))
  (if (i32.lt_u (local.get $b) (i32.const 2)) (then (return (i64.const 0x7f4d0001))))
  (if (i32.eq (local.get $b) (i32.const 2)) (then (return (i64.const 0xffff7f4d0001))))
  (if (i32.eq (local.get $b) (i32.const 3)) (then (return (i64.const 0x7f4d0002))))
  (if (i32.eq (local.get $b) (i32.const 4)) (then (return (i64.const 0))))
  (if (i32.eq (local.get $b) (i32.const 5)) (then (return (i64.const 1))))
  (if (i32.eq (local.get $b) (i32.const 6)) (then (return (i64.const 0x0a000001))))
  (call $u64))
(func $address (result i32 i32 i64 i64 i32) (local $b i32)
  (local.set $b (call $byte))
  (i32.and (local.get $b) (i32.const 1))
  (call $u32)
  (if (result i64) (i32.lt_u (local.get $b) (i32.const 0xe0)) (then (i64.const 0)) (else (call $u64)))
  (call $low)
  (if (result i32) (i32.lt_u (local.get $b) (i32.const 0xf0)) (then (i32.const 0)) (else (call $u32))))
(func $local (result i32 i32 i64 i64 i32)
  (if (i32.and (call $byte) (i32.const 1))
    (then (return (i32.const 1) (i32.const 0) (i64.const 0) (i64.const 1) (i32.const 0))))
  (i32.const 0) (i32.const 0) (i64.const 0)
  (if (result i64) (i32.and (call $byte) (i32.const 1)) (then (i64.const 0x7f000001)) (else (i64.const 0x0a000001)))
  (i32.const 0))
;; A control block as it should be, or as `$spoil` made it, where it is, or anything.
(func $block (result i32 i32 i32) (local $b i32)
  (local.set $b (call $byte))
  (if (i32.lt_u (local.get $b) (i32.const 0x80)) (then
    (i32.store (i32.const 0x400) (i32.const 4))
    (i32.store (i32.const 0x404) (i32.const 0x480))
    (i32.store (i32.const 0x408) (i32.const 12))
    (i32.store (i32.const 0x40c) (i32.const 1))
    (i32.store (i32.const 0x410) (i32.const 50))
    (i32.store (i32.const 0x418) (i32.const 0x4c0))
    (i32.store (i32.const 0x480) (i32.const 0x490))))
  (if (i32.lt_u (local.get $b) (i32.const 0xc0))
    (then (return (i32.const 0x400) (i32.const 0x400) (i32.const 32))))
  (call $u32) (call $pointer) (i32.const 32))

(func $keep (param i32)
  (i32.store offset=0x100 (i32.shl (i32.and (global.get $kept) (i32.const 31)) (i32.const 2)) (local.get 0))
  (global.set $kept (i32.add (global.get $kept) (i32.const 1))))
;; A result's value.
(func $keep_narrow
  (if (i32.eqz (i32.load8_u (i32.const 0x600))) (then (call $keep (i32.load (i32.const 0x604))))))
;; That of one with 64-bit fields, and what may be a port in it.
(func $keep_wide
  (if (i32.eqz (i32.load8_u (i32.const 0x600))) (then
    (call $keep (i32.load (i32.const 0x608)))
    (call $keep (i32.load16_u (i32.const 0x60a))))))

;; Where the next lists land.
(func $land (global.set $landing (call $pointer)))
;; Writes to a word of the control block or of what it names.
(func $spoil
  (i32.store offset=0x400
    (i32.shl (i32.and (call $byte) (i32.const 63)) (i32.const 2))
    (call $u32)))
;; Computes for more than a tick, once.
(func $burn (local $until i64)
  (if (global.get $burnt) (then (return)))
  (global.set $burnt (i32.const 1))
  (local.set $until (i64.add (call $now) (i64.const 1500000)))
  (loop $more (br_if $more (i64.lt_u (call $now) (local.get $until)))))
(func $grow (local $from i32)
  (local.set $from (memory.grow (i32.and (call $byte) (i32.const 15))))
  (if (i32.ne (local.get $from) (i32.const -1))
    (then (call $is_new (i32.shl (local.get $from) (i32.const 16)) (i32.shl (memory.size) (i32.const 16))))))

(func $is_new (param $at i32) (param $end i32)
  (block $done (loop $more
    (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (call $exit (i32.const $NOT_NEW))))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br $more))))
(func $follow
  (block $done (loop $more
    (br_if $done (i32.ge_u (global.get $pc) (global.get $end)))
    (global.set $steps (i32.add (global.get $steps) (i32.const 1)))
    (br_if $done (i32.gt_u (global.get $steps) (i32.const 300)))
    (call $next)
    (br $more))))
(func (export "run")
  (call $is_new (i32.const 0) (i32.const $MEMORY))
  (i64.store (i32.const 0x700) (i64.const 0x736f686c61636f6c)) ;; localhos
  (i64.store (i32.const 0x708) (i64.const 0x74))               ;; t
  (call $read (i32.const $TAPE))
  (global.set $end (i32.load (i32.const 0x608)))
  (global.set $landing (i32.const 0x1000))
  (call $follow)
  (call $return (i32.const 0)))
(func (export "run-thread") (param i32)
  (global.set $pc (i32.and (local.get 0) (i32.const 1023)))
  (call $follow)
  (call $finish)
  (call $return-thread))
"#;

const EXPORTS: &str = r#"
(func (export "run") async (result u32) (canon lift (core func $main "run") async))
(func (export "run-thread") async (param "thread" u32) (canon lift (core func $main "run-thread") async)))
"#;

#[test]
fn every_import_of_the_contract_is_called() {
    let contract = include_str!("../../../../wit/world.wit");
    let mut interface = "";
    let mut missing = Vec::new();
    for line in contract.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("interface ") {
            interface = name.trim_end_matches(" {");
        } else if let Some((name, ty)) = line.split_once(": ")
            && (ty.starts_with("func(") || ty.starts_with("async func("))
        {
            let name = name.trim_start_matches('%');
            if !name.starts_with("export ") && !CALLS.iter().any(|call| (call.0, call.1) == (interface, name))
            {
                missing.push(format!("{interface}.{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "add these to CALLS: {missing:?}");
}
