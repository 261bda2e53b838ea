//! Packages: from wheels that the tests make, in a folder that stands for an index; and, where an
//! index can be reached, from there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use crate::support::{Finished, finish, signal, vtwasm};
use crate::{end, run_code};

/// Makes wheels in the folder `sys.argv[1]`. Each is `name version tag`, its files, what it requires.
const MAKE: &str = r#"
import sys, zipfile
def wheel(name, version, files, requires=(), tag="py3-none-any"):
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {it}\n" for it in requires)
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
             f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"}
    files[f"{info}/RECORD"] = "".join(f"{it},,\n" for it in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-{version}-{tag}.whl", "w") as out:
        for path, text in files.items():
            out.writestr(zipfile.ZipInfo(path), text)
NATIVE = "cp313-cp313-manylinux2014_x86_64"
for version in "1.0", "2.0":
    wheel("alpha", version, {"alpha.py": f"version = '{version}'"},
          ["delta; sys_platform == 'wasi'", "gamma; sys_platform == 'linux'"])
wheel("delta", "1.0", {"delta.py": ""})
wheel("gamma", "1.0", {"gamma.py": ""})
wheel("native", "1.0", {"native/__init__.py": "try:\n from . import fast\nexcept ImportError:\n fast = None",
                        "native/fast.cpython-313-x86_64-linux-gnu.so": "ELF"}, tag=NATIVE)
wheel("needs_native", "1.0", {"needs_native.py": ""}, ["native"])
wheel("both", "1.0", {"both.py": "kind = 'pure'"})
wheel("both", "1.0", {"both.py": "kind = 'native'", "x.so": ""}, tag=NATIVE)
wheel("mislabelled", "1.0", {"mislabelled/x.so": ""})
wheel("linked", "1.0", {"linked_module.py": "print('by .pth')", "linked.pth": "import linked_module\n"})
wheel("broken", "1.0", {"broken.py": ""})
with open(f"{sys.argv[1]}/broken-1.0-py3-none-any.whl", "r+b") as file:
    file.truncate(300)
"#;

/// A user with wheels in a folder, a cache of packages that is empty, and uv.
struct World {
    folder: TempDir,
}

impl World {
    /// `None`, and the reason on stderr, if there is no uv and none can be fetched.
    fn new() -> Option<World> {
        uv()?;
        let folder = tempdir().unwrap();
        let world = World { folder };
        fs::create_dir(world.path("links")).unwrap();
        let flag = format!("--allow-write={}", world.path("links").display());
        let links = world.path("links").display().to_string();
        let made = end(vtwasm().args(["run", &flag, "-c", MAKE, &links]));
        assert_eq!(made.code(), 0, "{}", made.shown(""));
        world.forget();
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Empties the cache of packages. The compiled Python is the user's.
    fn forget(&self) {
        let cache = self.path("cache");
        let _ = fs::remove_dir_all(&cache);
        fs::create_dir(&cache).unwrap();
        let own = vtwasm::cache_dir().unwrap();
        for name in ["compiled", "embedded", "python"] {
            symlink(own.join(name), cache.join(name)).unwrap();
        }
    }

    /// `vtwasm run` with these wheels, in this folder.
    fn command(&self) -> Command {
        self.command_of("run")
    }

    fn command_of(&self, name: &str) -> Command {
        let mut command = vtwasm();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let uv = uv().expect("a world has one").iter().map(PathBuf::as_path);
        let paths = uv.map(Path::to_owned).chain(std::env::split_paths(&path));
        command
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(paths).unwrap())
            .env("VTWASM_CACHE", self.path("cache"))
            .env("UV_CACHE_DIR", self.path("uv-cache"))
            .env("UV_NO_INDEX", "1")
            .env("UV_FIND_LINKS", self.path("links"))
            .arg(name);
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        end(self.command().args(args))
    }

    /// The same without uv, wheels or an index: only what vtwasm has kept.
    fn run_offline(&self, args: &[&str]) -> Finished {
        end(self
            .command()
            .env("PATH", self.path("empty"))
            .env("UV_FIND_LINKS", self.path("empty"))
            .args(args))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The folders of wheels that were kept.
    fn sites(&self) -> usize {
        fs::read_dir(self.path("cache/wheels/sites")).map_or(0, |entries| entries.count())
    }
}

/// The folder of a uv that was fetched for the tests, none if there is one on PATH.
///
/// vtwasm fetches it as it does for a user who has only pip.
fn uv() -> Option<&'static Option<PathBuf>> {
    static UV: OnceLock<Option<Option<PathBuf>>> = OnceLock::new();
    let found = UV.get_or_init(|| {
        if Command::new("uv")
            .arg("--version")
            .output()
            .is_ok_and(|it| it.status.success())
        {
            return Some(None);
        }
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("with-uv");
        let bin = cache.join("wheels/uv/bin");
        if !bin.join("uv").is_file() {
            let mut command = vtwasm();
            let no_such = ["run", "--with", "no-such-package", "-c", "pass"];
            command
                .args(no_such)
                .env("VTWASM_CACHE", &cache)
                .env("UV_NO_INDEX", "1");
            let finished = finish(&mut command, b"", Duration::from_secs(300)).unwrap();
            if !bin.join("uv").is_file() {
                skip(&format!(
                    "there is no uv, and none can be fetched: {}",
                    finished.stderr
                ));
                return None;
            }
        }
        Some(Some(bin))
    });
    found.as_ref()
}

/// Past the capture of test output: a test that did not run must be seen.
fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {}", reason.trim());
}

