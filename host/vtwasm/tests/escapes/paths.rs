//! Out of a folder: by its name, by links of either side, by races.

use super::common::program;
use super::printed;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use vtwasm::{Access, Builder};

/// `in/` is the program's to write, `read/` to read, `outside/` none of its business.
struct World(TempDir);

impl World {
    fn new() -> World {
        let world = World(tempfile::tempdir().unwrap());
        for folder in ["in/sub", "read", "outside/folder"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        fs::write(world.path("in/file"), "inside").unwrap();
        fs::write(world.path("read/file"), "to be read").unwrap();
        fs::write(world.path("outside/file"), "SECRET").unwrap();
        fs::write(world.path("outside/folder/file"), "SECRET").unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `code` in a sandbox, with `OUT`, the host's path of what is outside, and `attempt(path)`, which
    /// tries all that can be done to a path and prints what could.
    fn program(&self, code: &str) -> Builder {
        let out = self.path("outside");
        let mut builder = program(&format!("OUT = {out:?}\n{ATTEMPT}\n{code}"));
        builder
            .mount(self.path("in"), "/in", Access::ReadWrite)
            .unwrap()
            .mount(self.path("read"), "/read", Access::Read)
            .unwrap()
            .cwd("/in");
        builder
    }

    /// What no program may change.
    fn kept(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        describe(&self.path("outside"), &mut found);
        describe(&self.path("read"), &mut found);
        found
    }
}

fn describe(path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let content = fs::read(path).unwrap_or_default();
    let times = (
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.mode(),
        metadata.nlink(),
    );
    found.insert(path.to_owned(), format!("{times:?} {content:?}"));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            describe(&entry.unwrap().path(), found);
        }
    }
}

const ATTEMPT: &str = "
import os
WAYS = {
    'read': lambda p: open(p).read(),
    'write': lambda p: open(p, 'w').write('x'),
    'append': lambda p: open(p, 'a').write('x'),
    'update': lambda p: open(p, 'r+').write('x'),
    'stat': os.stat,
    'list': os.listdir,
    'scan': lambda p: list(os.scandir(p)),
    'mkdir': lambda p: os.mkdir(p + '/new'),
    'make': lambda p: open(p + '/new', 'x'),
    'rmdir': os.rmdir,
    'truncate': lambda p: os.truncate(p, 0),
    'utime': lambda p: os.utime(p, (1, 1)),
    'link': lambda p: os.link(p, '/in/linked'),
    'link to': lambda p: os.link('/in/file', p + '/linked'),
    'rename to': lambda p: os.rename('/in/sub', p),
    'rename into': lambda p: os.rename('/in/sub', p + '/sub'),
    'replace': lambda p: os.replace('/in/sub', p),
    'open folder': lambda p: os.open(p, os.O_RDONLY | os.O_DIRECTORY),
    'chdir': lambda p: (os.chdir(p), open('file').read()),
}
def attempt(path, but=()):
    for name, way in WAYS.items():
        if name in but: continue
        try: result = way(path)
        except (OSError, ValueError, NotImplementedError): pass
        else: print(f'{name} {path!r}: {result!r}')
        finally: os.chdir('/in')
";

async fn nothing_is_reached(world: &World, code: &str) {
    let before = world.kept();
    assert_eq!(printed(&mut world.program(code)).await, "");
    assert_eq!(world.kept(), before);
    assert_eq!(fs::read_to_string(world.path("in/file")).unwrap(), "inside");
}

#[tokio::test]
async fn two_dots_and_absolute_paths() {
    let code = "
for path in [OUT, OUT + '/file', '../outside', '../outside/file', 'sub/../../outside/file', '/in/../outside/file',
             '/in/./sub/.././../outside/file', '/in//..//outside/file', '/in/sub/../../read/../outside/file',
             '/read/../outside/file', '/../..' + OUT, 'sub/' + '../' * 40 + OUT.lstrip('/'),
             '/proc/self/root' + OUT, '/proc/self/cwd', '/proc/self/environ', '/proc/1/environ', '/proc/self/fd/3',
             '/proc/self/mem', '/dev/fd/3', '/etc/passwd', '/etc', '/sys', '/root', '/tmp', '/dev/mem', '/dev/shm',
             'sub\\0/../../outside', '\\ufeff../outside', '．．/outside']:
    attempt(path)
";
    nothing_is_reached(&World::new(), code).await;
}

#[tokio::test]
async fn links_that_the_host_made() {
    let world = World::new();
    let link = |to: &Path, name: &str| symlink(to, world.path("in").join(name)).unwrap();
    link(&world.path("outside/file"), "absolute");
    link(&world.path("outside"), "absolute_folder");
    link(Path::new("../outside/file"), "relative");
    link(Path::new("../outside"), "folder");
    link(Path::new("folder/folder"), "chain");
    link(Path::new("sub/../../outside"), "dots");
    link(Path::new("/proc/self/root"), "proc");
    link(Path::new("/proc/self/fd"), "descriptors");
    link(Path::new("loop"), "loop");
    link(Path::new("../read/file"), "mount");
    let code = "
# What is done to a link itself is done inside; and a new name for one is a link as well.
but = {'link', 'rename to', 'replace'}
for name in ['absolute', 'absolute_folder', 'relative', 'folder', 'chain', 'dots', 'proc', 'descriptors', 'loop', 'mount']:
    for path in [name, name + '/', name + '/file', name + '/.', name + '/folder/file', name + OUT + '/file']:
        attempt(path, but)
        attempt('/in/sub/../' + path, but)
        for follow in (True, False):
            try: os.link(path, 'linked', follow_symlinks=follow)
            except (OSError, NotImplementedError): continue
            attempt('linked', but)
            os.remove('linked')
";
    nothing_is_reached(&world, code).await;
}

