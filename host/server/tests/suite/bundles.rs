//! Zips of Python code. They are made by jobs, since nothing on the host reads or writes any.

use crate::on_both;
use crate::place::{Place, Working, code, over, text};
use serde_json::json;
use vtwasm_server::{Job, Quotas, State, Store, Submission};

/// A zip that Python makes: code that writes into `zip`.
async fn zip(store: &Store, make: &str) -> String {
    let source = format!(
        "import hashlib, zipfile\nwith zipfile.ZipFile('/output/x', 'w', zipfile.ZIP_DEFLATED) as zip:\n{}\n\
         def main(): return hashlib.sha256(open('/output/x', 'rb').read()).hexdigest()",
        make.lines()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    );
    let id = store.submit("a", None, &code(&source)).await.unwrap().job.id;
    let job = over(store, "a", &id).await;
    assert_eq!(job.state, State::Success, "{}", text(store, "a", &id).await);
    let result = store.result("a", &id).await.unwrap().unwrap();
    serde_json::from_str(&result).unwrap()
}

fn of(bundle: &str, entry: Option<&str>) -> Submission {
    Submission {
        bundle: Some(bundle.to_owned()),
        entry: entry.map(str::to_owned),
        ..Submission::default()
    }
}

async fn run(store: &Store, job: &Submission) -> (Job, Option<String>, String) {
    let id = store.submit("a", None, job).await.unwrap().job.id;
    let job = over(store, "a", &id).await;
    let result = store.result("a", &id).await.unwrap();
    (job, result, text(store, "a", &id).await)
}

async fn a_bundle_s_function_is_called_and_its_modules_are_run(place: Place) {
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 4).await;
    let bundle = zip(
        &store,
        "zip.writestr('shop/__init__.py', 'PRICE = 4')
zip.writestr('shop/reports.py', 'from . import PRICE\\ndef total(n):\\n    return n * PRICE\\nclass Of:\\n    year = staticmethod(lambda n: n)')
zip.writestr('shop/__main__.py', 'import sys\\nfrom shop import reports\\nprint(__name__, reports.total(2), sys.argv)')
zip.writestr('__main__.py', 'import shop\\nprint(__name__, shop.PRICE)\\ndef main(): 1 / 0')
zip.writestr('wrong.py', 'def main():\\n    return 1 / 0')",
    )
    .await;
    let called = Submission {
        arguments: json!([3]),
        ..of(&bundle, Some("shop.reports:total"))
    };
    let (job, result, log) = run(&store, &called).await;
    assert_eq!(
        (job.state, result.as_deref()),
        (State::Success, Some("12")),
        "{log}"
    );
    let called = Submission {
        arguments: json!({"n": 5}),
        ..of(&bundle, Some("shop.reports:Of.year"))
    };
    assert_eq!(run(&store, &called).await.1.as_deref(), Some("5"));
    for (entry, printed) in [
        (None, "__main__ 4\n"),
        (
            Some("shop"),
            "__main__ 8 ['/bundle/bundle.zip/shop/__main__.py']\n",
        ),
    ] {
        let (job, result, log) = run(&store, &of(&bundle, entry)).await;
        assert_eq!((job.state, result, log.as_str()), (State::Success, None, printed));
    }
    for (entry, error) in [
        ("nothing", "ImportError: No module named nothing"),
        ("nothing:x", "ModuleNotFoundError: No module named 'nothing'"),
        (
            "shop:nothing",
            "AttributeError: module 'shop' has no attribute 'nothing'",
        ),
        ("wrong:main", "ZeroDivisionError: division by zero"),
    ] {
        let (job, _, log) = run(&store, &of(&bundle, Some(entry))).await;
        assert_eq!(
            (job.state, job.error.as_deref()),
            (State::Failure, Some(error)),
            "{log}"
        );
    }
    let (_, _, log) = run(&store, &of(&bundle, Some("wrong:main"))).await;
    assert!(
        log.starts_with("Traceback (most recent call last):\n  File \"/bundle/bundle.zip/wrong.py\", line 2, in main\n    return 1 / 0"),
        "{log}"
    );
    working.leave().await;
}

