//! PostgreSQL's clients against the wire protocol's server.

mod clients;
mod fixture;
mod raw;
mod session;

#[test]
fn dev_serve() {
    if std::env::var_os("DEV_SERVE").is_none() { return; }
    let f = fixture::Fixture::new();
    std::fs::write("/tmp/wire.port", f.address().port().to_string()).unwrap();
    loop { std::thread::sleep(std::time::Duration::from_secs(1)); if !std::path::Path::new("/tmp/wire.port").exists() { break; } }
}