#[tokio::test]
async fn links_that_the_program_makes() {
    let code = "
def make(target, name):
    try: os.symlink(target, name)
    except OSError: pass
os.makedirs('a/b/c')
for number, target in enumerate([OUT, OUT + '/file', '../outside', '../outside/file', '..', '/', '/proc/self/root', '../read']):
    make(target, f'link{number}')
    # It leads inside where it is made and outside where it is moved to.
    make('../../../' + target, f'a/b/c/deep{number}')
    try: os.rename(f'a/b/c/deep{number}', f'moved{number}')
    except OSError: pass
but = {'link', 'rename to', 'replace'}
for name in os.listdir('.'):
    if not name.startswith(('link', 'moved')): continue
    assert os.path.islink(name), name
    for path in [name, name + '/file', name + '/outside/file', name + OUT + '/file', name + '/../outside/file']:
        attempt(path, but)
";
    nothing_is_reached(&World::new(), code).await;
}

#[tokio::test]
async fn a_second_name_for_what_may_only_be_read() {
    let code = "
but = {'read', 'stat', 'list', 'scan', 'open folder', 'chdir'}
for path in ['/read', '/read/file', '/in/../read/file', '/read/new']: attempt(path, but)
for what in [lambda: os.rename('/read/file', '/in/stolen'), lambda: os.link('/read/file', '/in/stolen'),
             lambda: os.remove('/read/file'), lambda: os.symlink('/in', '/read/new')]:
    try: what()
    except OSError: pass
    else: print('it was done')
try: open('/in/stolen', 'w').write('changed')
except OSError: pass
else: os.remove('/in/stolen')
";
    nothing_is_reached(&World::new(), code).await;
}

#[tokio::test]
async fn a_folder_renamed_over_a_mount() {
    let code = "
import shutil
for what in [lambda: os.rename('/in/sub', '/read'), lambda: os.rename('/read', '/in/sub/read'),
             lambda: os.rename('/in', '/read/in'), lambda: os.rename('/in', '/in/sub'), lambda: os.rmdir('/read'),
             lambda: os.rename('/in/sub', '/usr'), lambda: os.rename('/in/sub', '/'), lambda: os.mkdir('/new'),
             lambda: shutil.rmtree('/read'), lambda: shutil.move('/read', '/in/sub'),
             lambda: os.symlink('/in', '/usr/lib/vtwasm/new'), lambda: open('/usr/lib/vtwasm/os.py', 'w')]:
    try: what()
    except OSError: pass
    else: print('it was done')
assert open('/read/file').read() == 'to be read'
";
    let world = World::new();
    let before = world.kept();
    // `shutil.move` copies what it may not move, and then may not remove it.
    assert_eq!(printed(&mut world.program(code)).await, "");
    assert_eq!(world.kept(), before);
}

/// A thread of the host makes `in/swapped` a folder and a link out of it, over and over.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_becomes_a_link_between_check_and_use() {
    let world = World::new();
    let (swapped, folder, link) = (world.path("in/swapped"), world.path("a"), world.path("b"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "inside").unwrap();
    symlink(world.path("outside/folder"), &link).unwrap();
    symlink("../outside/folder", world.path("c")).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let ended = over.clone();
    let relative = world.path("c");
    let swaps = std::thread::spawn(move || {
        let mut count = 0;
        while !ended.load(Ordering::Relaxed) {
            for other in [&folder, &link, &folder, &relative] {
                fs::rename(other, &swapped).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(20));
                fs::rename(&swapped, other).unwrap();
                count += 1;
            }
        }
        count
    });
    let before = world.kept();
    let code = "
import time
seen = {'inside': 0, 'refused': 0}
until = time.monotonic() + 2
while time.monotonic() < until:
    for way in (lambda: open('swapped/file').read(), lambda: open('/in/swapped/new', 'w').close() or 'inside',
                lambda: open('swapped/../swapped/file').read(), lambda: os.listdir('swapped') and 'inside',
                lambda: os.utime('swapped/file', (1, 1)) or 'inside', lambda: os.remove('swapped/new') or 'inside'):
        try: result = way()
        except OSError: result = 'refused'
        seen[result] = seen.get(result, 0) + 1
assert seen['inside'] > 20 and seen['refused'] > 20, seen
print(sorted(seen))
";
    let result = printed(&mut world.program(code)).await;
    over.store(true, Ordering::Relaxed);
    assert!(swaps.join().unwrap() > 100);
    assert_eq!(result, "['inside', 'refused']\n");
    assert_eq!(world.kept(), before);
}

#[tokio::test]
async fn what_waits_to_be_opened_holds_nobody_up() {
    let world = World::new();
    let pipe = world.path("in/pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _socket = UnixListener::bind(world.path("in/socket")).unwrap();
    symlink("pipe", world.path("in/link")).unwrap();
    let code = "
import errno, os
for path in 'pipe', 'link', 'socket', '../in/sub/../pipe':
    for mode in os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR | os.O_NONBLOCK:
        try: print(path, os.open(path, mode))
        except OSError as error: assert error.errno != errno.ENOENT, error
";
    nothing_is_reached(&world, code).await;
}
