//! Socket options: one number each. Two plain system calls.

use super::imports::{Family, SocketOption};
use crate::errno::{self, Errno};
use std::ffi::c_int;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of a kernel buffer that a program may ask for; the kernel's own limit is often lower.
const BUFFER: c_int = 4 << 20;

/// Level and name of an option for the system calls.
fn place(option: SocketOption, family: Family) -> (c_int, c_int) {
    use SocketOption as O;
    let v6 = family == Family::Inet6;
    match option {
        O::Error => (libc::SOL_SOCKET, libc::SO_ERROR),
        O::ReuseAddress => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        O::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        O::Broadcast => (libc::SOL_SOCKET, libc::SO_BROADCAST),
        O::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        O::KeepIdle => (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
        O::KeepInterval => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        O::KeepCount => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        O::NoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        O::Cork => (libc::IPPROTO_TCP, libc::TCP_CORK),
        O::QuickAck => (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
        O::UserTimeout => (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
        O::DeferAccept => (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        O::MaxSegment => (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
        O::Linger => (libc::SOL_SOCKET, libc::SO_LINGER),
        O::ReceiveBuffer => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        O::SendBuffer => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        O::ReceiveLow => (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
        O::V6Only => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        O::TypeOfService => (libc::IPPROTO_IP, libc::IP_TOS),
        O::TimeToLive => (libc::IPPROTO_IP, libc::IP_TTL),
        O::HopLimit => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        O::MulticastLoop if v6 => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        O::MulticastLoop => (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
        O::MulticastTimeToLive if v6 => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
        O::MulticastTimeToLive => (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
        O::OutOfBandInline => (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    }
}

/// Any option but [`SocketOption::Linger`], which the table keeps.
pub(super) fn get(fd: BorrowedFd<'_>, option: SocketOption, family: Family) -> Result<i64, Errno> {
    let (level, name) = place(option, family);
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` is a valid place of `length` bytes, and the descriptor is open.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match done {
        0 if option == SocketOption::Error => Ok(errno::of_raw(value).into()),
        0 => Ok(value.into()),
        _ => Err(errno::of(&std::io::Error::last_os_error())),
    }
}

pub(super) fn set(fd: BorrowedFd<'_>, option: SocketOption, family: Family, value: i64) -> Result<(), Errno> {
    let mut value = c_int::try_from(value).map_err(|_| errno::INVAL)?;
    match option {
        SocketOption::Error => return Err(errno::NOPROTOOPT),
        SocketOption::ReceiveBuffer | SocketOption::SendBuffer => value = value.clamp(0, BUFFER),
        SocketOption::Linger if value == 0 => return set_raw(fd, place(option, family), &[1, 0]),
        SocketOption::Linger => return set_raw(fd, place(option, family), &[0, 0]),
        _ => {}
    }
    set_raw(fd, place(option, family), &[value])
}

/// `value` is an int, or a `struct linger` of two.
fn set_raw(fd: BorrowedFd<'_>, (level, name): (c_int, c_int), value: &[c_int]) -> Result<(), Errno> {
    let length = size_of_val(value) as libc::socklen_t;
    // SAFETY: `value` is valid for `length` bytes, and the descriptor is open.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    match done {
        0 => Ok(()),
        _ => Err(errno::of(&std::io::Error::last_os_error())),
    }
}
