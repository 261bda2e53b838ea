//! The functions of `sockets`, and its types as the guest's memory has them. All of them return at once.

use super::table::Handle;
use crate::errno::Errno;
use crate::imports::State;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList, WasmStr, flags};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Family {
    #[component(name = "inet")]
    Inet,
    #[component(name = "inet6")]
    Inet6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Kind {
    #[component(name = "stream")]
    Stream,
    #[component(name = "datagram")]
    Datagram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Direction {
    #[component(name = "read")]
    Read,
    #[component(name = "write")]
    Write,
    #[component(name = "both")]
    Both,
}

flags! {
    Readiness {
        #[component(name = "readable")]
        const READABLE;
        #[component(name = "writable")]
        const WRITABLE;
        #[component(name = "error")]
        const ERROR;
        #[component(name = "hangup")]
        const HANGUP;
        #[component(name = "read-hangup")]
        const READ_HANGUP;
        #[component(name = "urgent")]
        const URGENT;
    }
}

flags! {
    Message {
        #[component(name = "peek")]
        const PEEK;
        #[component(name = "out-of-band")]
        const OUT_OF_BAND;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[allow(dead_code, reason = "`Lift` makes the values")]
#[component(enum)]
#[repr(u8)]
pub(crate) enum SocketOption {
    #[component(name = "error")]
    Error,
    #[component(name = "reuse-address")]
    ReuseAddress,
    #[component(name = "reuse-port")]
    ReusePort,
    #[component(name = "broadcast")]
    Broadcast,
    #[component(name = "keep-alive")]
    KeepAlive,
    #[component(name = "keep-idle")]
    KeepIdle,
    #[component(name = "keep-interval")]
    KeepInterval,
    #[component(name = "keep-count")]
    KeepCount,
    #[component(name = "no-delay")]
    NoDelay,
    #[component(name = "cork")]
    Cork,
    #[component(name = "quick-ack")]
    QuickAck,
    #[component(name = "user-timeout")]
    UserTimeout,
    #[component(name = "defer-accept")]
    DeferAccept,
    #[component(name = "max-segment")]
    MaxSegment,
    #[component(name = "linger")]
    Linger,
    #[component(name = "receive-buffer")]
    ReceiveBuffer,
    #[component(name = "send-buffer")]
    SendBuffer,
    #[component(name = "receive-low")]
    ReceiveLow,
    #[component(name = "v6-only")]
    V6Only,
    #[component(name = "type-of-service")]
    TypeOfService,
    #[component(name = "time-to-live")]
    TimeToLive,
    #[component(name = "hop-limit")]
    HopLimit,
    #[component(name = "multicast-loop")]
    MulticastLoop,
    #[component(name = "multicast-time-to-live")]
    MulticastTimeToLive,
    #[component(name = "out-of-band-inline")]
    OutOfBandInline,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct Address {
    family: Family,
    port: u16,
    high: u64,
    low: u64,
    scope: u32,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let port = address.port();
        match address {
            SocketAddr::V4(address) => Address {
                family: Family::Inet,
                port,
                high: 0,
                low: address.ip().to_bits().into(),
                scope: 0,
            },
            SocketAddr::V6(address) => {
                let bits = address.ip().to_bits();
                Address {
                    family: Family::Inet6,
                    port,
                    high: (bits >> 64) as u64,
                    low: bits as u64,
                    scope: address.scope_id(),
                }
            }
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> SocketAddr {
        match address.family {
            Family::Inet => (Ipv4Addr::from_bits(address.low as u32), address.port).into(),
            Family::Inet6 => {
                let ip = Ipv6Addr::from_bits(u128::from(address.high) << 64 | u128::from(address.low));
                SocketAddrV6::new(ip, address.port, 0, address.scope).into()
            }
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Address {
        SocketAddr::new(address, 0).into()
    }
}

type Store<'a> = StoreContextMut<'a, State>;
type Outcome<T> = wasmtime::Result<(Result<T, Errno>,)>;

/// Adds the functions to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_addressing(linker)?;
    add_transfer(linker)?;
    add_names(linker)?;
    add_waiting(linker)
}

const INSTANCE: &str = "vtwasm:host/sockets@0.1.0";

fn add_addressing(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(INSTANCE)?;
    instance.func_wrap(
        "open",
        |store: Store<'_>, (family, kind): (Family, Kind)| -> Outcome<Handle> {
            Ok((store.data().net.open(family, kind),))
        },
    )?;
    instance.func_wrap(
        "bind",
        |store: Store<'_>, (socket, local): (Handle, Address)| -> Outcome<()> {
            Ok((store.data().net.bind(socket, local.into()),))
        },
    )?;
    instance.func_wrap(
        "listen",
        |store: Store<'_>, (socket, backlog): (Handle, u32)| -> Outcome<()> {
            Ok((store.data().net.listen(socket, backlog),))
        },
    )?;
    instance.func_wrap(
        "accept",
        |store: Store<'_>, (socket,): (Handle,)| -> Outcome<(Handle, Address)> {
            let accepted = store.data().net.accept(socket);
            Ok((accepted.map(|(handle, remote)| (handle, remote.into())),))
        },
    )?;
    instance.func_wrap(
        "connect",
        |store: Store<'_>, (socket, remote): (Handle, Address)| -> Outcome<()> {
            Ok((store.data().net.connect(socket, remote.into()),))
        },
    )?;
    instance.func_wrap(
        "disconnect",
        |store: Store<'_>, (socket,): (Handle,)| -> Outcome<()> {
            Ok((store.data().net.disconnect(socket),))
        },
    )?;
    instance.func_wrap(
        "shutdown",
        |store: Store<'_>, (socket, which): (Handle, Direction)| -> Outcome<()> {
            Ok((store.data().net.shutdown(socket, which),))
        },
    )?;
    instance.func_wrap(
        "local-address",
        |store: Store<'_>, (socket,): (Handle,)| -> Outcome<Address> {
            Ok((store.data().net.local_address(socket).map(Address::from),))
        },
    )?;
    instance.func_wrap(
        "remote-address",
        |store: Store<'_>, (socket,): (Handle,)| -> Outcome<Address> {
            Ok((store.data().net.remote_address(socket).map(Address::from),))
        },
    )
}

