//! The calls on one socket. None of them waits: what would block is EAGAIN.

use super::imports::{Direction, Family, Kind, Message, Readiness, SocketOption};
use super::options;
use super::ranges::canonical;
use super::table::{Entry, Handle, Socket};
use super::{Inner, Net};
use crate::errno::{self, Errno};
use rustix::buffer::spare_capacity;
use rustix::io::Errno as OsError;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with,
    bind, connect, connect_unspec, getpeername, getsockname, listen, recvfrom, send, sendto, shutdown,
    socket_with,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// Bytes that one call receives at most.
const RECEIVE: usize = 256 << 10;
/// Connections that may wait to be accepted; the kernel's own limit is often the same.
const BACKLOG: u32 = 4096;

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// Bytes, a datagram's whole length, and whom they come from.
pub(crate) type Received = (Vec<u8>, u32, SocketAddr);

fn errno(error: OsError) -> Errno {
    errno::of_raw(error.raw_os_error())
}

impl Net {
    pub(crate) fn open(&self, family: Family, kind: Kind) -> Result<Handle, Errno> {
        let domain = match family {
            Family::Inet => AddressFamily::INET,
            Family::Inet6 => AddressFamily::INET6,
        };
        let sort = match kind {
            Kind::Stream => SocketType::STREAM,
            Kind::Datagram => SocketType::DGRAM,
        };
        let mut inner = self.lock();
        inner.table.check_room()?;
        let fd = socket_with(domain, sort, FLAGS, None).map_err(errno)?;
        inner.table.insert(Entry::Socket(Socket::new(fd, family, kind)))
    }

    pub(crate) fn bind(&self, handle: Handle, local: SocketAddr) -> Result<(), Errno> {
        let mut inner = self.lock();
        let kind = inner.socket(handle)?.kind;
        // The kernel's choice of a port opens nothing: a stream must still listen, and a client's
        // datagrams have such a port anyway.
        let free = local.port() == 0 && (kind == Kind::Stream || self.network.permits_clients());
        if !free {
            inner.permit(self.network.check_listen(local))?;
        }
        let socket = inner.socket(handle)?;
        bind(&socket.fd, &local).map_err(errno)?;
        socket.bound = Some(local);
        Ok(())
    }

    pub(crate) fn listen(&self, handle: Handle, backlog: u32) -> Result<(), Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        let unbound = match socket.family {
            Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = socket.bound.unwrap_or(SocketAddr::new(unbound, 0));
        inner.permit(self.network.check_listen(local))?;
        let backlog = backlog.min(BACKLOG) as i32;
        listen(&inner.socket(handle)?.fd, backlog).map_err(errno)
    }

    pub(crate) fn accept(&self, handle: Handle) -> Result<(Handle, SocketAddr), Errno> {
        let mut inner = self.lock();
        inner.table.check_room()?;
        let socket = inner.socket(handle)?;
        let (family, kind) = (socket.family, socket.kind);
        let accepted = acceptfrom_with(&socket.fd, FLAGS);
        let (fd, remote) = socket.note(Readiness::READABLE, accepted)?;
        let remote = address(remote, family);
        let accepted = inner.table.insert(Entry::Socket(Socket::new(fd, family, kind)))?;
        Ok((accepted, remote))
    }

    pub(crate) fn connect(&self, handle: Handle, remote: SocketAddr) -> Result<(), Errno> {
        let mut inner = self.lock();
        inner.socket(handle)?;
        let remote = inner.permit_remote(self, remote)?;
        let socket = inner.socket(handle)?;
        match connect(&socket.fd, &remote).map_err(errno) {
            Err(errno::INPROGRESS) => {
                socket.blocked |= Readiness::WRITABLE;
                Err(errno::INPROGRESS)
            }
            result => result,
        }
    }

