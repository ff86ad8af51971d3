//! Answers that are kept: one is given again while nothing that it was made of has changed, or while it is young.
//!
//! What an answer was made of is known: its statement's tables, and where each of them changed last. So an answer about tables that nobody
//! changes stays true for good, and costs nothing. Where they change all the time, answers are shared by all who ask the same within
//! [`FRESH_FOR`]; one of them reads, the others wait for it.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    io::Write,
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    },
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use bytes::Bytes;
use flate2::{write::GzEncoder, Compression};
use lru::LruCache;
use millstream_core::{Lsn, Role, TableName, Trust};

use super::{
    follow::{Followed, Following},
    format::Objects,
    place::{Cost, Place},
    Asked, Format, Read, Reading,
};
use crate::{host::Applied, host::Host, problem::Problem};

/// How old an answer may be where its endpoint does not say: with what the way from the source takes, less than a quarter of a second.
pub const FRESH_FOR: Duration = Duration::from_millis(150);

/// Answers kept at most.
const ANSWERS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// A larger answer is given once and not kept; with the number of them this bounds their memory, and few are as large.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Results kept of which answers are the beginning, and how large one may be: together 64 MiB at most.
const ROWS_KEPT_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
const ROWS_BYTES_MAX: usize = 256 * 1024;

/// Statements whose tables are remembered.
const STATEMENTS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// Below this, compressing saves no packet.
const GZIP_BYTES_MIN: usize = 1_024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// It, in its format.
    pub body: Bytes,
    /// Its format.
    pub format: Format,
    /// Everything committed at or before it was in it when it was read.
    pub position: Lsn,
    /// Whether there are rows behind its page.
    pub more: bool,
    /// Its name for `ETag`: another one where the answer could be another.
    pub etag: String,
    made: Made,
    compressed: OnceLock<Option<Bytes>>,
}

impl Answer {
    /// Everything committed at or before it is in the answer, known by what was applied: more than when it was read, where none of its tables has
    /// changed since.
    pub fn position(&self, applied: &Applied) -> Lsn {
        if self.made.source.moves() && self.made.is_unchanged(applied) {
            return self.position.max(applied.lsn);
        }
        self.position
    }

    /// The body compressed with gzip, where that is worth it.
    pub fn gzip(&self) -> Option<Bytes> {
        self.compressed.get_or_init(|| self.format.is_text().then(|| gzip(&self.body)).flatten()).clone()
    }
}

/// Rows as they were read.
struct Rows {
    read: Read,
    made: Made,
    /// The same, as far as they were printed.
    objects: Mutex<Objects>,
}

/// What something was read of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Of tables.
    Tables,
    /// Of a result that follows the changes when it is asked.
    Followed,
    /// Of a result that is brought forward by itself.
    Renewing,
}

/// When something was read, and of what.
#[derive(Debug, Clone)]
struct Made {
    at: Instant,
    source: Source,
    /// The tables' last change, and the generation, as known before it was read.
    changed: (Lsn, u64),
    /// What it came from.
    origin: Origin,
}

impl Made {
    /// Whether it may be given to whoever asked at a moment. Its age counts up to then: who waited for a read that took longer than `age_max` would
    /// find it too old otherwise, and read again, one behind the other.
    fn is_good(&self, asked: Instant, applied: &Applied, age_max: Duration) -> bool {
        self.changed.1 == applied.generation
            && (self.at >= asked || asked.duration_since(self.at) < age_max || self.is_unchanged(applied))
    }

    /// Whether nothing has changed that it was made of.
    fn is_unchanged(&self, applied: &Applied) -> bool {
        self.source.steady && self.source.changed(applied) == self.changed
    }
}

