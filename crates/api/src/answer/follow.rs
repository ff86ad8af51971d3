//! Answers from results that follow the changes: for statements that can be followed, and are asked often enough to be worth it.
//!
//! One thread does all of it, one question behind the other: they share what has changed. It goes before all others, where it may, for everybody's
//! answers are as old as it is late.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use millstream_core::{Lsn, Maintained, Maintainer, Trust};
use tokio::sync::oneshot;

use super::{
    read::{cut, Asked, Read},
    ready::{Ready, WANTED_FOR},
};
use crate::{host::Host, priority};

/// A statement that is read so often within [`WORTH_WITHIN`] is followed from then on.
const WORTH_READS: u32 = 3;
const WORTH_WITHIN: Duration = Duration::from_secs(10);

/// How long nobody tries to follow a statement again that could not be.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// How far apart results are brought forward by themselves at least, while somebody asks for them; and how many times as far as it takes, so that
/// most of a processor is left where it takes long.
const RENEW_EVERY_MIN: Duration = Duration::from_millis(60);
const RENEW_SHARE: u32 = 3;

/// How soon the thread looks again where nothing was applied since the last round: an answer is older by as much.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How often the program is asked whether it has come so far that something can be followed.
const BEGIN_AGAIN: Duration = Duration::from_millis(500);

/// Statements that reads are counted of. A project's own are few; the count begins anew where they are more.
const STATEMENTS_MAX: usize = 1_024;

/// What became of a statement.
enum Standing {
    /// It was read so often since then.
    Read { times: u32, since: Instant },
    /// It is followed, as far as is known here.
    Followed,
    /// It can't be, or nobody knows yet whether it can.
    Refused { until: Instant },
}

/// What the thread is asked for.
enum Order {
    /// To begin to follow a statement.
    Follow(Arc<str>),
    /// An answer no older than a moment.
    Answer { asked: Asked, since: Instant, to: oneshot::Sender<Option<Maintained>> },
}

/// An answer from a result that is followed.
pub(super) struct Followed {
    pub(super) read: Read,
    /// When it was all there was.
    pub(super) at: Instant,
    /// Whether the result is brought forward by itself.
    pub(super) renews: bool,
}

/// The statements that are followed.
pub(super) struct Following {
    host: Arc<dyn Host>,
    orders: mpsc::Sender<Order>,
    statements: Arc<Statements>,
    ready: Arc<Ready>,
    renewed: Arc<Renewed>,
}

/// Up to when the results are known that are brought forward by themselves.
struct Renewed {
    /// Where times begin.
    began: Instant,
    microseconds: AtomicU64,
}

impl Default for Renewed {
    fn default() -> Self {
        Renewed { began: Instant::now(), microseconds: AtomicU64::new(0) }
    }
}

