use std::os::unix::fs::PermissionsExt;

use tokio_postgres::error::SqlState;

use super::testing::{DATABASE, PASSWORD, Postgres, USER};
use super::*;
use crate::config::SecretText;

fn from_url(text: &str) -> Result<Target, PostgresError> {
    Target::from_url(&SecretText::new(text.to_owned()))
}

fn parts(port: u16, sslmode: &str) -> Parts {
    Parts {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        user: USER.to_owned(),
        password: Password::Given(SecretText::new(PASSWORD.to_owned())),
        database: Some(DATABASE.to_owned()),
        sslmode: Some(sslmode.to_owned()),
        root_certificate: None,
    }
}

#[test]
fn a_url_is_understood_as_libpq_does_but_verifies() {
    let target = from_url("postgresql://us%65r:p%40ss%2F@db.example:6432/sha%20res").unwrap();
    assert_eq!(
        target.place().to_string(),
        "Postgres at db.example:6432, database sha res"
    );
    assert_eq!(target.user, "user");
    assert!(matches!(&target.password, Password::Given(secret) if secret.expose() == "p@ss/"));
    assert_eq!(target.verification(), SslVerification::VerifyFull);
    assert!(!target.is_local() && !target.read_write);

    let target = from_url(
        "postgres://user@[::1]:6000,two,/three?host=%2Frun%2Fpg,::1&port=6001&sslmode=verify-ca\
         &sslrootcert=/ca.pem&passfile=/pass&connect_timeout=3&application_name=x&target_session_attrs=read-write",
    );
    let target = target.unwrap();
    assert_eq!(
        target.place().to_string(),
        "Postgres at /run/pg/.s.PGSQL.6001,[::1]:6001, database three"
    );
    assert!(target.is_local() && target.read_write);
    assert_eq!(target.verification(), SslVerification::VerifyCa);
    assert_eq!(target.connect_timeout, Duration::from_secs(3));
    assert!(matches!(target.password, Password::Passfile(_)));

    let several = from_url("postgresql://user@[fd00::1],two:5433").unwrap();
    assert_eq!(
        several.place().to_string(),
        "Postgres at [fd00::1]:5432,two:5433, database user"
    );
    let require = from_url("postgresql://user@h?sslmode=require&sslrootcert=/ca.pem").unwrap();
    assert_eq!(require.verification(), SslVerification::VerifyCa);
    let system = from_url("postgresql://user@h?sslmode=verify-full&sslrootcert=system").unwrap();
    assert_eq!(system.root_certificate, None);
}

#[test]
fn hosts_and_ports_are_those_of_the_parameters_whatever_their_order() {
    for (url, hosts) in [
        ("u@/db?host=/run/pg&port=6001", "/run/pg/.s.PGSQL.6001"),
        ("u@/db?port=6001&host=/run/pg", "/run/pg/.s.PGSQL.6001"),
        ("u@:6543/db?host=h2", "h2:6543"),
        ("u@h1:6543/db?host=h2", "h2:6543"),
        ("u@h1:6543/db?host=h2,h3", "h2:6543,h3:6543"),
        ("u@h1:1,h2:2/db?host=h3,h4", "h3:1,h4:2"),
        ("u@h1:6543/db?port=6001&host=h2", "h2:6001"),
        ("u@h1,h2:5433/db?port=6001", "h1:6001,h2:6001"),
        ("u@h1,h2/db?port=6001,6002", "h1:6001,h2:6002"),
        ("u@h1:6543/db?host=h2&host=h3", "h3:6543"),
        ("u@h1/db?host=h2", "h2:5432"),
    ] {
        let target = from_url(&format!("postgresql://{url}")).unwrap();
        let expected = format!("Postgres at {hosts}, database db");
        assert_eq!(target.place().to_string(), expected, "{url}");
    }
}

#[test]
fn what_is_not_understood_is_refused_without_its_secrets() {
    for (text, why) in [
        ("mysql://user:hidden@host/db", "postgresql://"),
        ("postgresql://user:hidden@/db", "no host"),
        ("postgresql://:hidden@host/db", "no user"),
        ("postgresql://user:hidden@host:0/db", "port"),
        ("postgresql://user:hidden@host:70000/db", "port"),
        ("postgresql://user:hidden@host/db?port=1,0", "port"),
        ("postgresql://user:hidden@/db?port=1", "no host"),
        (
            "postgresql://user:hidden@a:1,b:2/db?host=c",
            "one for each host",
        ),
        (
            "postgresql://user:hidden@host/db?sslmode=prefer",
            "clear text",
        ),
        (
            "postgresql://user:hidden@host/db?sslmode=allow",
            "clear text",
        ),
        (
            "postgresql://user:hidden@host/db?sslmode=yes",
            "verify-full",
        ),
        ("postgresql://user:hidden@host/db?sslcert=a", "sslcert"),
        (
            "postgresql://user:hidden@host/db?connect_timeout=0",
            "seconds",
        ),
        (
            "postgresql://user:hidden@host/db?target_session_attrs=standby",
            "primary",
        ),
        ("postgresql://user:hidden%ff@host/db", "UTF-8"),
    ] {
        let error = from_url(text).unwrap_err().to_string();
        assert!(
            error.contains(why) && !error.contains("hidden"),
            "{text}: {error}"
        );
    }
    let target = from_url("postgresql://user:hidden@host/db").unwrap();
    assert!(!format!("{target:?}").contains("hidden"));
}

