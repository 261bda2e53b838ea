//! Ctrl-C is KeyboardInterrupt, a second one ends the run, SIGTERM and SIGHUP end it.

use crate::session::Session;

#[test]
fn ctrl_c_is_keyboard_interrupt() {
    for wait in [
        "while True: pass",
        "time.sleep(1000)",
        "sys.stdin.read()",
        "lock.acquire()",
        "t.join()",
    ] {
        let code = format!(
            "
import sys, threading, time
lock = threading.Lock(); lock.acquire()
t = threading.Thread(target=time.sleep, args=(1000,), daemon=True); t.start()
print('ready')
try:
    {wait}
except KeyboardInterrupt:
    print('interrupted')
    sys.exit(5)
"
        );
        let session = Session::start(&[], &code);
        session.expect("ready");
        session.signal("INT");
        session.expect("interrupted");
        assert_eq!(session.end().0, 5, "{wait}");
    }
}

#[test]
fn ctrl_c_that_nobody_catches_ends_with_130_and_a_traceback() {
    let session = Session::start(&[], "import time\nprint('ready')\ntime.sleep(1000)");
    session.expect("ready");
    session.signal("INT");
    let (code, stderr) = session.end();
    assert_eq!(code, 130);
    assert!(stderr.trim_end().ends_with("KeyboardInterrupt"), "{stderr}");
}

#[test]
fn a_second_ctrl_c_ends_the_run() {
    let code = "
import time
def stubborn():
    while True:
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            print('no', flush=True)
print('ready')
stubborn()
";
    let session = Session::start(&[], code);
    session.expect("ready");
    session.signal("INT");
    session.expect("no");
    session.signal("INT");
    assert_eq!(session.end().0, 130);
}

#[test]
fn a_second_ctrl_c_ends_code_that_never_looks() {
    let session = Session::start(&[], "print('ready')\nsum(range(10**12))");
    session.expect("ready");
    session.signal("INT");
    session.signal("INT");
    // Two signals that arrive at once may be one: the kernel does not count.
    session.signal("TERM");
    assert!([130, 143].contains(&session.end().0));
}

#[test]
fn sigterm_and_sighup_end_the_run_at_once() {
    let code = "
import threading, time
for _ in range(100):
    threading.Thread(target=time.sleep, args=(1000,)).start()
print('ready')
try:
    while True: pass
finally:
    print('never printed')
";
    for (signal, expected) in [("TERM", 143), ("HUP", 129)] {
        let session = Session::start(&[], code);
        session.expect("ready");
        session.signal(signal);
        assert!(session.is_silent());
        assert_eq!(session.end().0, expected);
    }
}