impl Renewed {
    fn reach(&self, at: Instant) {
        let microseconds = at.saturating_duration_since(self.began).as_micros();
        self.microseconds.fetch_max(u64::try_from(microseconds).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    fn at(&self) -> Instant {
        self.began + Duration::from_micros(self.microseconds.load(Ordering::Acquire))
    }
}

#[derive(Default)]
struct Statements {
    standing: Mutex<HashMap<Arc<str>, Standing>>,
    /// Whether a statement's tables are being read for the first time, which may take seconds: nobody waits for that.
    building: AtomicBool,
}

impl Following {
    /// Of a program. The thread ends with what is returned.
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        let (orders, taken) = mpsc::channel();
        let (statements, ready, renewed): (Arc<Statements>, Arc<Ready>, Arc<Renewed>) = Default::default();
        let follower = Follower {
            host: host.clone(),
            maintainer: None,
            statements: statements.clone(),
            ready: ready.clone(),
            renewal: Renewal::default(),
            renewed: renewed.clone(),
            begun: false,
        };
        let work = move || {
            priority::set(priority::FOLLOW, "follow");
            follower.work(&taken);
        };
        if let Err(error) = std::thread::Builder::new().name("follow".into()).spawn(work) {
            // Nobody takes orders, and readers answer everything.
            tracing::warn!(
                event = "not_followed",
                error = error.to_string(),
                "no thread for results that follow the changes"
            );
        }
        Following { host, orders, statements, ready, renewed }
    }

    /// Whether results that are brought forward by themselves have been so since a moment.
    pub(super) fn has_renewed(&self, since: Instant) -> bool {
        since < self.renewed.at()
    }

    /// How many statements are followed.
    pub(super) fn statements(&self) -> u64 {
        let standing = self.statements.standing();
        standing.values().filter(|standing| matches!(standing, Standing::Followed)).count() as u64
    }

    /// The answer from what is kept, no older than `since`; `None`: the statement has to be read.
    pub(super) async fn answer(&self, asked: &Asked, since: Instant) -> Option<Followed> {
        // Whoever may see less sees other sums.
        let restricted = asked.role.as_ref().is_some_and(|role| role.restricted);
        if asked.trust != Trust::Owner || asked.as_of.is_some() || restricted {
            return None;
        }
        if self.statements.building.load(Ordering::Acquire) {
            return None;
        }
        match self.statements.count(&asked.sql) {
            Worth::Followed => {}
            Worth::Following => {
                let _ = self.orders.send(Order::Follow(asked.sql.clone()));
                return None;
            }
            Worth::Reading => return None,
        }
        let ready = self.ready.take(asked, since, Instant::now());
        let Maintained { result, position, at, renews } = match ready {
            Some(ready) => ready,
            None => {
                let (to, answered) = oneshot::channel();
                self.orders.send(Order::Answer { asked: asked.clone(), since, to }).ok()?;
                answered.await.ok()??
            }
        };
        // A read says that it is too much.
        let mut room = asked.room();
        if !result.batches.iter().all(|batch| room.takes(batch)) {
            return None;
        }
        let (result, more) = cut(result, asked.page);
        let read = Read { result, more, position: position.max(self.host.applied().since) };
        Some(Followed { read, at, renews })
    }
}

/// What a statement is worth.
enum Worth {
    Reading,
    Following,
    Followed,
}

impl Statements {
    fn standing(&self) -> MutexGuard<'_, HashMap<Arc<str>, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts that a statement is wanted.
    fn count(&self, sql: &Arc<str>) -> Worth {
        let now = Instant::now();
        let mut statements = self.standing();
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(sql) {
            statements.clear();
        }
        let standing = statements.entry(sql.clone()).or_insert(Standing::Read { times: 0, since: now });
        match standing {
            Standing::Followed => Worth::Followed,
            Standing::Refused { until } if now < *until => Worth::Reading,
            Standing::Read { times, since } if now.duration_since(*since) < WORTH_WITHIN => {
                *times += 1;
                if *times < WORTH_READS || self.building.swap(true, Ordering::AcqRel) {
                    return Worth::Reading;
                }
                *standing = Standing::Refused { until: now + REFUSED_FOR };
                Worth::Following
            }
            Standing::Read { .. } | Standing::Refused { .. } => {
                *standing = Standing::Read { times: 1, since: now };
                Worth::Reading
            }
        }
    }
}

struct Follower {
    host: Arc<dyn Host>,
    /// None before the first statement is worth following.
    maintainer: Option<Box<dyn Maintainer>>,
    statements: Arc<Statements>,
    ready: Arc<Ready>,
    renewal: Renewal,
    renewed: Arc<Renewed>,
    /// Whether live endpoints are followed.
    begun: bool,
}

/// When results are brought forward by themselves.
#[derive(Debug, Default)]
struct Renewal {
    next: Option<Instant>,
    /// When somebody asked last.
    asked: Option<Instant>,
    /// How far the warehouse was.
    applied: Lsn,
}

/// What the calling thread has taken of a processor: where others have it, a round takes long on the clock and leaves them no less.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Renewal {
    /// Somebody asked.
    fn asked(&mut self, now: Instant) {
        self.asked = self.asked.max(Some(now));
        self.next.get_or_insert(now);
    }

