//! From one run to the next, and from the host to a run.

use super::common::program;
use super::printed;

/// What it changes, in all that a program can reach by itself.
const TENANT: &str = "
import builtins, gc, json, os, sys, threading, socket
builtins.secret = json.secret = sys.secret = threading.secret = 'SECRET'
json.loads = lambda text: 'SECRET'
sys.modules['secret'] = json
sys.path.insert(0, '/SECRET')
os.environ['SECRET'] = 'SECRET'
sys.argv.append('SECRET')
open = builtins.print = lambda *a, **k: 'SECRET'
kept = [('SECRET' + str(n)).encode() * 100 for n in range(5000)]
bytearray(b'SECRET' * 100_000)
threading.Thread(target=lambda: kept.append('SECRET')).start()
sys.setrecursionlimit(50_000)
gc.disable()
sys.setswitchinterval(10)
";

const NEXT: &str = "
import builtins, gc, json, os, sys, threading
found = [m for m in (builtins, json, sys, threading) if hasattr(m, 'secret')]
state = (found, json.loads('[1]'), 'secret' in sys.modules, '/SECRET' in sys.path, sorted(os.environ), sys.argv,
         gc.isenabled(), sys.getrecursionlimit(), sys.getswitchinterval(), threading.active_count())
print(state)
# Memory that nobody has written to, as far as Python shows any.
print(any(bytearray(n) != bytes(n) for n in (10, 1000, 100_000, 10_000_000)))
print(sum(1 for o in gc.get_objects() if isinstance(o, (str, bytes)) and 'SECRET' in repr(o)))
";

#[tokio::test]
async fn what_a_run_left_in_its_interpreter_or_its_memory() {
    let before = printed(&mut program(NEXT)).await;
    assert!(
        before.starts_with("([], [1], False, False, [], ['-c'], True,"),
        "{before}"
    );
    assert!(before.ends_with("\nFalse\n0\n"), "{before}");
    for _ in 0..12 {
        printed(&mut program(TENANT)).await;
        assert_eq!(printed(&mut program(NEXT)).await, before);
    }
}

#[tokio::test]
async fn variables_arguments_and_input_of_the_host() {
    assert!(std::env::vars_os().count() > 1, "there is something to see");
    let code = "
import os, sys
print(dict(os.environ), sys.argv, sys.stdin.read().encode(), os.getcwd(), sys.flags.isolated, sys.orig_argv)
";
    let seen = printed(&mut program(code)).await;
    assert!(seen.starts_with("{} ['-c'] b'' / "), "{seen}");
    let home = std::env::var("HOME").unwrap_or_default();
    assert!(home.len() < 2 || !seen.contains(&home), "{seen}");
}