/// A world, or an end of the test that says why.
macro_rules! world {
    () => {
        match World::new() {
            Some(world) => world,
            None => return skip(concat!(module_path!(), ", line ", line!(), ": no uv")),
        }
    };
}

fn assert_refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code(), code, "{}", finished.shown(""));
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.shown(""));
    }
}

const IMPORT_ALPHA: &str = "import alpha, delta; print(alpha.version)
try: import gamma
except ImportError as error: print(error)";

#[test]
fn a_package_comes_with_what_it_needs_on_this_platform() {
    let world = world!();
    let finished = world.run(&["--with", "alpha", "-c", IMPORT_ALPHA]);
    assert_eq!(finished.printed(), "2.0\nNo module named 'gamma'\n");
    let finished = world.run(&["--with", "Alpha<2", "-c", IMPORT_ALPHA]);
    assert_eq!(finished.printed(), "1.0\nNo module named 'gamma'\n");
}

/// A service that ends with the test.
struct Service(std::process::Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_job_of_the_service_has_the_packages_that_its_tenant_may_have() {
    use std::io::{BufRead, BufReader};
    let world = world!();
    let database = world.path("jobs.db");
    let mut serve = world.command_of("serve");
    serve
        .args(["--listen=127.0.0.1:0", "--slots=2", "--database"])
        .arg(&database);
    let mut service = Service(
        serve
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let (mut token, mut said) = (String::new(), String::new());
    BufReader::new(service.0.stdout.take().unwrap())
        .read_line(&mut token)
        .unwrap();
    let mut talk = BufReader::new(service.0.stderr.take().unwrap());
    talk.read_line(&mut said).unwrap();
    std::thread::spawn(move || std::io::copy(&mut talk, &mut std::io::sink()));
    let server = said.trim().rsplit(' ').next().unwrap();
    let ask = |command: &str, args: &[&str]| {
        let mut command = world.command_of(command);
        command
            .env("VTWASM_SERVER", server)
            .env("VTWASM_TOKEN", token.trim().trim_start_matches("VTWASM_TOKEN="));
        end(command.args(args))
    };
    let refused = ask("job", &["submit", "-c", "pass", "--with", "alpha"]);
    assert_refused(&refused, 2, &["this tenant's rules do not allow alpha"]);
    let quotas = "--quotas={\"rules\": {\"packages\": [\"alpha\", \"native\", \"none\"]}}";
    ask("tenant", &["set", "default", quotas]).printed();
    for _ in 0..2 {
        let done = ask(
            "job",
            &["submit", "-c", IMPORT_ALPHA, "--with", "Alpha<2", "--follow"],
        );
        assert_eq!(
            done.stdout,
            "1.0\nNo module named 'gamma'\n",
            "{}",
            done.shown("")
        );
    }
    assert_eq!(world.sites(), 1);
    for (package, problem) in [
        ("delta", "do not allow delta"),
        ("alpha==3.0", "alpha"),
        ("native", "native code, which cannot run in the sandbox"),
        ("alpha @ file:///etc/passwd", "is none"),
    ] {
        assert_refused(
            &ask("job", &["submit", "-c", "pass", "--with", package]),
            2,
            &[problem],
        );
    }
}

#[test]
fn a_second_run_needs_neither_tool_nor_index() {
    let world = world!();
    let args = ["--with", "alpha", "-c", IMPORT_ALPHA];
    world.run(&args).printed();
    assert!(world.run_offline(&args).printed().starts_with("2.0"));
    // Resolved differently, but the same wheels.
    let args = ["--with", "alpha>1", "-c", IMPORT_ALPHA];
    world.run(&args).printed();
    assert_eq!(world.sites(), 1);
}

#[test]
fn a_package_is_compiled_and_can_not_be_changed_by_the_program() {
    let world = world!();
    let code = "import alpha, importlib.util as util, os
print(os.path.exists(util.cache_from_source(alpha.__file__)))
try: open(alpha.__file__, 'a')
except OSError as error: print(type(error).__name__)";
    let finished = world.run(&["--with", "alpha", "-c", code]);
    assert_eq!(finished.printed(), "True\nPermissionError\n");
}

#[test]
fn a_native_wheel_is_refused_by_name() {
    let world = world!();
    let words = [
        "native 1.0 has no pure-Python wheel",
        "manylinux",
        "--without-native=native",
    ];
    assert_refused(&world.run(&["--with", "native", "-c", ""]), 121, &words);
    assert_refused(&world.run(&["--with", "needs-native", "-c", ""]), 121, &words);
    let words = ["mislabelled 1.0 has native code: mislabelled/x.so"];
    assert_refused(&world.run(&["--with", "mislabelled", "-c", ""]), 121, &words);
    assert_eq!(world.sites(), 0);
}

#[test]
fn a_pure_wheel_is_preferred_to_a_native_one() {
    let world = world!();
    let finished = world.run(&["--with", "both", "-c", "import both; print(both.kind)"]);
    assert_eq!(finished.printed(), "pure\n");
}

#[test]
fn a_package_that_can_do_without_its_native_part_runs_without_it() {
    let world = world!();
    let code = "import native, os; print(native.fast, os.listdir(native.__path__[0]))";
    let args = ["--with", "native", "--without-native", "Native", "-c", code];
    assert_eq!(
        world.run(&args).printed(),
        "None ['__init__.py', '__pycache__']\n"
    );
    world.write("a.py", &format!(
        "# /// script\n# dependencies = ['native']\n# [tool.vtwasm]\n# without-native = ['native']\n# ///\n{code}"
    ));
    assert!(world.run(&["a.py"]).printed().starts_with("None"));
}

#[test]
fn a_broken_wheel_leaves_nothing_behind() {
    let world = world!();
    let finished = world.run(&["--with", "broken", "-c", ""]);
    assert_refused(&finished, 121, &["broken"]);
    assert_eq!(world.sites(), 0);
    let left = fs::read_dir(world.path("cache/wheels")).unwrap().flatten();
    let names: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().starts_with("room.")),
        "{names:?}"
    );
}