    /// How long nobody has to look; none where nobody asks.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(now))
    }

    /// Results were brought forward, which took so long of a processor.
    fn passed(&mut self, began: Instant, now: Instant, taken: Duration) {
        let distance = (RENEW_SHARE * taken).max(RENEW_EVERY_MIN);
        self.next = self.is_asked(now).then_some(began + distance);
    }

    /// There was nothing new.
    fn rested(&mut self, now: Instant) {
        self.next = self.is_asked(now).then_some(now + LOOK_AGAIN);
    }

    fn is_asked(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < WANTED_FOR)
    }
}

impl Follower {
    fn work(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            if self.renewal.wait(Instant::now()) == Some(Duration::ZERO) {
                self.renew();
            }
            if !self.begun {
                self.begun = self.begin();
            }
            let order = match self.renewal.wait(Instant::now()) {
                None if self.begun => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                None => orders.recv_timeout(BEGIN_AGAIN),
                Some(wait) => orders.recv_timeout(wait),
            };
            let order = match order {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match order {
                Order::Follow(sql) => {
                    self.follow(sql);
                    self.statements.building.store(false, Ordering::Release);
                }
                // Whoever went away meanwhile leaves its question to the next one who asks.
                Order::Answer { to, .. } if to.is_closed() => {}
                Order::Answer { asked, since, to } => {
                    self.renewal.asked(Instant::now());
                    let answer = self.answer(&asked, since);
                    match &answer {
                        Some(answer) => {
                            self.keep_ready(&asked, Instant::now(), answer.clone());
                            if answer.renews {
                                self.renewed.reach(answer.at);
                            }
                        }
                        None => drop(self.statements.standing().remove(&asked.sql)),
                    }
                    let _ = to.send(answer);
                }
            }
        }
    }

    /// Follows what live endpoints read, so that nobody has to ask often first. `false`: it is too early. Before something was applied, nothing can be followed.
    fn begin(&mut self) -> bool {
        if !self.host.is_ready() || self.host.applied().transactions == 0 {
            return false;
        }
        let endpoints = self.host.endpoints();
        for endpoint in endpoints.served.iter().filter(|endpoint| endpoint.live) {
            self.follow(Arc::from(endpoint.sql.as_str()));
        }
        true
    }

    /// Brings results forward where something was applied since, and answers what was asked of them lately.
    fn renew(&mut self) {
        let (began, applied) = (Instant::now(), self.host.applied().lsn);
        if let Some(last) = self.ready.last_wanted() {
            self.renewal.asked(last);
        }
        let before = processor_time();
        let Some(maintainer) = self.maintainer.as_mut().filter(|_| applied != self.renewal.applied) else {
            self.renewal.rested(began);
            return;
        };
        match maintainer.renew() {
            Ok(()) => {
                for asked in self.ready.wanted(began) {
                    match self.answer(&asked, began) {
                        Some(answer) => self.keep_ready(&asked, began, answer),
                        None => self.ready.forget(&asked),
                    }
                }
                self.renewed.reach(began);
            }
            Err(error) => tracing::debug!(
                event = "not_followed",
                error = error.to_string(),
                "results can't be brought forward"
            ),
        }
        self.renewal.applied = applied;
        self.renewal.passed(began, Instant::now(), processor_time().saturating_sub(before));
    }

    fn keep_ready(&self, asked: &Asked, wanted: Instant, answer: Maintained) {
        if let Some(maintainer) = &self.maintainer {
            self.ready.put(asked, wanted, answer, maintainer.unbroken());
        }
    }

    /// Begins to follow a statement, where it can be.
    fn follow(&mut self, sql: Arc<str>) {
        let began = Instant::now();
        let followed = match &mut self.maintainer {
            Some(maintainer) => maintainer.follow(&sql),
            none => match self.host.maintainer() {
                Ok(Some(made)) => none.insert(made).follow(&sql),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            },
        };
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match followed {
            Ok(followed) => {
                tracing::debug!(
                    event = "followed",
                    followed,
                    milliseconds,
                    sql = &*sql,
                    "whether a statement's result follows its tables' changes now"
                );
                if followed {
                    self.statements.standing().insert(sql, Standing::Followed);
                }
            }
            Err(error) => {
                tracing::debug!(
                    event = "not_followed",
                    error = error.to_string(),
                    "a statement's changes can't be followed"
                );
            }
        }
    }

