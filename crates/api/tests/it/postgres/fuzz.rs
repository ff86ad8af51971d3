//! Conversations that no client would have: cut, flipped, made up, and good messages in any order. Whatever is sent, no thread panics, nobody is kept
//! waiting, and the next client is served.
//!
//! `make fuzz` goes on for minutes; what fails prints its seed, and `MILLSTREAM_SEED` repeats it.

use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    fixture::{Fixture, PATIENCE},
    raw::{message, startup, Raw},
};

/// Conversations of a run that is part of the suite.
const TRIES: u64 = 400;

/// Messages of one made of good ones.
const MESSAGES_MAX: usize = 12;

/// How often a client looks whether others are still served.
const CHECK_EVERY: u64 = 50;

/// Numbers that are the same for the same seed (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        // Spread, as neighbouring seeds would begin alike; zero would stay zero.
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.next(of.len())]
    }
}

/// A good conversation, as bytes: prepares, binds, describes, runs, closes.
fn conversation() -> Vec<u8> {
    let mut bytes = startup(&[("user", "ann"), ("database", "shop")]);
    bytes.extend(message(b'Q', b"SELECT 1; SELECT * FROM orders\0"));
    bytes.extend(message(b'P', b"s\0SELECT $1::int + 1, $2::text\0\0\x01\0\0\0\x17"));
    bytes.extend(message(b'B', b"p\0s\0\0\x01\0\0\0\x02\0\0\0\x02\x34\x32\xff\xff\xff\xff\0\x01\0\x01"));
    bytes.extend(message(b'D', b"Pp\0"));
    bytes.extend(message(b'E', b"p\0\0\0\0\x01"));
    bytes.extend(message(b'C', b"Sp\0"));
    bytes.extend(message(b'S', b""));
    bytes.extend(message(b'Q', b"SELECT relname FROM pg_catalog.pg_class WHERE oid = 'orders'::regclass\0"));
    bytes.extend(message(b'X', b""));
    bytes
}

/// Statements of every kind that is told apart, right and wrong.
const STATEMENTS: [&str; 24] = [
    "",
    ";",
    "SELECT 1",
    "SELECT $1::int, $2",
    "SELECT * FROM shop.orders",
    "SELECT $1 FROM nowhere",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SET millstream.as_of = '0/1'",
    "SET TIME ZONE 'UTC'",
    "SHOW all",
    "RESET ALL",
    "DISCARD ALL",
    "DECLARE c CURSOR FOR SELECT * FROM shop.orders",
    "FETCH 2 FROM c",
    "CLOSE c",
    "COPY shop.orders TO STDOUT (FORMAT csv)",
    "COPY shop.orders FROM STDIN",
    "INSERT INTO shop.orders VALUES (1)",
    "SELECT oid, relname FROM pg_class WHERE relname ~ '^(o|p)$'",
    "SELECT pg_catalog.format_type($1, $2)",
    "SELECT 'unended",
    "DEALLOCATE ALL; SELECT 1/0; SELECT '{1,2}'::int[]",
];

