//! Host functions, as an embedder and a program meet them.

mod common;

use common::{program, run, text};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vtwasm::{Arguments, Builder, Error, HostError, Limits, Outcome, Value};

/// A program with `host.echo`, which answers with its arguments.
fn with_echo(code: &str) -> Builder {
    let mut builder = program(code);
    builder
        .host_function("host", "echo", |arguments: Arguments| async move {
            let named = arguments.named.into_iter();
            let named = named.map(|(name, value)| (name.into(), value)).collect();
            Ok(Value::Tuple(vec![
                Value::List(arguments.positional),
                Value::Dict(named),
            ]))
        })
        .unwrap();
    builder
}

#[tokio::test]
async fn values_go_to_the_host_and_come_back_as_they_were() {
    let code = "import host, math
values = [None, True, False, 0, -1, 2**31, -2**31, 2**63, -2**127, 2**127 - 1, 1.5, math.inf, '', 'ü𝄞', b'', b'\\xff',
          (), (1, (2,)), [], [[1], 'x'], {}, {'a': {1: [None]}, (1, 2): b''}]
back, named = host.echo(*values, name=values, other=None)
print(back == values, list(map(type, back)) == list(map(type, values)), named == {'name': values, 'other': None})
print(host.echo, host.echo.__module__)";
    let report = run(&mut with_echo(code)).await;
    let expected = "True True True\n<built-in function echo> host\n";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
}

#[tokio::test]
async fn what_has_no_conversion_is_a_type_error_either_way() {
    let code = "import host
class Int(int): pass
deep = []
for _ in range(500): deep = [deep]
for value in [object(), Int(1), {1}, 1j, ..., len, 2**127, -2**200, '\\ud800', deep]:
    try: print(host.echo(value))
    except TypeError as error: print(error)
try: host.list_as_key()
except TypeError as error: print(error)
try: host.other()
except TypeError as error: print(error)
print(host.echo(1))";
    let mut builder = with_echo(code);
    builder
        .host_function("host", "list_as_key", |_| async {
            Ok(Value::Dict(vec![(Value::List(vec![]), Value::None)]))
        })
        .unwrap()
        .host_function("host", "other", |_| async { Ok(Value::Other("<x>".into())) })
        .unwrap();
    let report = run(&mut builder).await;
    let expected = "an argument has no conversion: None, bool, int, float, str, bytes, and tuples, lists and dicts of them have one
an argument has no conversion: None, bool, int, float, str, bytes, and tuples, lists and dicts of them have one
cannot send the arguments: a set has no conversion
cannot send the arguments: a complex number has no conversion
cannot send the arguments: Ellipsis has no conversion
an argument has no conversion: None, bool, int, float, str, bytes, and tuples, lists and dicts of them have one
cannot send the arguments: an int of more than 128 bits
cannot send the arguments: an int of more than 128 bits
cannot send the arguments: a str with lone surrogates
cannot send the arguments: nested more than 200 deep
unhashable type: 'list'
cannot send the answer: <x> has no conversion
([1], {})
";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
}

#[tokio::test]
async fn an_error_of_the_host_is_an_exception_of_python() {
    let code = "import host
for name in ['KeyError', 'PermissionError', 'StopIteration', 'nonsense', 'len', 'io', 'panic']:
    try: host.fail(name)
    except Exception as error: print(repr(error))
print(host.greet('you'), host.greet(name='her'))
for arguments in [(), (1,)]:
    try: host.greet(*arguments)
    except TypeError as error: print(error)";
    let mut builder = program(code);
    builder
        .host_function("host", "fail", |mut arguments: Arguments| async move {
            let name: String = arguments.required(0, "name")?;
            match name.as_str() {
                "io" => Err(std::io::Error::other("disk on fire"))?,
                "panic" => panic!("a test's panic"),
                _ => Err::<(), _>(HostError::new(name, "no")),
            }
        })
        .unwrap()
        .host_function("host", "greet", |mut arguments: Arguments| async move {
            let name: String = arguments.required(0, "name")?;
            Ok(format!("hello {name}"))
        })
        .unwrap();
    let report = run(&mut builder).await;
    let expected = "KeyError('no')
PermissionError('no')
StopIteration('no')
RuntimeError('no')
RuntimeError('no')
RuntimeError('disk on fire')
RuntimeError('the host function panicked')
hello you hello her
missing argument: \"name\"
argument \"name\": str expected, not int
";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
}

