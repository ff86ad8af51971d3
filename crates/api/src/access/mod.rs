//! Who asks, and what they may ask for.
//!
//! Three answers are given here and nowhere else: who somebody is ([`Access::key`], [`Access::session`]), which parts of the program they reach ([`Caller`]), and
//! which role their questions carry. What that role then sees of tables is the warehouse's part.

mod session;
mod token;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{engine::general_purpose::STANDARD as BASE64, Engine};
use millstream_core::{glob, Grants, Role};
use millstream_store::{Key, Store, Verifier};

use ring::rand::{SecureRandom, SystemRandom};

use self::{session::Seal, token::Told};
use crate::{endpoint::Endpoint, problem::Problem};

pub use self::{
    session::SESSION_SECONDS,
    token::{TokenConfig, TokenError, Tokens, ALGORITHMS, SECRET_BYTES_MIN},
};

/// How much one request may take, and how many there may be; `None`: as much as the program allows anybody.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Requests in a second, of one key or token; without those of everybody together.
    pub requests_per_second: Option<f64>,
    /// How long an answer may take to begin.
    pub time: Option<Duration>,
    /// Rows of an answer; others are on its next pages.
    pub rows: Option<usize>,
    /// Bytes of memory that the rows of an answer may take.
    pub memory_bytes: Option<u64>,
}

impl Limits {
    /// The narrower of both, each by itself.
    #[must_use]
    pub fn narrowed(self, by: Limits) -> Limits {
        let least = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.min(b)).or(a).or(b);
        Limits {
            requests_per_second: least(self.requests_per_second, by.requests_per_second),
            time: [self.time, by.time].into_iter().flatten().min(),
            rows: [self.rows, by.rows].into_iter().flatten().min(),
            memory_bytes: [self.memory_bytes, by.memory_bytes].into_iter().flatten().min(),
        }
    }
}

/// What a role may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// As its questions carry it.
    pub role: Arc<Role>,
    /// Patterns of the paths that it may call.
    pub endpoints: Vec<String>,
    /// Whether it may ask in SQL of its own.
    pub sql: bool,
    /// Whether it may do and read everything.
    pub admin: bool,
    /// How much its requests may take.
    pub limits: Limits,
}

impl Rights {
    /// Whether it may call the endpoint.
    pub fn may_call(&self, endpoint: &Endpoint) -> bool {
        self.admin
            || match &endpoint.roles {
                Some(roles) => roles.contains(&self.role.name),
                None => self.endpoints.iter().any(|pattern| glob(pattern, &endpoint.path)),
            }
    }
}

/// How clients show who they are, and what they may do then.
pub struct Access {
    store: Arc<Store>,
    roles: BTreeMap<String, Arc<Rights>>,
    seal: Seal,
    tokens: Option<Tokens>,
}

/// Bytes of a nonce, as many as PostgreSQL takes.
const NONCE_BYTES: usize = 18;

/// What a secret of the store is called that sessions are sealed with.
const SEAL: &str = "sessions";

impl Access {
    /// By the keys of a store, tokens where they are taken, and the roles that there are.
    pub fn new(
        store: Arc<Store>,
        roles: Vec<Rights>,
        tokens: Option<Tokens>,
    ) -> Result<Self, millstream_store::StoreError> {
        let seal = Seal::new(&store.secret(SEAL)?);
        let roles = roles.into_iter().map(|rights| (rights.role.name.clone(), Arc::new(rights))).collect();
        Ok(Access { store, roles, seal, tokens })
    }

    /// Who has the key or the token of this text.
    pub fn bearer(&self, text: &str) -> Option<Caller> {
        self.key(text).or_else(|| self.token(text))
    }

    fn token(&self, text: &str) -> Option<Caller> {
        let told = self.tokens.as_ref()?.check(text)?;
        let rights = self.roles.get(&told.role)?.clone();
        Some(Caller { who: Who::Token { told, rights } })
    }

    /// Who has the key of this text.
    pub fn key(&self, text: &str) -> Option<Caller> {
        let key = self.store.check_key(text)?;
        self.holder(&key)
    }