/// Messages with their counts and names right, in an order by chance, of values by chance.
fn made_up(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = startup(&[("user", "ann"), ("database", "shop")]);
    let names: [&[u8]; 4] = [b"", b"s", b"p", b"another"];
    for _ in 0..=chance.next(MESSAGES_MAX) {
        let mut body = Vec::new();
        let name = chance.one(&names);
        let text = |body: &mut Vec<u8>, text: &[u8]| {
            body.extend_from_slice(text);
            body.push(0);
        };
        let letter = chance.next(11);
        let letter = match letter {
            0 | 1 => {
                text(&mut body, chance.one(&STATEMENTS).as_bytes());
                b'Q'
            }
            2 | 3 => {
                text(&mut body, name);
                text(&mut body, chance.one(&STATEMENTS).as_bytes());
                let types = chance.next(4);
                body.extend((types as u16).to_be_bytes());
                for _ in 0..types {
                    body.extend((chance.next(3_000) as u32).to_be_bytes());
                }
                b'P'
            }
            4 | 5 => {
                text(&mut body, chance.one(&names));
                text(&mut body, name);
                let formats = chance.next(3);
                body.extend((formats as u16).to_be_bytes());
                body.extend((0..formats).flat_map(|_| (chance.next(3) as u16).to_be_bytes()));
                let values = chance.next(4);
                body.extend((values as u16).to_be_bytes());
                for _ in 0..values {
                    let length = chance.next(10) as i32 - 1;
                    body.extend(length.to_be_bytes());
                    body.extend((0..length.max(0)).map(|_| chance.next(256) as u8));
                }
                let results = chance.next(3);
                body.extend((results as u16).to_be_bytes());
                body.extend((0..results).flat_map(|_| (chance.next(2) as u16).to_be_bytes()));
                b'B'
            }
            6 => {
                body.push(b"SPx"[chance.next(3)]);
                text(&mut body, name);
                b'D'
            }
            7 => {
                text(&mut body, name);
                body.extend((chance.next(5) as i32 - 1).to_be_bytes());
                b'E'
            }
            8 => {
                body.push(b"SP"[chance.next(2)]);
                text(&mut body, name);
                b'C'
            }
            9 => b'S',
            _ => b"HdcfFp"[chance.next(6)],
        };
        bytes.extend(message(letter, &body));
    }
    bytes
}

/// The bytes of one try.
fn bytes_of(seed: u64) -> Vec<u8> {
    let mut chance = Chance::of(seed);
    let kind = chance.next(6);
    let mut bytes = if chance.next(2) == 0 { conversation() } else { made_up(&mut chance) };
    let begin = startup(&[("user", "ann"), ("database", "shop")]).len();
    match kind {
        0 => bytes.truncate(chance.next(bytes.len())),
        1 => {
            for _ in 0..=chance.next(8) {
                let at = chance.next(bytes.len());
                bytes[at] = chance.next(256) as u8;
            }
        }
        // Behind a good beginning, so that it is not refused for its first message.
        2 => {
            for _ in 0..=chance.next(8) {
                let at = begin + chance.next(bytes.len() - begin);
                bytes[at] ^= 1 << chance.next(8);
            }
        }
        3 => bytes = (0..chance.next(200)).map(|_| chance.next(256) as u8).collect(),
        _ => {}
    }
    bytes
}

/// Panics of the server's threads. One ends only its own client, so that nobody else would notice.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().name().is_some_and(|name| name.starts_with("postgres-")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[test]
fn no_bytes_bring_the_server_down_or_hold_it_up() {
    count_panics();
    let seconds = number("MILLSTREAM_FUZZ_SECONDS");
    // By the clock where it is to find something new, the same each time where it is to show that nothing has broken.
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() << 20;
    let first = number("MILLSTREAM_SEED").unwrap_or(if seconds.is_some() { clock } else { 1 });
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(u64::from(u32::MAX)));
    let tries =
        if number("MILLSTREAM_SEED").is_some() { 1 } else { seconds.map_or(TRIES, |_| u64::MAX >> 1) };

    let fixture = Fixture::with(|config| config.idle_max = Duration::from_secs(5));
    let mut done = 0;
    for seed in first..first + tries {
        if Instant::now() > until {
            break;
        }
        let bytes = bytes_of(seed);
        let mut stream = TcpStream::connect(fixture.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may have closed it before everything is written.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(Shutdown::Write));
        let mut heard = Vec::new();
        if let Err(error) = stream.read_to_end(&mut heard) {
            let hangs = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(!hangs, "MILLSTREAM_SEED={seed} hangs: {bytes:?}");
        }
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "MILLSTREAM_SEED={seed} is a panic: {bytes:?}");
        done += 1;
        if done % CHECK_EVERY == 0 {
            assert_eq!(
                Raw::connect(fixture.address()).rows("SELECT 1"),
                Ok(vec!["1".into()]),
                "behind {seed}"
            );
        }
    }
    assert_eq!(Raw::connect(fixture.address()).rows("SELECT 1"), Ok(vec!["1".into()]));
    println!("{done} conversations, from seed {first} on");
}