/// A body compressed with gzip, where that is worth it.
pub fn gzip(body: &[u8]) -> Option<Bytes> {
    if body.len() < GZIP_BYTES_MIN {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// What a statement's result follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    tables: Arc<[TableName]>,
    steady: bool,
    /// Whether it reads at a point that does not move.
    fixed: bool,
}

impl Source {
    /// Whether it reads what is there now.
    fn moves(&self) -> bool {
        !self.fixed
    }

    /// Where what it reads changed last, and the generation.
    fn changed(&self, applied: &Applied) -> (Lsn, u64) {
        let reads = |changed: &TableName| {
            self.tables.iter().any(|read| {
                read.schema.eq_ignore_ascii_case(&changed.schema)
                    && (read.name.eq_ignore_ascii_case(&changed.name)
                        || read
                            .name
                            .strip_suffix("_history")
                            .is_some_and(|table| table.eq_ignore_ascii_case(&changed.name)))
            })
        };
        let moved = applied.tables.iter().filter(|(table, _)| !self.fixed && reads(table));
        (moved.map(|(_, lsn)| *lsn).max().unwrap_or_default(), applied.generation)
    }
}

/// An answer's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    sql: Arc<str>,
    trust: Trust,
    /// What one role reads is no answer to another.
    role: Option<Arc<Role>>,
    /// As they are printed: values of other kinds are printed otherwise.
    parameters: String,
    as_of: String,
    page: super::Page,
    prefix: Option<super::Prefix>,
    format: Format,
}

impl Key {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }
}

type Sources = LruCache<(Arc<str>, Trust, Option<Arc<Role>>), Source>;

/// How often answers were made, and of what.
#[derive(Debug, Default)]
pub struct Counts {
    /// Of results that follow the changes.
    pub followed: AtomicU64,
    /// Of tables.
    pub read: AtomicU64,
    /// Statements whose results follow the changes, when the counts were last asked for.
    pub statements: AtomicU64,
}

/// The kept answers.
pub struct Answers {
    host: Arc<dyn Host>,
    reading: Reading,
    following: Following,
    counts: Counts,
    places: Mutex<LruCache<Key, Arc<Place<Answer>>>>,
    /// Rows that several answers are the beginning of.
    rows: Mutex<LruCache<Key, Arc<Place<Rows>>>>,
    /// What statements read, as of a generation.
    statements: Mutex<(u64, Sources)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// None yet.
    pub fn new(host: Arc<dyn Host>) -> Self {
        Answers {
            reading: Reading::new(host.clone()),
            following: Following::new(host.clone()),
            counts: Counts::default(),
            host,
            places: Mutex::new(LruCache::new(ANSWERS_MAX)),
            rows: Mutex::new(LruCache::new(ROWS_KEPT_MAX)),
            statements: Mutex::new((0, LruCache::new(STATEMENTS_MAX))),
        }
    }

    /// Where reads get their turn.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// How often answers were made.
    pub fn counts(&self) -> &Counts {
        self.counts.statements.store(self.following.statements(), Ordering::Relaxed);
        &self.counts
    }

    /// The program.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// What the statement's result follows from.
    pub async fn source(&self, asked: &Asked) -> Result<Source, Problem> {
        let (trust, fixed) = (asked.trust, asked.as_of.is_some());
        let generation = self.host.applied().generation;
        // Whether it may be asked at all is a question of the role, too.
        let key = (asked.sql.clone(), trust, asked.role.clone());
        {
            let mut known = lock(&self.statements);
            if known.0 != generation {
                known.0 = generation;
                known.1.clear();
            }
            if let Some(source) = known.1.get(&key) {
                return Ok(Source { fixed, ..source.clone() });
            }
        }
        const DOING: &str = "looking at the query";
        let (host, asked, role) = (self.host.clone(), asked.sql.clone(), asked.role.clone());
        let described = self
            .reading
            .with_turn(DOING, move |_| {
                let fail = |error| Problem::of(&error, DOING, trust == Trust::Guest);
                host.reader().map_err(fail)?.describe(&asked, trust, role.as_deref()).map_err(fail)
            })
            .await?;
        let source = Source { tables: described.reads.into(), steady: described.steady, fixed: false };
        lock(&self.statements).1.put(key, source.clone());
        Ok(Source { fixed, ..source })
    }

    /// The name that an answer would have now, where it can be told without reading.
    pub async fn etag(&self, asked: &Asked, format: Format) -> Result<Option<String>, Problem> {
        let source = self.source(asked).await?;
        Ok(source.steady.then(|| etag(&key(asked, format), source.changed(&self.host.applied()))))
    }

