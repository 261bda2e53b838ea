//! Files: wasmtime-wasi's, but what is written to them counts for the sandbox's limit.
//!
//! Ones that count first take the place of its functions that write, and of those that make files, folders and
//! links. What would go over the limit is EDQUOT, and nothing of it is done. And only files and folders are opened:
//! a named pipe, a terminal or another device would hold the host's thread until somebody writes to it.

use crate::imports::State;
use crate::limits::Account;
use bytes::Bytes;
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynOutputStream, FsResult, OutputStream, Pollable, StreamError, StreamResult};

type Result<T> = wasmtime::Result<(std::result::Result<T, ErrorCode>,)>;

/// A stream into a file.
struct Counted {
    stream: DynOutputStream,
    account: Arc<Account>,
}

impl Counted {
    fn charge(&self, bytes: usize) -> StreamResult<()> {
        match self.account.add_written(bytes as u64) {
            true => Ok(()),
            false => Err(StreamError::LastOperationFailed(
                io::Error::from(Errno::DQUOT).into(),
            )),
        }
    }
}

#[async_trait]
impl Pollable for Counted {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

// What it does not define is defined by what it does.
#[async_trait]
impl OutputStream for Counted {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.charge(bytes.len())?;
        self.stream.blocking_write_and_flush(bytes).await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

/// After wasmtime-wasi's own, whose place these take.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("wasi:filesystem/types@0.2.12")?;
    instance.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: StoreContextMut<'_, State>, (file, offset): (Resource<Descriptor>, u64)| {
            let state = store.data_mut();
            let stream = state.filesystem().write_via_stream(file, offset);
            counted(state, stream)
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: StoreContextMut<'_, State>, (file,): (Resource<Descriptor>,)| {
            let state = store.data_mut();
            let stream = state.filesystem().append_via_stream(file);
            counted(state, stream)
        },
    )?;
    // wasmtime-wasi takes EDQUOT for an unknown error.
    instance.func_wrap(
        "filesystem-error-code",
        |mut store: StoreContextMut<'_, State>, (error,): (Resource<wasmtime::Error>,)| {
            let found = store.data().table.get(&error)?.downcast_ref::<io::Error>();
            if found.and_then(Errno::from_io_error) == Some(Errno::DQUOT) {
                return Ok((Some(ErrorCode::Quota),));
            }
            Ok((store.data_mut().filesystem().filesystem_error_code(error)?,))
        },
    )?;
    instance.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, State>,
         (folder, path_flags, path, open_flags, flags): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            Box::new(async move {
                let state = store.data_mut();
                let account = state.memory.account().clone();
                let mut files = state.filesystem();
                let there = Resource::new_borrow(folder.rep());
                // No guest can make one of these, and nothing else of this one runs in between.
                match files.stat_at(there, path_flags, path.clone()).await {
                    Ok(found) if !is_file_or_folder(found.type_) => {
                        return Ok((Err(ErrorCode::Unsupported),));
                    }
                    Err(_) if open_flags.contains(OpenFlags::CREATE) && !account.add_made() => {
                        return Ok((Err(ErrorCode::Quota),));
                    }
                    _ => {}
                }
                answer(files.open_at(folder, path_flags, path, open_flags, flags).await)
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]descriptor.write",
        |mut store: StoreContextMut<'_, State>,
         (file, bytes, offset): (Resource<Descriptor>, Vec<u8>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.memory.account().add_written(bytes.len() as u64) {
                    return Ok((Err(ErrorCode::Quota),));
                }
                answer(state.filesystem().write(file, bytes, offset).await)
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]descriptor.set-size",
        |mut store: StoreContextMut<'_, State>, (file, size): (Resource<Descriptor>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                let account = state.memory.account().clone();
                answer(set_size(&mut state.filesystem(), &account, file, size).await)
            })
        },
    )?;
    add_makers(&mut instance)
}

/// What makes something that is there afterwards.
fn add_makers(instance: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    instance.func_wrap_async(
        "[method]descriptor.create-directory-at",
        |mut store: StoreContextMut<'_, State>, (folder, path): (Resource<Descriptor>, String)| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.memory.account().add_made() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                answer(state.filesystem().create_directory_at(folder, path).await)
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]descriptor.symlink-at",
        |mut store: StoreContextMut<'_, State>,
         (folder, to, path): (Resource<Descriptor>, String, String)| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.memory.account().add_made() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                answer(state.filesystem().symlink_at(folder, to, path).await)
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]descriptor.link-at",
        |mut store: StoreContextMut<'_, State>,
         (folder, follow, path, other, new): (
            Resource<Descriptor>,
            PathFlags,
            String,
            Resource<Descriptor>,
            String,
        )| {
            Box::new(async move {
                let state = store.data_mut();
                if !state.memory.account().add_made() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                answer(state.filesystem().link_at(folder, follow, path, other, new).await)
            })
        },
    )
}

/// Or a link, which is not followed then.
fn is_file_or_folder(kind: DescriptorType) -> bool {
    use DescriptorType::{Directory, RegularFile, SymbolicLink};
    matches!(kind, RegularFile | Directory | SymbolicLink)
}

/// What a file grows by counts, though its zeros may take no room.
async fn set_size(
    files: &mut WasiFilesystemCtxView<'_>,
    account: &Account,
    file: Resource<Descriptor>,
    size: u64,
) -> FsResult<()> {
    let before = files.stat(Resource::new_borrow(file.rep())).await?.size;
    match account.add_written(size.saturating_sub(before)) {
        true => files.set_size(file, size).await,
        false => Err(ErrorCode::Quota.into()),
    }
}

fn counted(
    state: &mut State,
    stream: FsResult<Resource<DynOutputStream>>,
) -> Result<Resource<DynOutputStream>> {
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return answer(Err(error)),
    };
    let counted: DynOutputStream = Box::new(Counted {
        stream: state.table.delete(stream)?,
        account: state.memory.account().clone(),
    });
    Ok((Ok(state.table.push(counted)?),))
}

fn answer<T>(result: FsResult<T>) -> Result<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        // What is no error of the guest's is one of the run.
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
