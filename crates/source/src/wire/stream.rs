//! The byte stream to a server: TCP or a Unix socket, plain or under TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{lookup_host, TcpStream, UnixStream},
};
use tokio_rustls::{client::TlsStream, TlsConnector};

use crate::{
    config::{Host, Ssl, SslMode},
    error::{Result, SourceError},
    tls,
};

/// A silent peer is asked after this long whether it is still there …
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// … again at this interval …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// … and given up after this many: 40 s in all, below the minute in which a cut network must be noticed.
const KEEPALIVE_RETRIES: u32 = 5;
/// Sent bytes that nobody confirms for this long end the connection.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(40);

/// A connected stream.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to one host, TLS included. Not bounded in time: the caller is.
    pub(crate) async fn connect(host: &Host, ssl: &Ssl, keepalives_idle: Duration) -> Result<Stream> {
        let address = host.to_string();
        let unreachable = |error: io::Error| SourceError::Unreachable {
            address: address.clone(),
            reason: error.to_string(),
        };
        let (name, lookup, port) = match host {
            Host::Unix(path) => {
                // As in libpq, sslmode says nothing about a socket that never leaves the machine.
                return Ok(Stream::Unix(UnixStream::connect(path).await.map_err(unreachable)?));
            }
            Host::Tcp { name, address, port } => (name, address.as_ref().unwrap_or(name), *port),
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut connected = None;
        for candidate in lookup_host((lookup.as_str(), port)).await.map_err(unreachable)? {
            match TcpStream::connect(candidate).await {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let stream = connected.ok_or_else(|| unreachable(last))?;
        tune(&stream, keepalives_idle).map_err(unreachable)?;
        if ssl.mode == SslMode::Disable {
            return Ok(Stream::Tcp(stream));
        }
        encrypt(stream, name, ssl, &address).await
    }

    /// The server's certificate, if the stream is under TLS.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Stream::Tls(stream) => stream.get_ref().1.peer_certificates()?.first().map(|der| der.as_ref()),
            _ => None,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

fn tune(stream: &TcpStream, keepalives_idle: Duration) -> io::Result<()> {
    // Acknowledgements are small and must not wait for company.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(keepalives_idle).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_RETRIES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNCONFIRMED_MAX))?;
    Ok(())
}

/// PostgreSQL documentation, "SSL Session Encryption": one byte asks, one byte answers.
async fn encrypt(mut stream: TcpStream, name: &str, ssl: &Ssl, address: &str) -> Result<Stream> {
    let failed = |reason: String| SourceError::Tls { address: address.to_owned(), reason };
    let unreachable = |error: io::Error| SourceError::Unreachable {
        address: address.to_owned(),
        reason: format!("while asking for TLS: {error}"),
    };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(unreachable)?;
    match stream.read_u8().await.map_err(unreachable)? {
        b'S' => {}
        b'N' if ssl.mode == SslMode::Prefer => return Ok(Stream::Tcp(stream)),
        b'N' => return Err(failed("the server offers none".into())),
        _ => return Err(failed("the server does not speak PostgreSQL's protocol".into())),
    }
    let config = tls::client_config(ssl, address)?;
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| failed(format!("`{name}` is neither a host name nor an address")))?;
    match TlsConnector::from(config).connect(server_name, stream).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(failed(tls::handshake_reason(&error))),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
