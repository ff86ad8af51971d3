//! [`PgCluster`]: a throwaway PostgreSQL cluster.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{chown, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::scratch::{self, Lock};
use crate::spawn::{run, send, spawn_bound};
use crate::tls::{self, Authority, ClientCertificate};
use crate::{binaries, Error, Result};

/// Recovery after a crash under load takes seconds on a busy two-core machine; a minute means that something is wrong.
const START_WAIT_MAX: Duration = Duration::from_secs(60);
/// A fast shutdown waits for walsenders to hand over their WAL; a stopped receiver makes that hang, so it is bounded.
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(5);
/// As much of the server's log as helps in an error message.
const LOG_TAIL_LINES: usize = 40;
/// Line of `postmaster.pid` that holds the server's state (see PostgreSQL's `pidfile.h`).
const PIDFILE_STATUS_LINE: usize = 7;

/// How a server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are ended, walsenders finish, a checkpoint is written.
    Fast,
    /// No checkpoint: the next start recovers as after a crash, but nothing is left half-written by a signal.
    Immediate,
}

/// Options of a cluster; [`PgCluster::builder`] gives them, [`start`](PgClusterBuilder::start) uses them.
#[derive(Debug, Clone)]
pub struct PgClusterBuilder {
    settings: Vec<(String, String)>,
    hba: Option<Vec<String>>,
    tls: bool,
    fsync: bool,
    password: Option<String>,
    port: Option<u16>,
}

impl PgClusterBuilder {
    /// Sets a server parameter, over the test kit's own choice where there is one.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a line to `pg_hba.conf`. The first line turns off the default, which trusts everything from 127.0.0.1.
    /// [`execute`](PgCluster::execute) always gets in, through the socket.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.get_or_insert_default().push(line.to_owned());
        self
    }

    /// Speaks TLS with a certificate for `localhost` and 127.0.0.1, signed by an authority of the cluster's own.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Whether the server calls fsync (default: no; killing processes loses nothing without it, only a power cut does).
    #[must_use]
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Gives the superuser a password and demands SCRAM from 127.0.0.1, unless [`hba`](Self::hba) says otherwise.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Listens on this port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Makes the cluster and waits until it accepts connections.
    ///
    /// # Errors
    /// No PostgreSQL on this machine, or the server does not start; its log is in the message.
    pub fn start(self) -> Result<PgCluster> {
        let bin = binaries::directory()?;
        let account = Account::for_servers()?;
        let root = scratch::root()?;
        let template = template(&root, &bin, &account)?;
        let (directory, lock) = scratch::claim(&root)?;
        let (port, port_lock) = match self.port {
            Some(port) => (port, None),
            None => scratch::claim_port(&root).map(|(port, lock)| (port, Some(lock)))?,
        };
        let cluster = PgCluster {
            bin,
            account,
            port,
            password: self.password.clone(),
            postmaster: Mutex::new(None),
            authority: None,
            directory,
            _lock: lock,
            _port_lock: port_lock,
        };
        cluster.lay_out(&template)?;
        cluster.finish(self)
    }
}

/// A running PostgreSQL cluster of our own: `wal_level = logical`, twenty slots and walsenders, prepared transactions, UTC,
/// listening on 127.0.0.1 and on a socket in its own directory. Superuser `postgres`, trusted unless told otherwise.
///
/// It is stopped and removed when dropped, and when the process ends in any way.
pub struct PgCluster {
    bin: PathBuf,
    account: Account,
    port: u16,
    password: Option<String>,
    postmaster: Mutex<Option<Child>>,
    authority: Option<Authority>,
    directory: PathBuf,
    _lock: Lock,
    _port_lock: Option<Lock>,
}

impl PgCluster {
    /// A cluster with the default options.
    ///
    /// # Errors
    /// As [`PgClusterBuilder::start`].
    pub fn start_default() -> Result<Self> {
        Self::builder().start()
    }

    /// The options of a new cluster.
    #[must_use]
    pub fn builder() -> PgClusterBuilder {
        PgClusterBuilder {
            settings: Vec::new(),
            hba: None,
            tls: false,
            fsync: false,
            password: None,
            port: None,
        }
    }