#[test]
fn what_cannot_be_resolved_is_said() {
    let world = world!();
    let hint = "check the names and versions";
    assert_refused(&world.run(&["--with", "zeta", "-c", ""]), 121, &["zeta", hint]);
    assert_refused(
        &world.run(&["--with", "alpha>2", "-c", ""]),
        121,
        &["alpha>2", hint],
    );
    assert_refused(&world.run(&["--with", "alpha==x", "-c", ""]), 121, &["alpha==x"]);
    for bad in ["-r x", "a\nb", "./a.whl", "--index-url=x", ""] {
        assert_refused(&world.run(&[&format!("--with={bad}"), "-c", ""]), 2, &["--with"]);
    }
    let finished = end(world
        .command()
        .env("PATH", world.path("empty"))
        .args(["--with", "alpha", "-c", ""]));
    assert_refused(&finished, 121, &["needs uv or pip", "apt install python3-pip"]);
}

#[test]
fn an_index_that_cannot_be_reached_is_told_from_a_name_that_is_wrong() {
    let world = world!();
    // A port that nobody listens at: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut command = world.command();
    command
        .env_remove("UV_NO_INDEX")
        .env("UV_DEFAULT_INDEX", format!("http://127.0.0.1:{port}/simple"))
        .env("UV_HTTP_RETRIES", "0");
    let finished = end(command.args(["--with", "zeta", "-c", ""]));
    assert_refused(&finished, 121, &["is the network there?"]);
}