async fn a_bundle_is_the_sandbox_s_affair_whatever_is_in_it(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    quotas.rules.memory = 128 << 20;
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 4).await;
    // 400 MiB of blanks in some hundred KB.
    let bomb = zip(
        &store,
        "with zip.open('bomb.py', 'w') as file:\n    for _ in range(400): file.write(b' ' * (1 << 20))",
    )
    .await;
    let (job, ..) = run(&store, &of(&bomb, Some("bomb"))).await;
    assert_eq!(
        (job.state, job.limit.as_deref()),
        (State::Failure, Some("memory")),
        "{job:?}"
    );
    let many = zip(&store, "for n in range(30_000): zip.writestr(f'm{n}.py', '')").await;
    assert_eq!(
        run(&store, &of(&many, Some("m29999"))).await.0.state,
        State::Success
    );
    // Nothing is unpacked anywhere.
    let paths = zip(
        &store,
        "for name in ('../../evil.py', '/evil.py', '/output/evil.py', 'a/../evil.py', 'C:\\\\evil.py'): zip.writestr(name, 'print(1)')\nlink = zipfile.ZipInfo('link.py')\nlink.external_attr = 0o120777 << 16\nzip.writestr(link, '/etc/passwd')",
    )
    .await;
    for entry in ["evil", "link", "passwd"] {
        let (job, ..) = run(&store, &of(&paths, Some(entry))).await;
        assert_eq!(job.state, State::Failure, "{job:?}");
    }
    let before = std::fs::read_dir(place.files()).unwrap().count();
    assert_eq!(before, 2, "kept and rooms");
    let none = code(
        "import hashlib\nopen('/output/x', 'w').write('no zip')\ndef main(): return hashlib.sha256(b'no zip').hexdigest()",
    );
    let (_, hash, _) = run(&store, &none).await;
    let hash: String = serde_json::from_str(&hash.unwrap()).unwrap();
    let (job, ..) = run(&store, &of(&hash, None)).await;
    assert_eq!(
        job.error.as_deref(),
        Some("zipimport.ZipImportError: not a Zip file: '/bundle/bundle.zip'")
    );
    working.leave().await;
}

/// Gives Python's importer of zips many that are damaged, each with another seed's changes; says what came of them.
const DAMAGED: &str = "
import io, os, random, sys, time, zipfile, zipimport
def whole(random):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as zip:
        for name in ('app.py', 'shop/__init__.py', 'ä.py', '../up.py', 'a' * random.randrange(1, 300)):
            zip.writestr(name, 'VALUE = 1\\n' * random.randrange(1, 200), random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        zip.comment = b'x' * random.randrange(100)
    return bytearray(file.getvalue())
def main(seed, count):
    came = {}
    for number in range(count):
        chance = random.Random(seed + number)
        data = whole(chance)
        for _ in range(chance.randrange(1, 4)):
            # What counts stands at the end: the directory of a zip.
            at = chance.randrange(len(data)) if chance.random() < 0.3 else max(0, len(data) - 1 - chance.randrange(min(900, len(data))))
            kind = chance.randrange(4)
            if kind == 0: data[at] = chance.randrange(256)
            elif kind == 1: data[at:at + 4] = chance.choice((b'\\xff\\xff\\xff\\xff', b'\\0\\0\\0\\0', b'\\xff\\xff\\xff\\x7f'))
            elif kind == 2: del data[at:at + chance.randrange(40)]
            else: data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(20)))
            if not data: break
        path = f'/output/{number}.zip'
        open(path, 'wb').write(data)
        try:
            zipimport.zipimporter(path).load_module(chance.choice(('app', 'shop', 'ä', 'up')))
            what = 'imported'
        except Exception as error: what = type(error).__name__
        for name in ('app', 'shop', 'ä', 'up'): sys.modules.pop(name, None)
        zipimport._zip_directory_cache.clear()
        os.remove(path)
        came[what] = came.get(what, 0) + 1
    return came
";

/// `VTWASM_DAMAGED=N` tries so many in place of some hundreds, and prints the seed that `VTWASM_SEED` takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_zip_is_an_exception_and_never_the_end_of_python() {
    let place = Place::sqlite();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = number("VTWASM_DAMAGED").unwrap_or(300);
    let seed = number("VTWASM_SEED").unwrap_or(u64::from(std::process::id()) << 20);
    let store = place.with(&["a"]).await;
    let working = Working::start(&store, 1).await;
    let job = Submission {
        arguments: json!([seed, count]),
        ..code(DAMAGED)
    };
    let (job, result, log) = run(&store, &job).await;
    println!("seed {seed}: {result:?}");
    assert_eq!(job.state, State::Success, "seed {seed}: {job:?} {log}");
    let came: std::collections::BTreeMap<String, u64> = serde_json::from_str(&result.unwrap()).unwrap();
    assert_eq!(came.values().sum::<u64>(), count);
    let many = |what: &str| came.get(what).is_some_and(|number| *number > count / 20);
    assert!(
        many("imported") && many("ZipImportError"),
        "seed {seed}: {came:?}"
    );
    working.leave().await;
}

async fn code_comes_one_way(place: Place) {
    let store = place.with(&["a"]).await;
    let hash = "0".repeat(64);
    for (job, problem) in [
        (Submission::default(), "source:"),
        (
            Submission {
                source: "pass".into(),
                ..of(&hash, None)
            },
            "source:",
        ),
        (
            Submission {
                entry: Some("a".into()),
                ..code("pass")
            },
            "entry:",
        ),
        (of(&hash, Some("a b")), "entry:"),
        (of("x", None), "bundle:"),
        (of(&hash, None), "files: there is no file"),
    ] {
        let error = store.submit("a", None, &job).await.unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

on_both! {
    a_bundle_s_function_is_called_and_its_modules_are_run
    a_bundle_is_the_sandbox_s_affair_whatever_is_in_it
    code_comes_one_way
}