    /// Who began the session of this text.
    pub fn session(&self, text: &str) -> Option<Caller> {
        let key = self.store.good_key(&self.seal.open(text)?)?;
        self.holder(&key)
    }

    /// A session of whoever has the key of this text, to be kept by a browser.
    pub fn begin_session(&self, text: &str) -> Option<(Caller, String)> {
        let caller = self.key(text)?;
        let Who::Key { id, .. } = &caller.who else { return None };
        let session = self.seal.close(id);
        Some((caller, session))
    }

    /// What checks the proof of a client that names a key by its id, and who it is then; `None`: there is no such key, and no proof will do.
    pub fn named(&self, user: &str) -> (Verifier, Option<Caller>) {
        match self.store.good_key(user) {
            Some(key) => (key.verifier.clone(), self.holder(&key)),
            None => (Verifier::of_nobody(self.seal.salt(user)), None),
        }
    }

    /// Whether somebody who asked before may still ask: a key can be revoked, or expire, while they listen.
    pub fn is_still(&self, caller: &Caller) -> bool {
        match &caller.who {
            Who::Anybody | Who::Nobody => true,
            Who::Key { id, .. } => self.store.good_key(id).is_some(),
            Who::Token { told, .. } => told.is_good(),
        }
    }

    /// A text that nobody has seen before, for a conversation that proves something.
    pub fn nonce() -> std::io::Result<String> {
        let mut bytes = [0; NONCE_BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        Ok(BASE64.encode(bytes))
    }

    fn holder(&self, key: &Key) -> Option<Caller> {
        // The key of a role that is no longer configured opens nothing.
        let rights = self.roles.get(&key.role)?.clone();
        Some(Caller { who: Who::Key { id: key.id.clone(), rights } })
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    who: Who,
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    /// Nobody has to show who they are.
    Anybody,
    /// Somebody who has not shown who they are, where that is needed.
    Nobody,
    /// Whoever has a key.
    Key { id: String, rights: Arc<Rights> },
    /// Whoever has a token.
    Token { told: Told, rights: Arc<Rights> },
}

impl Caller {
    /// Anybody, where nobody has to show who they are.
    pub const ANYBODY: Caller = Caller { who: Who::Anybody };

    /// Somebody who has not shown who they are: pages and health are theirs, and nothing else.
    pub const NOBODY: Caller = Caller { who: Who::Nobody };

    fn rights(&self) -> Option<&Arc<Rights>> {
        match &self.who {
            Who::Anybody | Who::Nobody => None,
            Who::Key { rights, .. } | Who::Token { rights, .. } => Some(rights),
        }
    }

    /// The role that their questions carry; `None`: they see everything.
    pub fn role(&self) -> Option<Arc<Role>> {
        match &self.who {
            Who::Anybody => None,
            // No role can be called so: it may name nothing, and sees nothing of what is restricted.
            Who::Nobody => Some(Arc::new(Role {
                name: "(nobody)".into(),
                tables: Grants::default(),
                fingerprint: 0,
                restricted: true,
            })),
            Who::Key { rights, .. } | Who::Token { rights, .. } => {
                (!rights.admin).then(|| rights.role.clone())
            }
        }
    }

    /// The name of their role, for people.
    pub fn role_name(&self) -> Option<&str> {
        self.rights().map(|rights| rights.role.name.as_str())
    }

    /// The id of their key, or whose token it is: no secret.
    pub fn key_id(&self) -> Option<&str> {
        match &self.who {
            Who::Anybody | Who::Nobody => None,
            Who::Key { id, .. } => Some(id),
            Who::Token { told, .. } => told.subject.as_deref(),
        }
    }

    /// How much their requests may take, where everybody's may take so much.
    pub fn limits(&self, of_all: Limits) -> Limits {
        self.rights().map_or(of_all, |rights| of_all.narrowed(rights.limits))
    }

    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        match &self.who {
            Who::Anybody => true,
            Who::Nobody => false,
            Who::Key { rights, .. } | Who::Token { rights, .. } => rights.admin,
        }
    }

    /// Whether they may ask in SQL of their own.
    pub fn may_ask_sql(&self) -> bool {
        self.is_admin() || self.rights().is_some_and(|rights| rights.sql)
    }

    /// Whether they may call the endpoint.
    pub fn may_call(&self, endpoint: &Endpoint) -> bool {
        self.is_admin() || self.rights().is_some_and(|rights| rights.may_call(endpoint))
    }

    /// Whether they may see what is for these roles; `None`: for those that may do everything.
    pub fn may_see(&self, roles: Option<&[String]>) -> bool {
        let is_theirs = |rights: &Arc<Rights>| roles.is_some_and(|roles| roles.contains(&rights.role.name));
        self.is_admin() || self.rights().is_some_and(is_theirs)
    }

    /// An error unless they may ask in SQL of their own.
    pub fn must_ask_sql(&self) -> Result<(), Problem> {
        self.may_ask_sql()
            .then_some(())
            .ok_or_else(|| Problem::forbidden("this takes a role with `sql: true`"))
    }

    /// An error unless they may do everything.
    pub fn must_be_admin(&self) -> Result<(), Problem> {
        self.is_admin()
            .then_some(())
            .ok_or_else(|| Problem::forbidden("this takes a role with `admin: true`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(endpoints: &[&str], sql: bool, admin: bool) -> Caller {
        let role =
            Role { name: "clerk".into(), tables: Grants::default(), fingerprint: 1, restricted: false };
        let endpoints = endpoints.iter().map(|pattern| (*pattern).to_owned()).collect();
        let rights = Rights { role: Arc::new(role), endpoints, sql, admin, limits: Limits::default() };
        Caller { who: Who::Key { id: "1".into(), rights: Arc::new(rights) } }
    }

    fn endpoint(path: &str, roles: Option<&[&str]>) -> Endpoint {
        Endpoint {
            path: path.into(),
            file: String::new(),
            description: None,
            params: Vec::new(),
            cache: None,
            live: false,
            roles: roles.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect()),
            sql: String::new(),
            limited_by: None,
        }
    }

    #[test]
    fn a_role_narrows_limits_and_never_widens_them() {
        let all = Limits {
            requests_per_second: Some(10.0),
            time: None,
            rows: Some(100),
            memory_bytes: Some(1 << 20),
        };
        let role = Limits {
            requests_per_second: Some(50.0),
            time: Some(Duration::from_secs(1)),
            rows: Some(5),
            memory_bytes: Some(2 << 20),
        };
        let both = Limits { requests_per_second: Some(10.0), memory_bytes: Some(1 << 20), ..role };
        assert_eq!((all.narrowed(role), role.narrowed(all)), (both, both));
        assert_eq!(all.narrowed(Limits::default()), all);
        assert_eq!(Caller::ANYBODY.limits(all), all);
    }

    #[test]
    fn an_endpoint_answers_those_that_its_head_names_or_else_those_that_may_call_its_path() {
        let (some, none, all) =
            (caller(&["/orders*"], false, false), caller(&[], true, false), caller(&[], false, true));
        for (endpoint, expected) in [
            (endpoint("/orders", None), [true, false, true]),
            (endpoint("/orders/top", None), [true, false, true]),
            (endpoint("/customers", None), [false, false, true]),
            (endpoint("/customers", Some(&["clerk"])), [true, true, true]),
            (endpoint("/orders", Some(&["boss"])), [false, false, true]),
        ] {
            assert_eq!(
                [&some, &none, &all].map(|caller| caller.may_call(&endpoint)),
                expected,
                "{endpoint:?}"
            );
            assert!(Caller::ANYBODY.may_call(&endpoint) && !Caller::NOBODY.may_call(&endpoint));
        }
        assert!(
            none.may_ask_sql() && all.may_ask_sql() && !some.may_ask_sql() && Caller::ANYBODY.may_ask_sql()
        );
        assert!(
            !Caller::NOBODY.is_admin() && !Caller::NOBODY.may_ask_sql() && Caller::NOBODY.role().is_some()
        );
        assert!(all.role().is_none() && some.role().is_some() && Caller::ANYBODY.role().is_none());
    }
}