#[test]
fn a_script_says_itself_what_it_needs() {
    let world = world!();
    let metadata =
        "# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"alpha<2\",\n# ]\n# ///\n";
    world.write("app.py", &format!("{metadata}{IMPORT_ALPHA}"));
    assert!(world.run(&["app.py"]).printed().starts_with("1.0"));
    assert!(
        world
            .run(&["--with", "both", "app.py"])
            .printed()
            .starts_with("1.0")
    );
    assert_refused(&world.run(&["--with", "alpha>1", "app.py"]), 121, &["alpha"]);
}

#[test]
fn metadata_that_is_rubbish_is_an_error_with_its_line() {
    let world = world!();
    let cases = [
        ("# a = 1\n# b = = 2\n# ///", "app.py:4: script metadata"),
        ("# dependencies = 'alpha'\n# ///", "app.py:3: script metadata"),
        (
            "# dependencies = []",
            "app.py:2: script metadata: the block is not closed",
        ),
        (
            "# requires-python = '>=3.14'\n# ///",
            "requires Python >=3.14; the one in vtwasm is 3.13",
        ),
        ("# requires-python = 'new'\n# ///", "requires-python"),
        ("# dependencies = ['-r x']\n# ///", "dependency \"-r x\""),
        (
            "# dependencies = ['a @ file:///etc/x.whl']\n# ///",
            "a script may not name an address",
        ),
        ("# [tool.vtwasm]\n# x = 1\n# ///", "app.py:4: script metadata"),
    ];
    for (block, words) in cases {
        world.write("app.py", &format!("\n# /// script\n{block}\nprint('ran')\n"));
        assert_refused(&world.run(&["app.py"]), 2, &[words]);
    }
    world.write("app.py", "# /// other\n# = = =\n# ///\nprint('ran')\n");
    assert_eq!(world.run(&["app.py"]).printed(), "ran\n");
}