#[tokio::test]
async fn a_call_parks_only_its_thread() {
    let code = "import host, threading
threads = [threading.Thread(target=host.sleep) for _ in range(1000)]
for t in threads: t.start()
for t in threads: t.join()
print(host.sleep())";
    let mut builder = program(code);
    builder
        .host_function("host", "sleep", |_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok("slept")
        })
        .unwrap();
    let begun = Instant::now();
    let report = run(&mut builder).await;
    assert_eq!(text(&report.stdout), "slept\n", "{}", text(&report.stderr));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A program with `host.never`; the numbers of its calls that go on, and of all that began.
fn with_never(code: &str) -> (Builder, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    struct Going(Arc<AtomicUsize>);
    impl Drop for Going {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let (going, started) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (counter, all) = (going.clone(), started.clone());
    let mut builder = program(code);
    builder
        .host_function("host", "never", move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            all.fetch_add(1, Ordering::Relaxed);
            let going = Going(counter.clone());
            async move {
                let _going = going;
                std::future::pending::<Result<(), HostError>>().await
            }
        })
        .unwrap();
    (builder, going, started)
}

async fn becomes(counter: &AtomicUsize, number: usize) {
    let waited = async {
        while counter.load(Ordering::Relaxed) != number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waited).await;
    assert!(
        waited.is_ok(),
        "{} instead of {number}",
        counter.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn a_function_that_never_returns_ends_with_the_run() {
    let code = "import host, threading
for _ in range(9): threading.Thread(target=host.never).start()
host.never()";
    let (mut builder, going, _) = with_never(code);
    let sandbox = builder.build().unwrap();
    let handle = sandbox.handle();
    let running = tokio::spawn(sandbox.run());
    becomes(&going, 10).await;
    handle.kill();
    assert_eq!(running.await.unwrap().unwrap().outcome, Outcome::Killed);
    becomes(&going, 0).await;

    let (mut builder, going, _) = with_never(code);
    let running = tokio::spawn(builder.build().unwrap().run());
    becomes(&going, 10).await;
    running.abort();
    becomes(&going, 0).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_call_of_the_main_thread() {
    let code = "import host
try: host.never()
except KeyboardInterrupt: print('interrupted', flush=True)
host.never()";
    let (mut builder, going, started) = with_never(code);
    let sandbox = builder.build().unwrap();
    let handle = sandbox.handle();
    let running = tokio::spawn(sandbox.run());
    becomes(&going, 1).await;
    handle.interrupt();
    becomes(&started, 2).await;
    becomes(&going, 1).await;
    handle.interrupt();
    let report = running.await.unwrap().unwrap();
    assert_eq!(text(&report.stdout), "interrupted\n");
    assert_eq!(report.outcome, Outcome::Exited(130));
    becomes(&going, 0).await;
}

#[tokio::test]
async fn what_crosses_counts_for_the_limit_of_memory() {
    let code = "import host
for value in [[None] * 2_000_000, b'x' * 30_000_000]:
    try: host.echo(value)
    except MemoryError as error: print(repr(error))
    del value
print(len(host.large(10)))
try: host.large(1_000_000_000)
except MemoryError as error: print(repr(error))
print(host.echo(1))";
    let mut builder = with_echo(code);
    let mut limits = Limits::default();
    limits.memory = 64 << 20;
    builder
        .limits(limits)
        .host_function("host", "large", |mut arguments: Arguments| async move {
            let size: u32 = arguments.required(0, "size")?;
            Ok(vec![0_u8; size as usize])
        })
        .unwrap();
    let report = run(&mut builder).await;
    let expected = "MemoryError('cannot send the arguments: more than the limit of memory allows')
MemoryError()
10
MemoryError('the answer is larger than the limit allows')
([1], {})
";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
}

#[tokio::test]
async fn a_name_that_python_cannot_write_is_refused() {
    let mut builder = program("");
    for (module, name) in [
        ("a.b", "c"),
        ("", "c"),
        ("a", ""),
        ("a", "1"),
        ("a\nb", "c"),
        ("ä", "c"),
    ] {
        let error = builder.host_function(module, name, |_| async { Ok(()) }).err();
        assert!(matches!(error, Some(Error::HostFunction(_))), "{module} {name}");
    }
}