    /// The port on 127.0.0.1; the same for the cluster's whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of database `postgres` for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_for("postgres", self.password.as_deref().unwrap_or(""), "postgres")
    }

    /// URL for a role and database, over TCP. An empty password is left out.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        let secret =
            if password.is_empty() { String::new() } else { format!(":{}", percent_encode(password)) };
        format!(
            "postgres://{}{secret}@127.0.0.1:{}/{}",
            percent_encode(user),
            self.port,
            percent_encode(database)
        )
    }

    /// The socket's directory, libpq's `host`.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.directory.join("s")
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory of the server's programs. It need not hold the clients: [`program`](Self::program) finds those.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// Where `psql`, `pgbench` or `pg_recvlogical` is: beside the server, or else this machine's own.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        binaries::program(&self.bin, name)
    }

    /// The postmaster's process id, or `None` while it is stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.postmaster().as_ref().map(Child::id)
    }

    /// The authority's certificate, libpq's `sslrootcert`; `None` without TLS.
    #[must_use]
    pub fn ca_certificate(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(|authority| authority.path("ca.crt"))
    }

    /// The certificate of an authority that did not sign the server's: a client that verifies must refuse.
    #[must_use]
    pub fn other_ca_certificate(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(|authority| authority.path("other-ca.crt"))
    }

    /// Signs a certificate for a client that logs in as `user`.
    ///
    /// # Errors
    /// The cluster does not speak TLS, or openssl fails.
    pub fn client_certificate(&self, user: &str) -> Result<ClientCertificate> {
        self.authority.as_ref().ok_or_else(|| Error::new("the cluster was built without TLS"))?.client(user)
    }

    /// Runs SQL in database `postgres` as the superuser and returns what `psql` prints: rows without header, columns divided by `|`.
    ///
    /// Each statement commits on its own, unless the text says BEGIN.
    ///
    /// # Errors
    /// The server's message, at the first statement that fails.
    pub fn execute(&self, sql: &str) -> Result<String> {
        self.execute_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut child = self
            .psql(database)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::during("starting psql"))?;
        let input = child.stdin.take();
        // From a thread: psql may print more than a pipe holds before it has read everything.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.map(|mut input| input.write_all(sql.as_bytes())));
            child.wait_with_output()
        })
        .map_err(Error::during("waiting for psql"))?;
        if !output.status.success() {
            return Err(Error::new(String::from_utf8_lossy(&output.stderr).trim_end()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
    }

    /// A `psql` command for this cluster as the superuser, unaligned, that stops at the first error.
    #[must_use]
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.program("psql"));
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-h",
        ]);
        command.arg(self.socket_dir()).arg("-p").arg(self.port.to_string());
        command.env("PGCLIENTENCODING", "UTF8").env_remove("PGOPTIONS").env_remove("PGSERVICE");
        command
    }

    /// Changes a server parameter for good; it takes effect with [`reload`](Self::reload) or [`restart`](Self::restart).
    ///
    /// # Errors
    /// The file can't be written.
    pub fn set(&self, name: &str, value: impl ToString) -> Result<()> {
        self.append("postgresql.conf", &format!("{name} = '{}'\n", value.to_string().replace('\'', "''")))
    }

    /// Replaces `pg_hba.conf` but for the line that lets [`execute`](Self::execute) in; takes effect with [`reload`](Self::reload).
    ///
    /// # Errors
    /// The file can't be written.
    pub fn set_hba(&self, lines: &[&str]) -> Result<()> {
        let path = self.data_dir().join("pg_hba.conf");
        let text = format!("local all postgres trust\n{}\n", lines.join("\n"));
        // Written in place: the file keeps the server's account as its owner.
        fs::write(&path, text).map_err(Error::during(path.display()))
    }

    /// Makes the server read its files again, and waits until it has.
    ///
    /// # Errors
    /// The server is not running.
    pub fn reload(&self) -> Result<()> {
        let before = self.execute("SELECT pg_conf_load_time()")?;
        self.signal(libc::SIGHUP)?;
        let deadline = Instant::now() + START_WAIT_MAX;
        while self.execute("SELECT pg_conf_load_time()")? == before {
            if Instant::now() > deadline {
                return Err(Error::new("the server did not read its files again"));
            }
            sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// Stops the server and waits for its end. A server that is stopped already stays so.
    ///
    /// # Errors
    /// It does not end within a minute.
    pub fn stop(&self, mode: StopMode) -> Result<()> {
        let mut postmaster = self.postmaster();
        let Some(child) = postmaster.as_mut() else { return Ok(()) };
        send(child.id(), if mode == StopMode::Fast { libc::SIGINT } else { libc::SIGQUIT })?;
        let deadline = Instant::now() + STOP_WAIT_MAX;
        while child.try_wait().map_err(Error::during("waiting for PostgreSQL"))?.is_none() {
            if Instant::now() > deadline {
                return Err(Error::new(format!("PostgreSQL does not stop\n{}", self.log_tail())));
            }
            sleep(POLL_EVERY);
        }
        *postmaster = None;
        Ok(())
    }

    /// Starts a stopped or killed server again, on the same port, and waits until it accepts connections.
    ///
    /// # Errors
    /// It does not come up; its log is in the message.
    pub fn start(&self) -> Result<()> {
        let mut postmaster = self.postmaster();
        if postmaster.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + START_WAIT_MAX;
        loop {
            let mut child = self.launch()?;
            match self.await_ready(&mut child, deadline) {
                Ok(()) => {
                    *postmaster = Some(child);
                    return Ok(());
                }
                // After a kill the old backends hold the shared memory for a moment longer.
                Err(error)
                    if Instant::now() < deadline && error.to_string().contains("shared memory block") =>
                {
                    let _ = child.kill();
                    let _ = child.wait();
                    sleep(POLL_EVERY);
                }
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(error);
                }
            }
        }
    }

    /// Stops and starts.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&self, mode: StopMode) -> Result<()> {
        self.stop(mode)?;
        self.start()
    }

    /// Kills the postmaster and every backend at once with SIGKILL, as a machine that dies.
    ///
    /// # Errors
    /// The server is not running.
    pub fn kill(&self) -> Result<()> {
        let mut postmaster = self.postmaster();
        let child = postmaster.as_mut().ok_or_else(stopped)?;
        // Held still, it starts no new backend while the others are found.
        send(child.id(), libc::SIGSTOP)?;
        for backend in children_of(child.id()) {
            let _ = send(backend, libc::SIGKILL);
        }
        child.kill().and_then(|()| child.wait()).map_err(Error::during("killing PostgreSQL"))?;
        *postmaster = None;
        Ok(())
    }

    /// Sends a signal to the postmaster.
    ///
    /// # Errors
    /// The server is not running.
    pub fn signal(&self, signal: i32) -> Result<()> {
        send(self.pid().ok_or_else(stopped)?, signal)
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn postmaster(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.postmaster.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lay_out(&self, template: &Path) -> Result<()> {
        fs::create_dir(&self.directory).map_err(Error::during(self.directory.display()))?;
        fs::create_dir(self.socket_dir()).map_err(Error::during(self.directory.display()))?;
        for path in [&self.directory, &self.socket_dir()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(Error::during(path.display()))?;
            chown(path, Some(self.account.uid), Some(self.account.gid))
                .map_err(Error::during(path.display()))?;
        }
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(template).arg(self.data_dir()).current_dir(&self.directory);
        self.account.apply(&mut copy);
        run(&mut copy, "cp").map(drop)
    }

    fn finish(mut self, options: PgClusterBuilder) -> Result<Self> {
        let mut settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = {}\n",
            self.port,
            self.socket_dir().display(),
            if options.fsync { "on" } else { "off" },
        );
        settings.push_str(
            "wal_level = logical\nmax_replication_slots = 20\nmax_wal_senders = 20\nmax_prepared_transactions = 20\n\
             shared_buffers = 64MB\ntimezone = 'UTC'\nlog_timezone = 'UTC'\nlog_line_prefix = '%m [%p] %u@%d '\n",
        );
        if options.tls {
            let authority = Authority::create(tls::directory(&self.directory), &self.account)?;
            settings.push_str(&format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\n",
                authority.path("server.crt").display(),
                authority.path("server.key").display(),
                authority.path("ca.crt").display(),
            ));
            self.authority = Some(authority);
        }
        self.append("postgresql.conf", &settings)?;
        for (name, value) in &options.settings {
            self.set(name, value)?;
        }
        let method = if options.password.is_some() { "scram-sha-256" } else { "trust" };
        let lines = options.hba.unwrap_or_else(|| {
            ["all", "replication"]
                .map(|database| format!("host {database} all 127.0.0.1/32 {method}"))
                .to_vec()
        });
        self.set_hba(&lines.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.start()?;
        if let Some(password) = &options.password {
            self.execute(&format!("ALTER ROLE postgres PASSWORD '{}'", password.replace('\'', "''")))?;
        }
        Ok(self)
    }

    fn append(&self, file: &str, text: &str) -> Result<()> {
        let path = self.data_dir().join(file);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(Error::during(path.display()))
    }

    fn launch(&self) -> Result<Child> {
        let path = self.directory.join("server.log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::during(path.display()))?;
        let errors = log.try_clone().map_err(Error::during(path.display()))?;
        let mut command = Command::new(self.bin.join("postgres"));
        command.arg("-D").arg(self.data_dir()).current_dir(&self.directory).env("HOME", &self.directory);
        command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(log).stderr(errors);
        self.account.apply(&mut command);
        // SIGQUIT is the immediate shutdown: the postmaster takes its backends with it.
        spawn_bound(command, libc::SIGQUIT).map_err(Error::during("starting PostgreSQL"))
    }

    /// Reads the state that the postmaster keeps in its pid file, as `pg_ctl` does: no connection is spent on it.
    fn await_ready(&self, child: &mut Child, deadline: Instant) -> Result<()> {
        let pidfile = self.data_dir().join("postmaster.pid");
        loop {
            if let Some(status) = child.try_wait().map_err(Error::during("waiting for PostgreSQL"))? {
                return Err(Error::new(format!("PostgreSQL ended at once: {status}\n{}", self.log_tail())));
            }
            let text = fs::read_to_string(&pidfile).unwrap_or_default();
            let mut lines = text.lines();
            if lines.next() == Some(&child.id().to_string())
                && lines.nth(PIDFILE_STATUS_LINE - 1).is_some_and(|status| status.trim_end() == "ready")
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!("PostgreSQL does not come up\n{}", self.log_tail())));
            }
            sleep(POLL_EVERY);
        }
    }
}