#[test]
fn a_lock_file_makes_a_run_repeatable_offline() {
    let world = world!();
    let args = ["--with", "alpha", "--lock", "pylock.toml", "-c", IMPORT_ALPHA];
    world
        .run(&["--with", "alpha<2", "--lock", "old.toml", "-c", ""])
        .printed();
    world.run(&args).printed();
    let text = fs::read_to_string(world.path("pylock.toml")).unwrap();
    assert!(text.contains("sha256 = ") && !text.contains("gamma"), "{text}");
    assert!(world.run_offline(&args).printed().starts_with("2.0"));
    // The lock file alone says what there is, and what it says counts.
    let finished = world.run_offline(&["--lock", "old.toml", "-c", IMPORT_ALPHA]);
    assert!(finished.printed().starts_with("1.0"));
    let finished = world.run_offline(&["--with", "both", "--lock", "pylock.toml", "-c", ""]);
    assert_refused(&finished, 2, &["pylock.toml is not for both", "--upgrade"]);
    let finished = world.run(&[
        "--with",
        "both",
        "--lock",
        "pylock.toml",
        "--upgrade",
        "-c",
        "import both",
    ]);
    finished.printed();
    assert!(
        !fs::read_to_string(world.path("pylock.toml"))
            .unwrap()
            .contains("alpha")
    );
}

#[test]
fn a_wheel_that_is_not_the_locked_one_is_refused() {
    let world = world!();
    let args = ["--with", "delta", "--lock", "pylock.toml", "-c", "import delta"];
    world.run(&args).printed();
    world.forget();
    fs::remove_dir_all(world.path("uv-cache")).unwrap();
    let text = fs::read_to_string(world.path("pylock.toml")).unwrap();
    let (start, rest) = text.split_once("sha256 = \"").unwrap();
    world.write(
        "pylock.toml",
        &format!("{start}sha256 = \"{}{}", "0".repeat(64), &rest[64..]),
    );
    assert_refused(&world.run(&args), 121, &["Hash mismatch", "delta"]);
    assert_eq!(world.sites(), 0);
}

#[test]
fn a_lock_file_that_is_rubbish_is_an_error() {
    let world = world!();
    let package = "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n";
    let cases = [
        ("lock-version = ", 2, "TOML"),
        ("lock-version = '2.0'", 2, "version 2.0 is not known"),
        (
            "lock-version = '1.0'\nrequires-python = '<3.13'",
            2,
            "it is for Python <3.13",
        ),
        (&format!("{package}marker = 'what'"), 2, "what"),
        (
            &format!("{package}sdist = {{ url = 'x', hashes = {{}} }}"),
            121,
            "a 1 has no wheel",
        ),
        (
            &format!("{package}wheels = [{{ url = 'a-1-py3-none-any.whl' }}]"),
            121,
            "no checksum",
        ),
    ];
    for (text, code, words) in cases {
        world.write("pylock.toml", text);
        assert_refused(&world.run(&["--lock", "pylock.toml", "-c", ""]), code, &[words]);
    }
    fs::create_dir(world.path("folder")).unwrap();
    assert_refused(&world.run(&["--lock", "folder", "-c", ""]), 2, &["folder"]);
    world.write("file", "");
    let finished = world.run(&["--with", "delta", "--lock", "file/pylock.toml", "-c", ""]);
    assert_refused(&finished, 2, &["file/pylock.toml"]);
    assert_refused(
        &world.run(&["--lock", "none.toml", "-c", ""]),
        2,
        &["nothing asks for a package"],
    );
}

#[test]
fn an_environment_that_is_there_is_used_and_not_changed() {
    let world = world!();
    let site = world.path("env/lib/python3.11/site-packages");
    fs::create_dir_all(&site).unwrap();
    world.write("env/pyvenv.cfg", "");
    fs::write(site.join("here.py"), "").unwrap();
    fs::write(site.join("hook.pth"), "import here; print('hook')\n").unwrap();
    let code = "import here; print(here.__file__)
try: open(here.__file__, 'w')
except OSError as error: print(type(error).__name__)";
    let expected = format!("hook\n{}\nPermissionError\n", site.join("here.py").display());
    for folder in ["env", "env/lib/python3.11/site-packages"] {
        let finished = world.run_offline(&["--site", folder, "-c", code]);
        assert_eq!(finished.printed(), expected);
    }
    // With wheels beside it, which come first; and in place of what the script asks for.
    fs::write(site.join("alpha.py"), "version = 'of the environment'").unwrap();
    let code = format!("import here\n{IMPORT_ALPHA}");
    let finished = world.run(&["--with", "alpha", "--site", "env", "-c", &code]);
    assert_eq!(finished.printed(), "hook\n2.0\nNo module named 'gamma'\n");
    world.write(
        "app.py",
        "# /// script\n# dependencies = ['zeta']\n# ///\nimport here, alpha; print(alpha.version)",
    );
    let finished = world.run_offline(&["--site=env", "app.py"]);
    assert_eq!(finished.printed(), "hook\nof the environment\n");
    assert_refused(
        &world.run(&["--site", "no-env", "-c", ""]),
        2,
        &["--site", "no-env"],
    );
}

