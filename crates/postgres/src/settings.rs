//! How a profile reaches a server, and what each of its sessions begins with.

use std::time::Duration;

use millstream_source::{config::Secret, Connection};

use crate::error::PostgresError;

/// Bound on the pauses between attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a profile says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the server is reached.
    pub connection: Connection,
    /// The role that statements are run as, as it stands in `SET ROLE`; none: the one that has logged in.
    pub role: Option<String>,
    /// How often connecting is tried again.
    pub retries: u32,
    /// Whether each statement stands for itself: no transaction is begun.
    pub autocommit: bool,
}

impl Settings {
    /// From libpq's names and values; the password is given for itself, so that no message can hold it.
    ///
    /// # Errors
    /// A name is not known, or a value can't be.
    pub fn new(parameters: &[(&str, String)], password: Option<String>) -> Result<Self, PostgresError> {
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
            .collect();
        let mut connection: Connection = pairs.join(" ").parse().map_err(PostgresError::Settings)?;
        connection.password = password.filter(|password| !password.is_empty()).map(Secret::new);
        Ok(Settings { connection, role: None, retries: 0, autocommit: false })
    }

    /// The role that statements are run as.
    #[must_use]
    pub fn role(mut self, role: Option<String>) -> Self {
        self.role = role.filter(|role| !role.is_empty());
        self
    }

    /// How often connecting is tried again.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Whether each statement stands for itself.
    #[must_use]
    pub fn autocommit(mut self, autocommit: bool) -> Self {
        self.autocommit = autocommit;
        self
    }

    /// How long is waited before the attempt of this number, the first of which is 0: longer each time.
    pub(crate) fn pause(attempt: u32) -> Duration {
        Duration::from_secs(u64::from(attempt) * u64::from(attempt)).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_stand_and_the_password_is_in_no_text() {
        let parameters = [
            ("host", "db.example".to_owned()),
            ("port", "6432".to_owned()),
            ("user", "o'hara \\ x".to_owned()),
            ("options", "-c search_path=a,\\ b".to_owned()),
            ("keepalives_idle", "30".to_owned()),
        ];
        let settings = Settings::new(&parameters, Some("hunter2".into())).unwrap();
        assert_eq!(settings.connection.user, "o'hara \\ x");
        assert_eq!(settings.connection.options.as_deref(), Some("-c search_path=a,\\ b"));
        assert_eq!(settings.connection.keepalives_idle, Duration::from_secs(30));
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(Settings::new(&[("user", "u".into()), ("sslmode", "maybe".into())], None).is_err());
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        assert_eq!(Settings::pause(0), Duration::ZERO);
        assert_eq!(Settings::pause(3), Duration::from_secs(9));
        assert_eq!(Settings::pause(1_000), PAUSE_MAX);
    }
}
