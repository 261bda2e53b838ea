//! WASI preview 1's error numbers, and the kernel's in their terms.

pub(crate) type Errno = u16;

pub(crate) const AGAIN: Errno = 6;
pub(crate) const BADF: Errno = 8;
pub(crate) const INPROGRESS: Errno = 26;
pub(crate) const INVAL: Errno = 28;
pub(crate) const IO: Errno = 29;
pub(crate) const MFILE: Errno = 33;
pub(crate) const NOENT: Errno = 44;
pub(crate) const NOMEM: Errno = 48;
pub(crate) const NOPROTOOPT: Errno = 50;
pub(crate) const NOSPC: Errno = 51;
pub(crate) const OPNOTSUPP: Errno = 58;
pub(crate) const PIPE: Errno = 64;
pub(crate) const NOTCAPABLE: Errno = 76;

/// The number for an error of a system call.
pub(crate) fn of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(IO, of_raw)
}

/// The number for one of Linux; 0 stays 0.
pub(crate) fn of_raw(raw: i32) -> Errno {
    match raw {
        0 => 0,
        libc::EACCES => 2,
        libc::EADDRINUSE => 3,
        libc::EADDRNOTAVAIL => 4,
        libc::EAFNOSUPPORT | libc::EPFNOSUPPORT => 5,
        libc::EAGAIN => AGAIN,
        libc::EALREADY => 7,
        libc::EBADF => BADF,
        libc::ECONNABORTED => 13,
        libc::ECONNREFUSED => 14,
        libc::ECONNRESET => 15,
        libc::EDESTADDRREQ => 17,
        libc::EDOM => 18,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => 23,
        libc::EINPROGRESS => INPROGRESS,
        libc::EINTR => 27,
        libc::EINVAL => INVAL,
        libc::EISCONN => 30,
        libc::EMFILE => MFILE,
        libc::EMSGSIZE => 35,
        libc::ENETDOWN => 38,
        libc::ENETRESET => 39,
        libc::ENETUNREACH => 40,
        libc::ENFILE => 41,
        libc::ENOBUFS => 42,
        libc::ENODEV => 43,
        libc::ENOENT => NOENT,
        libc::ENOMEM => 48,
        libc::ENOPROTOOPT => NOPROTOOPT,
        libc::ENOSPC => NOSPC,
        libc::ENOTCONN => 53,
        libc::ENOTSOCK => 57,
        libc::EOPNOTSUPP => OPNOTSUPP,
        libc::EPERM => 63,
        libc::EPIPE | libc::ESHUTDOWN => PIPE,
        libc::EPROTO => 65,
        libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT => 66,
        libc::EPROTOTYPE => 67,
        libc::ETIMEDOUT => 73,
        _ => IO,
    }
}