#[test]
fn a_path_file_of_a_package_is_read_as_in_any_site_folder() {
    let world = world!();
    let finished = world.run(&["--with", "linked", "-c", ""]);
    assert_eq!(finished.printed(), "by .pth\n");
}

#[test]
fn two_runs_at_once_share_the_work_and_both_succeed() {
    let world = world!();
    std::thread::scope(|scope| {
        let runs = [(); 4].map(|()| scope.spawn(|| world.run(&["--with", "alpha", "-c", IMPORT_ALPHA])));
        for run in runs {
            assert!(run.join().unwrap().printed().starts_with("2.0"));
        }
    });
    assert_eq!(world.sites(), 1);
}

#[test]
fn a_run_that_is_killed_while_it_fetches_leaves_nothing_half_done() {
    let world = world!();
    // A uv that unpacks, says so and then takes its time.
    fs::create_dir(world.path("slow")).unwrap();
    let script = "#!/bin/sh\nPATH=${PATH#*:}\nuv \"$@\" || exit\ncase $2 in install) touch unpacked; exec sleep 60; esac\n";
    world.write("slow/uv", script);
    fs::set_permissions(world.path("slow/uv"), fs::Permissions::from_mode(0o755)).unwrap();
    let args = ["--with", "alpha", "-c", IMPORT_ALPHA];
    let mut command = world.command();
    let path = command
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .unwrap()
        .1
        .unwrap()
        .to_owned();
    let path = std::env::join_paths(std::iter::once(world.path("slow")).chain(std::env::split_paths(&path)));
    let mut child = command
        .args(args)
        .env("PATH", path.unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !world.path("unpacked").exists() {
        assert!(started.elapsed() < crate::LIMIT, "it never unpacked");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), "KILL");
    child.wait().unwrap();
    assert_eq!(world.sites(), 0);
    assert!(world.run(&args).printed().starts_with("2.0"));
}

#[test]
fn markers_are_those_of_the_python_inside() {
    let world = world!();
    let code = "import os, sys, platform
version = platform.python_version()
print(f'''implementation_name={sys.implementation.name}
implementation_version={version}
os_name={os.name}
platform_machine={platform.machine()}
platform_python_implementation={platform.python_implementation()}
platform_release={platform.release()}
platform_system={platform.system()}
platform_version={platform.version()}
python_full_version={version}
python_version={sys.version_info[0]}.{sys.version_info[1]}
sys_platform={sys.platform}''')";
    let inside = run_code(&[], code);
    for line in inside.printed().lines() {
        let (name, value) = line.split_once('=').unwrap();
        let lock = format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nmarker = \"{name} == '{value}'\"\n\
             [[packages]]\nname = 'b'\nmarker = \"{name} != '{value}'\"\n"
        );
        world.write("pylock.toml", &lock);
        // The first package is for this Python, and so is missed; the second is not.
        let finished = world.run_offline(&["--lock", "pylock.toml", "-c", ""]);
        assert_refused(&finished, 121, &["a has no wheel"]);
    }
}