impl Drop for PgCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the server's log:\n{}", self.log_tail());
        }
        if self.stop(StopMode::Immediate).is_err() {
            let _ = self.kill();
        }
        scratch::release(&self.directory);
    }
}

/// An initialised data directory of this server's version, made once.
fn template(root: &Path, bin: &Path, account: &Account) -> Result<PathBuf> {
    let version = run(Command::new(bin.join("postgres")).arg("--version"), "postgres")?;
    let version: String = version
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' })
        .collect();
    let template = root.join(format!("template-{}-{}", version.trim_matches('-'), account.uid));
    let _lock = Lock::wait(&root.join("template.lock"))?;
    if template.exists() {
        return Ok(template);
    }
    let draft = root.join("template-draft");
    let _ = fs::remove_dir_all(&draft);
    fs::create_dir(&draft).map_err(Error::during(draft.display()))?;
    chown(&draft, Some(account.uid), Some(account.gid)).map_err(Error::during(draft.display()))?;
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]).arg(&draft);
    initdb.current_dir(&draft).env("LC_ALL", "C");
    account.apply(&mut initdb);
    run(&mut initdb, "initdb")?;
    fs::rename(&draft, &template).map_err(Error::during(template.display()))?;
    Ok(template)
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name stands in parentheses and may hold anything; the state and the parent follow the last one.
            let parent_field = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            (parent_field.parse() == Ok(parent)).then_some(pid)
        })
        .collect()
}

fn stopped() -> Error {
    Error::new("the server is stopped")
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
