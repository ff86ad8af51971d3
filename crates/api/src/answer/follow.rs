//! Answers from results that follow the changes: for statements that can be followed, and are asked often enough to be worth it.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use millstream_core::{Maintained, Maintainer, Query, Trust};

use super::read::{cut, Asked, Read};
use crate::host::Host;

/// A statement that is read so often within [`WORTH_WITHIN`] is followed from then on.
const WORTH_READS: u32 = 3;
const WORTH_WITHIN: Duration = Duration::from_secs(10);

/// How long nobody tries to follow a statement again that could not be.
const REFUSED_FOR: Duration = Duration::from_secs(60);

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

type Shared = Arc<Mutex<Option<Box<dyn Maintainer>>>>;

/// The statements that are followed.
pub(super) struct Following {
    host: Arc<dyn Host>,
    /// None before the first one is worth following.
    maintainer: Shared,
    /// Whether a statement's tables are being read for the first time, which may take seconds: nobody waits for that.
    building: Arc<AtomicBool>,
    statements: Arc<Mutex<HashMap<Arc<str>, Standing>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Following {
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        Following { host, maintainer: Arc::default(), building: Arc::default(), statements: Arc::default() }
    }

    /// The answer from what is kept, no older than `since`; `None`: the statement has to be read.
    pub(super) async fn answer(&self, asked: &Asked, since: Instant) -> Option<(Read, Instant)> {
        // Whoever may see less sees other sums.
        if asked.trust != Trust::Owner || asked.as_of.is_some() || asked.role.is_some() {
            return None;
        }
        if self.building.load(Ordering::Acquire) || !self.is_followed(&asked.sql) {
            return None;
        }
        let (maintainer, question) = (self.maintainer.clone(), asked.clone());
        // Not ended with the client that asks: what is brought forward is everybody's.
        let answered =
            tokio::task::spawn_blocking(move || answer(&maintainer, &question, since)).await.ok()?;
        let Some(Maintained { result, position, at }) = answered else {
            lock(&self.statements).remove(&asked.sql);
            return None;
        };
        let (result, more) = cut(result, asked.page);
        Some((Read { result, more, position: position.max(self.host.applied().since) }, at))
    }

    /// Whether a statement is followed; counts that it is wanted, and begins to follow it where that is worth it.
    fn is_followed(&self, sql: &Arc<str>) -> bool {
        let now = Instant::now();
        let mut statements = lock(&self.statements);
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(sql) {
            statements.clear();
        }
        let first = Standing::Read { times: 0, since: now };
        let standing = statements.entry(sql.clone()).or_insert(first);
        match standing {
            Standing::Followed => true,
            Standing::Refused { until } if now < *until => false,
            Standing::Read { times, since } if now.duration_since(*since) < WORTH_WITHIN => {
                *times += 1;
                if *times >= WORTH_READS && !self.building.swap(true, Ordering::AcqRel) {
                    *standing = Standing::Refused { until: now + REFUSED_FOR };
                    self.build(sql.clone());
                }
                false
            }
            Standing::Read { .. } | Standing::Refused { .. } => {
                *standing = Standing::Read { times: 1, since: now };
                false
            }
        }
    }

    fn build(&self, sql: Arc<str>) {
        let (host, maintainer, building) =
            (self.host.clone(), self.maintainer.clone(), self.building.clone());
        let statements = self.statements.clone();
        tokio::task::spawn_blocking(move || {
            if follow(&*host, &maintainer, &sql) {
                lock(&statements).insert(sql, Standing::Followed);
            }
            building.store(false, Ordering::Release);
        });
    }
}

fn follow(host: &dyn Host, maintainer: &Shared, sql: &str) -> bool {
    let mut maintainer = lock(maintainer);
    let followed = match &mut *maintainer {
        Some(maintainer) => maintainer.follow(sql),
        none => match host.maintainer() {
            Ok(Some(made)) => none.insert(made).follow(sql),
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        },
    };
    followed.unwrap_or_else(|error| {
        tracing::debug!(
            event = "not_followed",
            error = error.to_string(),
            "a statement's changes can't be followed"
        );
        false
    })
}

fn answer(maintainer: &Shared, asked: &Asked, since: Instant) -> Option<Maintained> {
    let mut maintainer = lock(maintainer);
    let query = Query {
        sql: &asked.sql,
        parameters: &asked.parameters,
        as_of: None,
        rows_max: Some(asked.page.rows_max()),
        trust: asked.trust,
        role: None,
    };
    // A reader says what is wrong with it, if anything is.
    let answered = maintainer.as_mut()?.answer(&query, since).unwrap_or_else(|error| {
        tracing::debug!(
            event = "not_followed",
            error = error.to_string(),
            "a statement's changes can't be followed"
        );
        None
    });
    answered
}
