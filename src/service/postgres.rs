//! Connections to a Postgres that somebody else runs.
//!
//! A [`Target`] says where it is, as whom, and how TLS is verified; [`Target::connect`] opens a [`Session`]. What libpq
//! users know is understood the same way (`sslmode`, `sslrootcert`, `passfile`, several hosts), with three differences:
//! certificates are verified unless the operator says otherwise (`verify-full`, where libpq's `prefer` falls back to
//! clear text in silence), a name that is not understood is refused instead of ignored, and nothing is taken from places
//! that nobody named (`PGPASSWORD`, `~/.pgpass`).
//!
//! tokio-postgres can parse addresses itself. Its parser knows neither `verify-full` nor `sslrootcert` nor `passfile`
//! and says nothing about which host it was that refused, so hosts are parsed and tried here, one after the other.

mod error;
mod passfile;
mod target;
// The whole-node tests start the same servers.
#[cfg(test)]
#[allow(dead_code, reason = "what only the whole-node tests ask of a server")]
#[path = "../../tests/node/postgres.rs"]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use error::{Place, PostgresError};
use target::Address;
pub use target::{Parts, Password, SslVerification, Target};

/// How long a connection without traffic lives before the system asks whether the other side is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Questions without an answer that end the connection.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may go without an acknowledgement of the network's other end.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// An open connection. Dropping it cuts it; what was not committed is undone by the server.
#[derive(Debug)]
pub struct Session {
    /// Runs statements.
    pub client: Client,
    place: Place,
    driver: Driver,
}

impl Session {
    /// Where it leads.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What `error`, which a statement of this session ended with, means to the operator.
    pub fn failed(&self, error: &tokio_postgres::Error) -> PostgresError {
        PostgresError::from_driver(&self.place, error)
    }

    /// Says goodbye to the server and waits until it is said.
    pub async fn close(self) {
        let Self {
            client, mut driver, ..
        } = self;
        drop(client);
        // A connection that had failed before is closed as well.
        let _ = (&mut driver.0).await;
    }
}

/// The task that moves a connection's bytes; it ends with the session.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Target {
    /// Connects to the first of the hosts that lets us in (and may be written to, when the target asks for that).
    ///
    /// # Errors
    /// [`PostgresError`] of the last host that was tried, or of files that the target names.
    pub async fn connect(&self) -> Result<Session, PostgresError> {
        let mut last = PostgresError::address("it names no host");
        for address in &self.addresses {
            match self.connect_to(address).await {
                Ok(session) => return Ok(session),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Hosts and database, for texts.
    pub fn place(&self) -> Place {
        let hosts: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        Place::new(hosts.join(","), &self.database)
    }

    async fn connect_to(&self, address: &Address) -> Result<Session, PostgresError> {
        let place = Place::new(address.to_string(), &self.database);
        let attempt = self.attempt(address, place.clone());
        match tokio::time::timeout(self.connect_timeout, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PostgresError::TimedOut { place }),
        }
    }

    async fn attempt(&self, address: &Address, place: Place) -> Result<Session, PostgresError> {
        let mut config = self.config(address)?;
        let driver_error =
            |error: &tokio_postgres::Error| PostgresError::from_driver(&place, error);
        // There is no TLS on a Unix socket, whose peer is this machine.
        if address.is_unix() || self.verification == SslVerification::Disable {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config
                .connect(NoTls)
                .await
                .map_err(|error| driver_error(&error))?;
            return Ok(session(client, place, connection));
        }
        config.ssl_mode(SslMode::Require);
        let tls = verify::client_config(self.verification, self.root_certificate.as_deref())?;
        let (client, connection) = config
            .connect(MakeRustlsConnect::new(tls))
            .await
            .map_err(|error| driver_error(&error))?;
        Ok(session(client, place, connection))
    }

    fn config(&self, address: &Address) -> Result<Config, PostgresError> {
        let mut config = Config::new();
        match address {
            Address::Tcp { host, port } => config.host(host).port(*port),
            Address::Unix { folder, port } => config.host_path(folder).port(*port),
        };
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application_name)
            .connect_timeout(self.connect_timeout)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        if self.read_write {
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        }
        let password = match &self.password {
            Password::None => None,
            Password::Given(secret) => Some(secret.clone()),
            Password::Passfile(path) => {
                passfile::look_up(path, address, &self.database, &self.user)?
            }
        };
        if let Some(secret) = password {
            config.password(secret.expose());
        }
        Ok(config)
    }
}

fn session<S, T>(
    client: Client,
    place: Place,
    connection: tokio_postgres::Connection<S, T>,
) -> Session
where
    tokio_postgres::Connection<S, T>:
        Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    // Whoever waits for an answer hears of a lost connection through it.
    let driver = Driver(tokio::spawn(async move {
        let _ = connection.await;
    }));
    Session {
        client,
        place,
        driver,
    }
}

/// Reads a file that a target names.
fn read(path: &Path) -> Result<zeroize::Zeroizing<String>, PostgresError> {
    std::fs::read_to_string(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| PostgresError::file(path, error.to_string()))
}
