//! A Postgres of a test's own: in a temporary folder, on a free port of the loopback, gone with the test.
//!
//! The server refuses to run as root; started by root it runs as `nobody`.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// The superuser.
pub(crate) const ADMINISTRATOR: &str = "postgres";
/// The role that a node has.
pub(crate) const USER: &str = "node";
/// Every role's password. Not a word of a log's, so that it can be searched for.
pub(crate) const PASSWORD: &str = "pw:zQ4@7/x";
/// The database that a node has.
pub(crate) const DATABASE: &str = "replica";

const NOBODY: u32 = 65534;

/// A server that runs, or was stopped and can be started again on the same port.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Where its programs are.
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Postgres {
    /// Makes and starts one with the role [`USER`] and its [`DATABASE`].
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// The same with further lines of `postgresql.conf`.
    pub(crate) fn start_with(settings: &str) -> Self {
        Self::start_from(installed(), settings)
    }

    /// The same with the programs of this folder.
    pub(crate) fn start_from(programs: PathBuf, settings: &str) -> Self {
        let mut server = Self::new(programs);
        let password = server.folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        succeed(server.command("initdb").args([
            "--no-sync",
            "--no-instructions",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--username=postgres",
            &format!("--pwfile={}", password.display()),
            &format!("--pgdata={}", server.data().display()),
        ]));
        server.configure(settings);
        server.run();
        server.sql(
            ADMINISTRATOR,
            "postgres",
            &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"),
        );
        server.sql(
            ADMINISTRATOR,
            "postgres",
            &format!("CREATE DATABASE {DATABASE} OWNER {USER}"),
        );
        server
    }

    /// A standby that follows this server, on a port of its own.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::new(self.programs.clone());
        succeed(
            standby
                .command("pg_basebackup")
                .env("PGPASSWORD", PASSWORD)
                .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast"])
                .arg(format!("--pgdata={}", standby.data().display()))
                .args(["--host=127.0.0.1", "--username=postgres"])
                .arg(format!("--port={}", self.port)),
        );
        standby.configure("");
        standby.run();
        standby
    }

    /// Makes a standby a primary.
    pub(crate) fn promote(&self) {
        self.sql(ADMINISTRATOR, "postgres", "SELECT pg_promote()");
    }

    /// The port on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The authority that made the server's certificate, which is for `localhost` alone.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The folder of everything that is the server's, its Unix socket among it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of [`DATABASE`] for [`USER`] through `port`, without TLS.
    pub(crate) fn url_through(port: u16) -> String {
        format!("postgresql://{USER}:pw%3AzQ4%407%2Fx@127.0.0.1:{port}/{DATABASE}?sslmode=disable")
    }

    /// The same without a detour.
    pub(crate) fn url(&self) -> String {
        Self::url_through(self.port)
    }

    /// Runs SQL through psql and returns what it printed, unaligned, without headers.
    pub(crate) fn sql(&self, user: &str, database: &str, sql: &str) -> String {
        let output = self.try_sql(user, database, sql);
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same in the node's database, as the superuser.
    pub(crate) fn query(&self, sql: &str) -> String {
        self.sql(ADMINISTRATOR, DATABASE, sql)
    }

    /// Lets psql read a text as [`USER`].
    pub(crate) fn script(&self, database: &str, text: &str) {
        let file = self.folder.path().join("script.sql");
        std::fs::write(&file, text).unwrap();
        let mut psql = self.client("psql", USER);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]);
        succeed(psql.arg(file).arg(database));
    }

    /// Everything in the node's database as text.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let mut dump = self.client("pg_dump", ADMINISTRATOR);
        let output = dump.arg(DATABASE).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// SIGKILL to the server's first process; the others follow it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it as an administrator does who does not wait for clients.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::INT);
    }

    /// Starts it again after [`Postgres::kill`] or [`Postgres::stop`].
    pub(crate) fn run(&mut self) {
        loop {
            self.child = Some(
                self.command("postgres")
                    .arg("-D")
                    .arg(self.data())
                    .stdout(Stdio::null())
                    .stderr(self.log())
                    .spawn()
                    .unwrap(),
            );
            if self.is_ready() {
                return;
            }
        }
    }

    /// Waits until it lets us in; false when it ended: processes of a killed one were still there.
    fn is_ready(&mut self) -> bool {
        loop {
            let output = self.try_sql(ADMINISTRATOR, "postgres", "SELECT 1");
            if output.status.success() {
                return true;
            }
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn try_sql(&self, user: &str, database: &str, sql: &str) -> Output {
        self.client("psql", user)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .arg(database)
            .output()
            .unwrap()
    }

    fn client(&self, program: &str, user: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLMODE", "disable")
            .args(["-h", "127.0.0.1", "-U", user, "-p"])
            .arg(self.port.to_string());
        command
    }

    fn new(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server's own user must be able to get in.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        give(folder.path());
        Self {
            programs,
            port: free_port(),
            folder,
            child: None,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> std::fs::File {
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap()
    }

    fn configure(&self, settings: &str) {
        let (certificate, key) = self.certificate();
        let file = self.data().join("postgresql.conf");
        let mut file = std::fs::File::options().append(true).open(file).unwrap();
        writeln!(
            file,
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_buffers = 16MB\nmax_connections = 30\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n{settings}",
            self.port,
            self.folder.path().display(),
            certificate.display(),
            key.display(),
        )
        .unwrap();
    }

    fn certificate(&self) -> (PathBuf, PathBuf) {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority, &authority_key)
            .unwrap();
        std::fs::write(self.authority(), authority.pem()).unwrap();
        let paths = ["server.pem", "server.key"].map(|name| self.folder.path().join(name));
        for (path, pem) in paths.iter().zip([certificate.pem(), key.serialize_pem()]) {
            std::fs::write(path, pem).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
            give(path);
        }
        let [certificate, key] = paths;
        (certificate, key)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
            let _ = kill_process(pid, signal);
            let _ = child.wait();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::QUIT);
    }
}

/// A port that is free and that the system gives to nobody who asks for any: those begin at 32768.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 8000).unwrap();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (first + next) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Makes a file or folder the server's.
pub(crate) fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The folder of the programs: what `KSNODE_POSTGRES` says; else, as Debian keeps those of each version in a folder of
/// their own, the newest version's; else nowhere, and the PATH is asked.
pub(crate) fn installed() -> PathBuf {
    if let Some(folder) = std::env::var_os("KSNODE_POSTGRES") {
        return folder.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter();
    let folders = versions.flatten().flatten();
    let folders = folders.map(|entry| entry.path().join("bin"));
    let whole = folders.filter(|folder| folder.join("postgres").exists());
    whole.max().unwrap_or_default()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
