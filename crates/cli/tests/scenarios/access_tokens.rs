//! Tokens of an issuer elsewhere in place of keys.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_testkit::PgCluster;

use crate::http::get_with;
use crate::project::{stop, Project};

const SECRET: &str = "forty bytes that only the issuer knows 42";

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |at: usize| char::from(DIGITS[(word >> (18 - 6 * at)) as usize & 63]);
        (0..=chunk.len()).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

/// A token as an issuer makes it, signed by openssl.
fn token(head: &str, claims: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let said = format!("{}.{}", base64(head.as_bytes()), base64(claims.as_bytes()));
    fs::write(directory.path().join("said"), &said).unwrap();
    let signed = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", SECRET, "-binary", "said"])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(signed.status.success());
    format!("{said}.{}", base64(&signed.stdout))
}

#[test]
fn a_token_of_the_issuer_opens_what_its_role_may_read_and_ends() {
    let cluster = PgCluster::start_default().unwrap();
    cluster
        .execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY); INSERT INTO shop.orders VALUES (1)")
        .unwrap();
    let project = Project::with_source(&cluster.url(), "tables: [\"shop.*\"]");
    let path = project.directory().join("millstream.yml");
    let text = fs::read_to_string(&path).unwrap();
    let access = "serve: {http: \"127.0.0.1:0\"}\napi:\n  auth: {jwt: {audience: api, algorithms: [HS256], secret: \"${JWT_SECRET}\", role_claim: group}}\n  \
                  roles: {clerk: {tables: [\"shop.*\"]}}\n";
    fs::write(&path, format!("{text}{access}")).unwrap();
    fs::write(project.directory().join(".env"), format!("JWT_SECRET=\"{SECRET}\"\n")).unwrap();
    let mut process = project.up("");
    project.await_streaming(&mut process);
    let line = process.wait_for_line("http://", Duration::from_secs(30)).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let status = |token: &str, path: &str| {
        get_with(&address, path, &format!("Authorization: Bearer {token}\r\n")).status
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let head = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    let claims = |group: &str, end: u64| {
        format!("{{\"aud\":\"api\",\"sub\":\"ann\",\"group\":\"{group}\",\"exp\":{end}}}")
    };
    let good = token(head, &claims("clerk", now + 600));
    assert_eq!(status(&good, "/tables/shop/orders"), 200);
    assert_eq!((status(&good, "/tables/shop/other"), status(&good, "/metrics")), (404, 403));
    for wrong in [
        token(head, &claims("clerk", now - 600)),
        token(head, &claims("boss", now + 600)),
        token("{\"alg\":\"none\"}", &claims("clerk", now + 600)),
        token(head, "{\"aud\":\"api\",\"group\":\"clerk\"}"),
        good[..good.len() - 3].to_owned(),
    ] {
        assert_eq!(status(&wrong, "/tables/shop/orders"), 401, "{wrong}");
    }
    // Keys are taken beside them.
    let key = project.succeed(&["keys", "create", "--role", "clerk"]);
    assert_eq!(status(key.trim(), "/tables/shop/orders"), 200);
    assert!(!process.stderr().contains(SECRET));
    stop(process);
}