/// What came of a run that needs an index, unless none can be reached.
fn online(world: &World, args: &[&str]) -> Option<Finished> {
    let mut command = world.command();
    command
        .env_remove("UV_NO_INDEX")
        .env_remove("UV_FIND_LINKS")
        .env_remove("UV_CACHE_DIR");
    let finished = finish(command.args(args), b"", Duration::from_secs(240)).unwrap();
    if finished.stderr.contains("is the network there?") {
        skip(&format!("no index can be reached: {}", finished.stderr));
        return None;
    }
    Some(finished)
}

#[test]
fn requests_and_flask_come_from_the_index() {
    let world = world!();
    let code = "import requests, flask
app = flask.Flask('app')
@app.get('/<name>')
def page(name): return flask.render_template_string('{{ name }}', name='<' + name + '>')
print(requests.Request('GET', 'http://a/', params={'b': 'ü'}).prepare().url)
print(app.test_client().get('/x').text)";
    let args = ["--with", "requests", "--with", "flask>=3", "-c", code];
    let Some(finished) = online(&world, &args) else {
        return;
    };
    assert_eq!(finished.printed(), "http://a/?b=%C3%BC\n&lt;x&gt;\n");
    assert_eq!(world.run_offline(&args).printed(), finished.printed());
}

#[test]
fn packages_that_fall_back_to_python_code_do_so() {
    let world = world!();
    let code = "import markupsafe, yaml
print(markupsafe.escape('<'), markupsafe.__version__ > '')
print(yaml.safe_load('a: [1, b]'), yaml.safe_dump({'a': 1}), yaml.__with_libyaml__)";
    let Some(finished) = online(&world, &["--with", "markupsafe", "--with", "pyyaml", "-c", code]) else {
        return;
    };
    assert_eq!(finished.printed(), "&lt; True\n{'a': [1, 'b']} a: 1\n False\n");
}

#[test]
fn a_snapshot_has_the_packages_that_it_was_made_with() {
    let world = world!();
    let snapshot = |args: &[&str]| end(world.command_of("snapshot").args(args));
    let made = snapshot(&["--with", "both", "--import", "both", "-o", "my.vtsnap"]);
    assert_eq!(made.printed(), "");
    let code = "import sys; print('both' in sys.modules, 'both' in globals()); import both; print(both.kind)";
    let run = world.run_offline(&["--snapshot", "my.vtsnap", "-c", code]);
    assert_eq!(run.printed(), "True False\npure\n");
    // What is imported late is still there.
    let made = snapshot(&["--with", "both", "--import", "json", "-o", "late.vtsnap"]);
    assert_eq!(made.printed(), "");
    let late = world.run_offline(&["--snapshot", "late.vtsnap", "-c", "import both; print(both.kind)"]);
    assert_eq!(late.printed(), "pure\n");
    let other = world.run(&["--snapshot", "my.vtsnap", "--with", "delta", "-c", "pass"]);
    assert_refused(&other, 2, &["cannot both be /usr/lib/python3.13/site-packages"]);
    fs::remove_dir_all(world.path("cache/wheels/sites")).unwrap();
    let gone = world.run_offline(&["--snapshot", "my.vtsnap", "-c", "pass"]);
    assert_refused(&gone, 121, &["are gone", "vtwasm snapshot"]);
}

#[test]
fn a_snapshot_gives_no_leave_to_read() {
    let world = world!();
    fs::create_dir(world.path("own")).unwrap();
    world.write("own/secret.py", "x = 1");
    let made =
        end(world
            .command_of("snapshot")
            .args(["--site", "own", "--import", "secret", "-o", "my.vtsnap"]));
    assert_eq!(made.printed(), "");
    let closed = world.run(&["--snapshot", "my.vtsnap", "-c", "pass"]);
    assert_refused(&closed, 2, &["own", "not mounted so", "--site"]);
    let open = world.run(&[
        "--snapshot",
        "my.vtsnap",
        "--site",
        "own",
        "-c",
        "import secret; print(secret.x)",
    ]);
    assert_eq!(open.printed(), "1\n");
}
