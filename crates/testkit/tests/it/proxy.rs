//! The proxy's weather, seen from a client that talks to an echo server through it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use millstream_testkit::{TcpProxy, Weather};

/// Long enough for a byte to cross a busy machine, short enough to wait for in a test that expects none.
const A_WHILE: Duration = Duration::from_millis(300);

fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..read]).unwrap();
                }
            });
        }
    });
    port
}

fn connect(proxy: &TcpProxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn ping(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text)?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).map(|()| answer)
}

#[test]
fn clear_weather_passes_everything_and_counts_it() {
    let proxy = TcpProxy::start(echo_server()).unwrap();
    assert_eq!(ping(&mut connect(&proxy), b"hello").unwrap(), b"hello");
    assert_eq!(proxy.passed_bytes(), (5, 5));
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_cut_closes_open_connections_and_new_ones_until_it_clears() {
    let proxy = TcpProxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    ping(&mut stream, b"a").unwrap();
    proxy.set(Weather::Cut);
    assert!(ping(&mut stream, b"b").is_err());
    assert!(ping(&mut connect(&proxy), b"c").is_err());
    proxy.set(Weather::Clear);
    assert!(ping(&mut connect(&proxy), b"d").is_ok());
}

#[test]
fn a_stall_delivers_late_what_was_sent() {
    let proxy = TcpProxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    ping(&mut stream, b"a").unwrap();
    proxy.set(Weather::Stalled);
    stream.set_read_timeout(Some(A_WHILE)).unwrap();
    let error = ping(&mut stream, b"b").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    proxy.set(Weather::Clear);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut late = [0];
    stream.read_exact(&mut late).unwrap();
    assert_eq!(&late, b"b");
}

#[test]
fn dripping_takes_its_time_for_each_piece() {
    let proxy = TcpProxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    proxy.set(Weather::Dripping { bytes: 1, pause: Duration::from_millis(30) });
    let before = Instant::now();
    assert_eq!(ping(&mut stream, b"0123456789").unwrap(), b"0123456789");
    assert!(before.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_half_open_client_is_not_told_and_hears_nothing() {
    let proxy = TcpProxy::start(echo_server()).unwrap();
    let mut stream = connect(&proxy);
    ping(&mut stream, b"a").unwrap();
    proxy.set(Weather::HalfOpen);
    stream.set_read_timeout(Some(A_WHILE)).unwrap();
    for _ in 0..2 {
        let error = ping(&mut stream, b"b").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
    proxy.set(Weather::Clear);
    assert!(ping(&mut connect(&proxy), b"c").is_ok());
}