#[tokio::test]
async fn connects_over_tls_by_how_it_is_verified() {
    let server = Postgres::start();
    let port = server.port();
    let connect = async |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts(port, "verify-full");
        change(&mut parts);
        let session = Target::from_parts(parts).unwrap().connect().await?;
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let encrypted: bool = session.client.query_one(sql, &[]).await.unwrap().get(0);
        session.close().await;
        Ok::<_, PostgresError>(encrypted)
    };
    let localhost = |parts: &mut Parts| parts.host = "localhost".to_owned();
    let trusted = |parts: &mut Parts| parts.root_certificate = Some(server.authority());
    let mode = |parts: &mut Parts, mode: &str| parts.sslmode = Some(mode.to_owned());

    let unknown = connect(&localhost).await.unwrap_err();
    assert!(matches!(unknown, PostgresError::Tls { .. }), "{unknown}");
    assert!(
        unknown.to_string().contains("root certificate"),
        "{unknown}"
    );
    let full = |parts: &mut Parts| {
        localhost(parts);
        trusted(parts);
    };
    assert!(connect(&full).await.unwrap());
    // The certificate is for localhost, not for its address.
    let other_name = connect(&trusted).await.unwrap_err();
    assert!(
        other_name
            .to_string()
            .contains("as the certificate names it"),
        "{other_name}"
    );
    let any_name = |parts: &mut Parts| {
        trusted(parts);
        mode(parts, "verify-ca");
    };
    assert!(connect(&any_name).await.unwrap());
    let other_authority = |parts: &mut Parts| mode(parts, "verify-ca");
    assert!(connect(&other_authority).await.is_err());
    assert!(connect(&|parts| mode(parts, "require")).await.unwrap());
    assert!(!connect(&|parts| mode(parts, "disable")).await.unwrap());
    let socket = |parts: &mut Parts| parts.host = server.folder().display().to_string();
    assert!(!connect(&socket).await.unwrap());
}

#[tokio::test]
async fn errors_name_place_and_mend() {
    let mut server = Postgres::start();
    let base = parts(server.port(), "disable");
    let connect = async |parts: Parts| Target::from_parts(parts).unwrap().connect().await;

    let wrong = Parts {
        password: Password::Given(SecretText::new("mistaken".to_owned())),
        ..base.clone()
    };
    let error = connect(wrong).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD), "{error}");
    assert!(error.to_string().contains("pg_hba.conf") && !error.to_string().contains("mistaken"));
    let none = Parts {
        password: Password::None,
        ..base.clone()
    };
    let error = connect(none).await.unwrap_err();
    assert!(error.to_string().contains("give a password"), "{error}");
    let elsewhere = Parts {
        database: Some("elsewhere".to_owned()),
        ..base.clone()
    };
    let error = connect(elsewhere).await.unwrap_err();
    assert!(
        error.to_string().contains("create that database"),
        "{error}"
    );

    server.query(&format!(
        "ALTER DATABASE {DATABASE} SET default_transaction_read_only = on"
    ));
    let target = Target::from_parts(base.clone()).unwrap();
    target.connect().await.unwrap().close().await;
    let error = target.for_writing().connect().await.unwrap_err();
    assert!(matches!(error, PostgresError::ReadOnly { .. }), "{error}");

    server.stop();
    let error = connect(base).await.unwrap_err();
    assert!(
        matches!(error, PostgresError::Unreachable { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("127.0.0.1:{}", server.port())),
        "{error}"
    );
}

#[tokio::test]
async fn takes_the_first_host_that_may_be_written_to() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let url = format!(
        "postgresql://{USER}:pw%3AzQ4%407%2Fx@127.0.0.1:{},127.0.0.1:{}/{DATABASE}?sslmode=disable",
        standby.port(),
        primary.port()
    );
    let target = from_url(&url).unwrap();
    let port = async |target: &Target| {
        let session = target.connect().await.unwrap();
        let row = session
            .client
            .query_one("SELECT inet_server_port()", &[])
            .await;
        row.unwrap().get::<_, i32>(0)
    };
    assert_eq!(port(&target).await, i32::from(standby.port()));
    assert_eq!(port(&target.for_writing()).await, i32::from(primary.port()));
}

#[tokio::test]
async fn a_password_file_is_read_at_each_connect() {
    let server = Postgres::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passfile");
    let escaped = PASSWORD.replace(':', "\\:");
    let port = server.port();
    std::fs::write(
        &path,
        format!("# ours\n*:1:*:*:no\n127.0.0.1:{port}:{DATABASE}:*:{escaped}\n"),
    )
    .unwrap();
    let target = Target::from_parts(Parts {
        password: Password::Passfile(path.clone()),
        ..parts(port, "disable")
    })
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = target.connect().await.unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    target.connect().await.unwrap().close().await;
}