    pub(crate) fn disconnect(&self, handle: Handle) -> Result<(), Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        match socket.kind {
            Kind::Datagram => connect_unspec(&socket.fd).map_err(errno),
            Kind::Stream => Err(errno::OPNOTSUPP),
        }
    }

    pub(crate) fn shutdown(&self, handle: Handle, which: Direction) -> Result<(), Errno> {
        let how = match which {
            Direction::Read => Shutdown::Read,
            Direction::Write => Shutdown::Write,
            Direction::Both => Shutdown::Both,
        };
        shutdown(&self.lock().socket(handle)?.fd, how).map_err(errno)
    }

    pub(crate) fn local_address(&self, handle: Handle) -> Result<SocketAddr, Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        let local = getsockname(&socket.fd).map_err(errno)?;
        Ok(address(Some(local), socket.family))
    }

    pub(crate) fn remote_address(&self, handle: Handle) -> Result<SocketAddr, Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        let remote = getpeername(&socket.fd).map_err(errno)?;
        Ok(address(remote, socket.family))
    }

    pub(crate) fn get_option(&self, handle: Handle, name: SocketOption) -> Result<i64, Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        match name {
            SocketOption::Linger => Ok(socket.linger),
            name => options::get(socket.fd.as_fd(), name, socket.family),
        }
    }

    pub(crate) fn set_option(&self, handle: Handle, name: SocketOption, value: i64) -> Result<(), Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        options::set(socket.fd.as_fd(), name, socket.family, value)?;
        if name == SocketOption::Linger {
            socket.linger = value.max(-1);
        }
        Ok(())
    }

    pub(crate) fn available(&self, handle: Handle) -> Result<u32, Errno> {
        let bytes = rustix::io::ioctl_fionread(&self.lock().socket(handle)?.fd).map_err(errno)?;
        Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    pub(crate) fn receive(&self, handle: Handle, length: u32, how: Message) -> Result<Received, Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        let mut flags = RecvFlags::empty();
        flags.set(RecvFlags::PEEK, how.contains(Message::PEEK));
        flags.set(RecvFlags::OOB, how.contains(Message::OUT_OF_BAND));
        // On a stream it would throw bytes away and leave the buffer as it was, with whatever it held.
        let whole = how.contains(Message::TRUNCATE) && socket.kind == Kind::Datagram;
        flags.set(RecvFlags::TRUNC, whole);
        let mut bytes = Vec::with_capacity(RECEIVE.min(length as usize));
        let received = recvfrom(&socket.fd, spare_capacity(&mut bytes), flags);
        let awaited = match how.contains(Message::OUT_OF_BAND) {
            true => Readiness::empty(),
            false => Readiness::READABLE,
        };
        let (_, whole, from) = socket.note(awaited, received)?;
        let from = address(from, socket.family);
        inner.received += bytes.len() as u64;
        Ok((bytes, whole as u32, from))
    }

    pub(crate) fn send(&self, handle: Handle, bytes: &[u8], how: Message) -> Result<u32, Errno> {
        let mut inner = self.lock();
        let socket = inner.socket(handle)?;
        let sent = send(&socket.fd, bytes, send_flags(how));
        let sent = socket.note(Readiness::WRITABLE, sent)?;
        inner.sent += sent as u64;
        Ok(sent as u32)
    }

    pub(crate) fn send_to(
        &self,
        handle: Handle,
        bytes: &[u8],
        how: Message,
        remote: SocketAddr,
    ) -> Result<u32, Errno> {
        let mut inner = self.lock();
        inner.socket(handle)?;
        let remote = inner.permit_remote(self, remote)?;
        let socket = inner.socket(handle)?;
        let sent = sendto(&socket.fd, bytes, send_flags(how), &remote);
        let sent = socket.note(Readiness::WRITABLE, sent)?;
        inner.sent += sent as u64;
        Ok(sent as u32)
    }

    pub(crate) fn close(&self, handle: Handle) -> Result<(), Errno> {
        let mut inner = self.lock();
        let entry = inner.table.remove(handle).ok_or(errno::BADF)?;
        if matches!(entry, Entry::LookUp(_)) {
            inner.look_ups.cancel(handle);
        }
        self.forget(&mut inner, handle, entry);
        Ok(())
    }
}

impl Inner {
    /// A socket with which something is done.
    fn socket(&mut self, handle: Handle) -> Result<&mut Socket, Errno> {
        let socket = self.table.socket(handle).ok_or(errno::BADF)?;
        socket.fresh = None;
        Ok(socket)
    }

    /// The address that is really connected or sent to, if that is permitted. Linux takes an unspecified
    /// address for loopback, and so it is decided on as loopback.
    fn permit_remote(&mut self, net: &Net, mut remote: SocketAddr) -> Result<SocketAddr, Errno> {
        match remote.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => remote.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => remote.set_ip(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V6(address) if address.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED) => {
                remote.set_ip(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());
            }
            _ => {}
        }
        let judged = SocketAddr::new(canonical(remote.ip()), remote.port());
        let allowed = net.network.check_connect(judged, &self.answers);
        self.permit(allowed)?;
        Ok(remote)
    }
}

impl Socket {
    /// Remembers that a call would have blocked.
    fn note<T>(&mut self, awaited: Readiness, result: Result<T, OsError>) -> Result<T, Errno> {
        if matches!(result, Err(OsError::AGAIN)) {
            self.blocked |= awaited;
        }
        result.map_err(errno)
    }
}

fn send_flags(how: Message) -> SendFlags {
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::OOB, how.contains(Message::OUT_OF_BAND));
    flags
}

/// The kernel gives none for a stream's bytes.
fn address(address: Option<SocketAddrAny>, family: Family) -> SocketAddr {
    let unspecified = match family {
        Family::Inet => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        Family::Inet6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    address.unwrap_or(unspecified)
}