    /// The answer, at most `age_max` old where its tables have changed since.
    pub async fn answer(
        self: &Arc<Self>,
        asked: Asked,
        format: Format,
        age_max: Duration,
        doing: &'static str,
    ) -> Result<Arc<Answer>, Problem> {
        let key = key(&asked, format);
        let place = lock(&self.places).get_or_insert(key.clone(), Arc::default).clone();
        let is_good = self.is_good(|answer: &Answer| &answer.made);
        // What is made of rows that are kept is made in no time, and they are made anew by themselves.
        let of_rows = asked.whole().is_some();
        let is_good = |answer: &Answer, age| {
            is_good(answer, age) && !(of_rows && self.cost(&answer.made) == Cost::Nothing { renewed: true })
        };
        let cost = |answer: &Answer| match of_rows {
            true => Cost::Much,
            false => self.cost(&answer.made),
        };
        let answers = self.clone();
        let make = move |age| async move { answers.make(key, asked, age_max, age, doing).await };
        place.get(age_max, is_good, cost, make).await
    }

    /// Whether what is kept may be given to whoever asks now.
    fn is_good<T>(&self, made: impl Fn(&T) -> &Made) -> impl Fn(&T, Duration) -> bool {
        let (asked, host) = (Instant::now(), self.host.clone());
        move |kept, age_max| made(kept).is_good(asked, &host.applied(), age_max)
    }

