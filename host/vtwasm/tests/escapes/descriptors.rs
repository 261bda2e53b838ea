//! Through numbers that are no descriptors of the program's.

use super::common::program;
use super::printed;
use vtwasm::Access;

#[tokio::test]
async fn numbers_that_were_never_opened_or_are_closed() {
    let code = "
import errno, os, socket
def refused(*ways):
    for way in ways:
        try: result = way()
        # As a folder, 2**31 - 1 is the guest's own for /dev/null and its like, in which there is no such file.
        except OSError as error: assert error.errno in (errno.EBADF, errno.EINVAL, errno.ENOENT), error
        except (OverflowError, ValueError): pass
        else: print(result)
def is_open(number):
    try: os.fstat(number)
    except OSError: return False
    return True
# The mounts have numbers as well.
numbers = [*(n for n in range(3, 200) if not is_open(n)), 1000, 65_535, 2**20, 2**31 - 1, -1, -3, -2**31, 2**31, 2**32 + 1]
file = os.open('/in/file', os.O_RDWR)
end, other = socket.socketpair()
closed = [file, end.detach(), other.detach(), *os.pipe()]
for number in closed: os.close(number)
for n in numbers + closed:
    refused(lambda: os.read(n, 1), lambda: os.write(n, b'x'), lambda: os.fstat(n), lambda: os.dup(n),
            lambda: os.dup2(n, 9), lambda: os.close(n), lambda: os.lseek(n, 0, 0),
            lambda: os.ftruncate(n, 0), lambda: os.open('file', os.O_RDONLY, dir_fd=n),
            lambda: os.stat('file', dir_fd=n), lambda: os.fsync(n), lambda: os.pread(n, 1, 0),
            lambda: os.isatty(n) or os.fstat(n), lambda: os.set_blocking(n, False),
            lambda: socket.socket(fileno=n).recv(1))
";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "content").unwrap();
    let mut builder = program(code);
    builder.mount(folder.path(), "/in", Access::ReadWrite).unwrap();
    assert_eq!(printed(&mut builder).await, "");
}

#[tokio::test]
async fn copies_over_the_numbers_of_the_mounts() {
    let code = "
import os
kept = os.dup(1)
file = os.open('/in/file', os.O_RDONLY)
# The mounts' own are among them: without them there are no files, and nothing else either.
for number in range(3, 64):
    if number not in (kept, file): os.dup2(file, number)
    for path in ['/in/../outside', '/outside', 'outside', '../outside']:
        for dir_fd in (None, number):
            try: print(os.open(path, os.O_RDONLY, dir_fd=dir_fd), path)
            except OSError: pass
os.closerange(3, kept), os.closerange(kept + 1, 100)
try: open('/in/file', 'w')
except OSError: pass
else: print('written')
os.closerange(0, 100)
try: open('/in/../outside')
except OSError: os._exit(0)
os._exit(1)
";
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("in/file"), "content").unwrap();
    std::fs::write(folder.path().join("outside"), "SECRET").unwrap();
    let mut builder = program(code);
    builder
        .mount(folder.path().join("in"), "/in", Access::Read)
        .unwrap();
    assert_eq!(printed(&mut builder).await, "");
}
