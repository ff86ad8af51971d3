//! The control socket's address, which has to fit into 107 bytes however deep the project lies.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
};

/// The socket's name in the data directory.
const NAME: &str = "millstream.sock";

/// `sockaddr_un.sun_path` without its final zero byte (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Calls `with` with a path of the socket that is short enough: the plain one, or one through a descriptor of its directory.
fn with_short_path<T>(data: &Path, with: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = data.join(NAME);
    if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
        return with(&path);
    }
    let directory = File::open(data)?;
    with(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(NAME))
}

/// Connects to the instance that serves the socket.
pub(super) fn connect(data: &Path) -> io::Result<UnixStream> {
    with_short_path(data, |path| UnixStream::connect(path))
}

/// Listens. The caller holds the project's lock, so a socket that lies there is a dead one's.
pub(super) fn listen(data: &Path) -> io::Result<UnixListener> {
    remove(data)?;
    with_short_path(data, |path| UnixListener::bind(path))
}

/// Removes the socket's file.
pub(super) fn remove(data: &Path) -> io::Result<()> {
    match std::fs::remove_file(data.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_in_a_deep_directory_can_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let listener = listen(&deep).unwrap();
        connect(&deep).unwrap();
        listener.accept().unwrap();
        drop(listener);
        assert!(connect(&deep).is_err());
        drop(listen(&deep).unwrap());
    }
}