    /// Makes an answer that is at most `age_max` old, of what is kept at most `age` old.
    async fn make(
        self: &Arc<Self>,
        key: Key,
        asked: Asked,
        age_max: Duration,
        age: Duration,
        doing: &'static str,
    ) -> Result<(Arc<Answer>, bool), Problem> {
        let format = key.format;
        let (read, made, printed) = match asked.whole() {
            Some(whole) => {
                let rows = self.rows(whole, age_max, doing).await?;
                let read = asked.of_whole(&rows.read);
                let is_beginning = format == Format::Json && asked.page.offset == 0;
                let first = || lock(&rows.objects).first(&rows.read.result, read.rows());
                let printed = is_beginning.then(first);
                (read, rows.made.clone(), printed)
            }
            None => {
                let Rows { read, made, .. } = self.read(asked, age, doing).await?;
                (read, made, None)
            }
        };
        let body = printed.unwrap_or_else(|| format.print(&read.result)).map_err(|error| {
            let problem = Problem::malformed(error.to_string());
            match error.hint() {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        })?;
        let etag = if made.source.steady {
            etag(&key, made.changed)
        } else {
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            format!("W/\"{:x}-{:x}\"", key.hash(), hasher.finish())
        };
        let worth_keeping = body.len() <= ANSWER_BYTES_MAX;
        let (position, more, compressed) = (read.position, read.more, OnceLock::new());
        Ok((Arc::new(Answer { body, format, position, more, etag, made, compressed }), worth_keeping))
    }

    /// The rows that several answers are the beginning of, read once for all of them.
    async fn rows(
        self: &Arc<Self>,
        asked: Asked,
        age_max: Duration,
        doing: &'static str,
    ) -> Result<Arc<Rows>, Problem> {
        // Rows are in no format yet; any will do for the key.
        let place = lock(&self.rows).get_or_insert(key(&asked, Format::ALL[0]), Arc::default).clone();
        let is_good = self.is_good(|rows: &Rows| &rows.made);
        let answers = self.clone();
        let make = move |age| async move {
            let rows = answers.read(asked, age, doing).await?;
            let batches = rows.read.result.batches.iter();
            let bytes: usize = batches.map(RecordBatch::get_array_memory_size).sum();
            Ok((Arc::new(rows), bytes <= ROWS_BYTES_MAX))
        };
        place.get(age_max, is_good, |rows: &Rows| self.cost(&rows.made), make).await
    }

    /// What it costs to make anew.
    fn cost(&self, made: &Made) -> Cost {
        match made.origin {
            Origin::Tables => Cost::Much,
            Origin::Followed => Cost::Little,
            Origin::Renewing => Cost::Nothing { renewed: self.following.has_renewed(made.at) },
        }
    }

    /// Reads it, where it follows the changes from what is at most `age` old.
    async fn read(&self, asked: Asked, age: Duration, doing: &'static str) -> Result<Rows, Problem> {
        let source = self.source(&asked).await?;
        // Before the read: what changes meanwhile makes the answer old, never another answer young.
        let (now, (changed, generation)) = (Instant::now(), source.changed(&self.host.applied()));
        let since = now.checked_sub(age).unwrap_or(now);
        if let Some(Followed { read, at, renews }) = self.following.answer(&asked, since).await {
            self.counts.followed.fetch_add(1, Ordering::Relaxed);
            // It may be of before the tables' last change.
            let changed = (changed.min(read.position), generation);
            let origin = if renews { Origin::Renewing } else { Origin::Followed };
            let objects = Mutex::default();
            return Ok(Rows { read, made: Made { at, source, changed, origin }, objects });
        }
        self.counts.read.fetch_add(1, Ordering::Relaxed);
        let made =
            Made { at: Instant::now(), source, changed: (changed, generation), origin: Origin::Tables };
        Ok(Rows { read: self.reading.read(asked, doing).await?, made, objects: Mutex::default() })
    }
}

fn key(asked: &Asked, format: Format) -> Key {
    Key {
        sql: asked.sql.clone(),
        trust: asked.trust,
        role: asked.role.clone(),
        parameters: format!("{:?}", asked.parameters),
        as_of: format!("{:?}", asked.as_of),
        page: asked.page,
        prefix: asked.prefix,
        format,
    }
}

fn etag(key: &Key, (changed, generation): (Lsn, u64)) -> String {
    format!("W/\"{:x}-{:x}-{generation:x}\"", key.hash(), changed.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(orders: u64, items: u64, generation: u64) -> Applied {
        let table = |name: &str, lsn| (TableName::new("Shop", name), Lsn(lsn));
        Applied {
            lsn: Lsn(orders.max(items)),
            generation,
            tables: vec![table("Orders", orders), table("items", items)],
            ..Applied::default()
        }
    }

    #[test]
    fn an_answer_follows_its_own_tables_and_the_generation() {
        let source = |fixed, tables: &[&str]| Source {
            tables: tables.iter().map(|name| TableName::new("shop", *name)).collect(),
            steady: true,
            fixed,
        };
        let orders = source(false, &["orders_history", "open_orders"]);
        assert_eq!(orders.changed(&applied(5, 9, 1)), (Lsn(5), 1));
        assert_eq!(source(false, &["items", "orders"]).changed(&applied(5, 9, 1)), (Lsn(9), 1));
        assert_eq!(source(true, &["items"]).changed(&applied(5, 9, 2)), (Lsn(0), 2));
        assert_eq!(source(false, &[]).changed(&applied(5, 9, 2)), (Lsn(0), 2));
    }

    #[test]
    fn an_answer_is_good_while_its_tables_rest_or_while_it_is_young() {
        let source = Source { tables: [TableName::new("shop", "items")].into(), steady: true, fixed: false };
        let answer = |steady: bool| Made {
            at: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(),
            source: Source { steady, ..source.clone() },
            changed: (Lsn(9), 1),
            origin: Origin::Tables,
        };
        let (none, minute, now) = (Duration::ZERO, Duration::from_secs(60), Instant::now());
        let good = |steady, items, generation, age_max| {
            answer(steady).is_good(now, &applied(70, items, generation), age_max)
        };
        assert!(good(true, 9, 1, none));
        assert!(!good(true, 10, 1, none));
        assert!(good(true, 10, 1, minute));
        assert!(!good(true, 9, 2, minute), "a table was read again");
        assert!(!good(false, 9, 1, none), "its time has come");
        // It is one of all that was applied while its tables rest.
        let position = |answer: Made, items| {
            let applied = applied(70, items, 1);
            let (body, etag, compressed) = (Bytes::new(), String::new(), OnceLock::new());
            Answer {
                body,
                format: Format::Json,
                position: Lsn(9),
                more: false,
                etag,
                made: answer,
                compressed,
            }
            .position(&applied)
        };
        assert_eq!((position(answer(true), 9), position(answer(true), 10)), (Lsn(70), Lsn(9)));
        assert_eq!(position(answer(false), 9), Lsn(9), "it may give something else now");
        let mut fixed = answer(true);
        (fixed.source.fixed, fixed.changed) = (true, (Lsn(0), 1));
        assert_eq!(position(fixed, 9), Lsn(9), "it reads at a point that does not move");
        // What was read since is fresh, however long it took; so is what was young when it was asked for.
        let asked = |ago: u64| now.checked_sub(Duration::from_millis(ago)).unwrap();
        let late =
            |asked, age_ms| answer(true).is_good(asked, &applied(70, 10, 1), Duration::from_millis(age_ms));
        assert!(late(asked(1_001), 0) && late(asked(950), 100) && !late(asked(850), 100));
    }
}