    fn answer(&mut self, asked: &Asked, since: Instant) -> Option<Maintained> {
        // A reader says what is wrong with it, if anything is.
        self.maintainer.as_mut()?.answer(&asked.query(), since).unwrap_or_else(|error| {
            tracing::debug!(
                event = "not_followed",
                error = error.to_string(),
                "a statement's changes can't be followed"
            );
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::{
        log::Result,
        warehouse::{QueryResult, TableState, WarehouseReader},
        Query, Unbroken,
    };
    use millstream_store::Store;

    use super::*;
    use crate::{
        access::Access,
        answer::Interrupt,
        host::{Applied, Changes, Dashboards, Endpoints, Model, Samples, SavedQueries, Traced},
    };

    #[test]
    fn results_are_renewed_while_somebody_asks_and_leave_a_processor_to_others() {
        let (mut renewal, now, ms) = (Renewal::default(), Instant::now(), Duration::from_millis);
        assert_eq!(renewal.wait(now), None);
        renewal.asked(now);
        assert_eq!(renewal.wait(now), Some(Duration::ZERO));
        renewal.passed(now, now + ms(1), ms(1));
        assert_eq!(renewal.wait(now + ms(1)), Some(RENEW_EVERY_MIN - ms(1)));
        // Long on the clock is not long for a processor.
        renewal.passed(now, now + ms(20), ms(1));
        assert_eq!(renewal.wait(now + ms(20)), Some(RENEW_EVERY_MIN - ms(20)));
        renewal.passed(now, now + ms(100), ms(100));
        assert_eq!(renewal.wait(now + ms(100)), Some(ms(100) * RENEW_SHARE - ms(100)));
        // What was applied meanwhile is not kept waiting.
        renewal.rested(now + ms(300));
        assert_eq!(renewal.wait(now + ms(300)), Some(LOOK_AGAIN));
        let later = now + WANTED_FOR;
        renewal.passed(later, later + ms(1), ms(1));
        assert_eq!(renewal.wait(later + ms(1)), None);
    }

    #[test]
    fn a_statement_is_worth_following_once_it_is_read_often_and_one_at_a_time_is_begun() {
        let statements = Statements::default();
        let [one, two]: [Arc<str>; 2] = ["SELECT 1".into(), "SELECT 2".into()];
        for _ in 1..WORTH_READS {
            assert!(matches!(statements.count(&one), Worth::Reading));
            assert!(matches!(statements.count(&two), Worth::Reading));
        }
        assert!(matches!(statements.count(&one), Worth::Following));
        assert!(matches!(statements.count(&one), Worth::Reading), "it is not there yet");
        assert!(matches!(statements.count(&two), Worth::Reading), "the other is being read");
        statements.building.store(false, Ordering::Release);
        statements.standing().insert(one.clone(), Standing::Followed);
        assert!(matches!(statements.count(&one), Worth::Followed));
        assert!(matches!(statements.count(&two), Worth::Following));
    }

    /// A program of which nothing is asked but what follows its changes.
    struct Program {
        applied: AtomicU64,
        /// Held: rounds wait.
        rounds: Arc<tokio::sync::Mutex<()>>,
        /// Rounds that began.
        begun: AtomicU64,
    }

    /// Follows everything; a round takes it to where the program is.
    struct Slow {
        program: Arc<Program>,
        position: u64,
        at: Instant,
    }

    impl Maintainer for Slow {
        fn follow(&mut self, _: &str) -> Result<bool> {
            Ok(true)
        }

        fn renew(&mut self) -> Result<()> {
            self.program.begun.fetch_add(1, Ordering::SeqCst);
            let _waited = self.program.rounds.blocking_lock();
            (self.position, self.at) = (self.program.applied.load(Ordering::SeqCst), Instant::now());
            Ok(())
        }

        fn answer(&mut self, _: &Query<'_>, _: Instant) -> Result<Option<Maintained>> {
            let result = QueryResult { columns: Vec::new(), batches: Vec::new() };
            Ok(Some(Maintained { result, position: Lsn(self.position), at: self.at, renews: true }))
        }

        fn unbroken(&self) -> Unbroken {
            Unbroken::new(|| true)
        }
    }

    struct ProgramHost(Arc<Program>);

    impl Host for ProgramHost {
        fn applied(&self) -> Applied {
            let lsn = Lsn(self.0.applied.load(Ordering::SeqCst));
            Applied { lsn, transactions: 1, ..Applied::default() }
        }

        fn maintainer(&self) -> Result<Option<Box<dyn Maintainer>>> {
            Ok(Some(Box::new(Slow { program: self.0.clone(), position: 0, at: Instant::now() })))
        }

        fn is_ready(&self) -> bool {
            true
        }

        fn endpoints(&self) -> Arc<Endpoints> {
            Arc::default()
        }

        fn project(&self) -> &str {
            unreachable!()
        }
        fn access(&self) -> Option<Arc<Access>> {
            unreachable!()
        }
        fn reader(&self) -> Result<Box<dyn WarehouseReader>> {
            unreachable!()
        }
        fn tables(&self) -> Result<Vec<TableState>> {
            unreachable!()
        }
        fn models(&self) -> Result<Vec<Model>> {
            unreachable!()
        }
        fn has_dbt_project(&self) -> bool {
            unreachable!()
        }
        fn store(&self) -> Result<Arc<Store>> {
            unreachable!()
        }
        fn column_lineage(&self, _: &str, _: &str) -> Result<Option<serde_json::Value>> {
            unreachable!()
        }
        fn status(&self) -> Result<serde_json::Value> {
            unreachable!()
        }
        fn dashboards(&self) -> Arc<Dashboards> {
            unreachable!()
        }
        fn queries(&self) -> Arc<SavedQueries> {
            unreachable!()
        }
        fn samples(&self, _: u64) -> Samples {
            unreachable!()
        }
        fn changes(&self, _: Option<&str>, _: Option<Lsn>) -> Result<Box<dyn Changes>> {
            unreachable!()
        }
        fn newest_changes(&self, _: Option<&str>, _: usize) -> Result<Vec<String>> {
            unreachable!()
        }
        fn follow(&self, _: &tracing::Span, _: &str, _: Option<&str>) {
            unreachable!()
        }
        fn traced(&self) -> Option<Traced> {
            unreachable!()
        }
        fn resync(&self, _: &[String], _: &Interrupt) -> Result<serde_json::Value> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_round_whose_question_was_answered_behind_the_last_one() {
        let program = Arc::new(Program {
            applied: AtomicU64::new(1),
            rounds: Arc::default(),
            begun: AtomicU64::new(0),
        });
        let following = Following::new(Arc::new(ProgramHost(program.clone())));
        let [one, other] = ["SELECT 1", "SELECT 2"].map(Asked::owners);
        let long_ago = Instant::now();
        // Both are followed, and both were asked for.
        for asked in [&one, &other] {
            while following.answer(asked, long_ago).await.is_none_or(|answer| answer.read.position != Lsn(1))
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // Something new comes, and one of them is asked for until it is in the answer.
        program.applied.store(2, Ordering::SeqCst);
        while following.answer(&one, long_ago).await.is_none_or(|answer| answer.read.position != Lsn(2)) {
            let _ = following.answer(&other, long_ago).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The next round does not end.
        let held = program.rounds.lock().await;
        let begun = program.begun.load(Ordering::SeqCst);
        program.applied.store(3, Ordering::SeqCst);
        while program.begun.load(Ordering::SeqCst) == begun {
            // The thread is asked for what is younger, which keeps it from resting.
            let younger = following.answer(&one, Instant::now());
            let _ = tokio::time::timeout(Duration::from_millis(20), younger).await;
        }
        for asked in [&one, &other] {
            let ready = following.answer(asked, long_ago);
            let ready = tokio::time::timeout(Duration::from_secs(30), ready).await;
            assert_eq!(ready.expect("nobody waits").unwrap().read.position, Lsn(2));
        }
        drop(held);
    }
}