fn add_transfer(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Bytes = (Vec<u8>, u32);
    type BytesFrom = (Vec<u8>, u32, Address);
    let mut instance = linker.instance(INSTANCE)?;
    instance.func_wrap(
        "get-option",
        |store: Store<'_>, (socket, name): (Handle, SocketOption)| -> Outcome<i64> {
            Ok((store.data().net.get_option(socket, name),))
        },
    )?;
    instance.func_wrap(
        "set-option",
        |store: Store<'_>, (socket, name, value): (Handle, SocketOption, i64)| -> Outcome<()> {
            Ok((store.data().net.set_option(socket, name, value),))
        },
    )?;
    instance.func_wrap(
        "available",
        |store: Store<'_>, (socket,): (Handle,)| -> Outcome<u32> {
            Ok((store.data().net.available(socket),))
        },
    )?;
    instance.func_wrap(
        "receive",
        |store: Store<'_>, (socket, length, how): (Handle, u32, Message)| -> Outcome<Bytes> {
            let received = store.data().net.receive(socket, length, how);
            Ok((received.map(|(bytes, whole, _)| (bytes, whole)),))
        },
    )?;
    instance.func_wrap(
        "receive-from",
        |store: Store<'_>, (socket, length, how): (Handle, u32, Message)| -> Outcome<BytesFrom> {
            let received = store.data().net.receive(socket, length, how);
            Ok((received.map(|(bytes, whole, from)| (bytes, whole, from.into())),))
        },
    )?;
    instance.func_wrap(
        "send",
        |store: Store<'_>, (socket, bytes, how): (Handle, WasmList<u8>, Message)| -> Outcome<u32> {
            // From the guest's memory straight into the kernel.
            Ok((store.data().net.send(socket, bytes.as_le_slice(&store), how),))
        },
    )?;
    instance.func_wrap(
        "send-to",
        |store: Store<'_>,
         (socket, bytes, how, remote): (Handle, WasmList<u8>, Message, Address)|
         -> Outcome<u32> {
            let net = &store.data().net;
            Ok((net.send_to(socket, bytes.as_le_slice(&store), how, remote.into()),))
        },
    )?;
    instance.func_wrap("close", |store: Store<'_>, (handle,): (Handle,)| -> Outcome<()> {
        Ok((store.data().net.close(handle),))
    })
}

fn add_names(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(INSTANCE)?;
    instance.func_wrap(
        "look-up",
        |store: Store<'_>, (name,): (WasmStr,)| -> Outcome<Handle> {
            let name = name.to_str(&store)?;
            Ok((store.data().net.look_up(&name),))
        },
    )?;
    instance.func_wrap(
        "addresses",
        |store: Store<'_>, (look_up,): (Handle,)| -> Outcome<Vec<Address>> {
            let found = store.data().net.addresses(look_up);
            Ok((found.map(|found| found.into_iter().map(Address::from).collect()),))
        },
    )?;
    instance.func_wrap(
        "look-up-address",
        |store: Store<'_>, (address,): (Address,)| -> Outcome<Handle> {
            let address = SocketAddr::from(address);
            Ok((store.data().net.look_up_address(address.ip()),))
        },
    )?;
    instance.func_wrap(
        "name",
        |store: Store<'_>, (look_up,): (Handle,)| -> Outcome<String> {
            Ok((store.data().net.name(look_up),))
        },
    )?;
    instance.func_wrap("refusal", |store: Store<'_>, (): ()| {
        Ok((store.data().net.refusal(),))
    })
}

fn add_waiting(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(INSTANCE)?;
    instance.func_wrap("ready", |store: Store<'_>, (handle,): (Handle,)| {
        Ok((store.data().net.ready(handle),))
    })?;
    instance.func_wrap(
        "subscribe",
        |store: Store<'_>, (handle, interest): (Handle, Readiness)| {
            Ok((store.data().net.subscribe(handle, interest),))
        },
    )?;
    instance.func_wrap("poller", |store: Store<'_>, (): ()| -> Outcome<Handle> {
        Ok((store.data().net.poller(),))
    })?;
    instance.func_wrap(
        "watch",
        |store: Store<'_>,
         (poller, socket, interest, edge): (Handle, Handle, Readiness, bool)|
         -> Outcome<()> { Ok((store.data().net.watch(poller, socket, interest, edge),)) },
    )?;
    instance.func_wrap("events", |store: Store<'_>, (poller, max): (Handle, u32)| {
        Ok((store.data().net.events(poller, max),))
    })
}
