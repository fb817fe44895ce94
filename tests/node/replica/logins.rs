//! The ways to say where the Postgres is and what lets the node in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{House, register_all, stands, verified, whole};
use crate::postgres::{DATABASE, PASSWORD, Postgres, USER};
use crate::support::Setup;

fn private(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The replica in parts, but for the password.
fn parts(house: &House) -> Setup {
    Setup::new(house.home.path())
        .env("KSNODE_REPLICA__HOST", "127.0.0.1")
        .env("KSNODE_REPLICA__PORT", &house.postgres.port().to_string())
        .env("KSNODE_REPLICA__USER", USER)
        .env("KSNODE_REPLICA__DATABASE", DATABASE)
        .env("KSNODE_REPLICA__SSLMODE", "disable")
}

#[test]
fn the_password_comes_from_a_file_a_passfile_or_a_credential() {
    let house = House::new();
    let (folder, port) = (house.home.path(), house.postgres.port());
    let file = private(folder, "password", &format!("{PASSWORD}\n"));
    let line = format!(
        "127.0.0.1:{port}:*:{USER}:{}\n",
        PASSWORD.replace(':', "\\:")
    );
    let passfile = private(folder, "passfile", &line);
    let without = format!(
        "postgresql://{USER}@127.0.0.1:{port}/{DATABASE}?sslmode=disable&passfile={}",
        passfile.display()
    );
    let url = private(folder, "replica-url", &Postgres::url_through(port));
    let folder = folder.to_str().unwrap();
    let url_of =
        |setup: Setup, file: &Path| setup.env("KSNODE_REPLICA__URL_FILE", file.to_str().unwrap());
    let nodes = [
        parts(&house).env("KSNODE_REPLICA__PASSWORD_FILE", file.to_str().unwrap()),
        parts(&house)
            .env("KSNODE_REPLICA__PASSWORD_FILE", "password")
            .env("CREDENTIALS_DIRECTORY", folder),
        Setup::new(house.home.path()).env("KSNODE_REPLICA__URL", &without),
        url_of(Setup::new(house.home.path()), &url),
        url_of(Setup::new(house.home.path()), Path::new("replica-url"))
            .env("CREDENTIALS_DIRECTORY", folder),
    ];
    for (users, setup) in (1..).zip(nodes) {
        let node = setup.start();
        register_all(&node, users..users + 1);
        assert_eq!(verified(&setup), users);
        assert!(!node.logged().contains(PASSWORD));
        assert!(node.stop().success());
    }
}

/// The Docker suite's node does not look at the certificate when `DB_SSL` is true; this one does, unless it is told not to.
#[test]
fn the_docker_suites_names_are_understood_and_its_tls_is_verified() {
    let house = House::new();
    let suite = |ssl: &str| {
        Setup::new(house.home.path())
            .env("DB_HOST", "localhost")
            .env("DB_PORT", &house.postgres.port().to_string())
            .env("DB_USER", USER)
            .env("DB_PASSWORD", PASSWORD)
            .env("DB_NAME", DATABASE)
            .env("DB_SSL", ssl)
    };
    let setup = suite("false");
    let node = setup.start();
    register_all(&node, 1..3);
    assert_eq!(verified(&setup), 2);
    assert!(node.stop().success());

    let setup = suite("true");
    let node = setup.start();
    let error = stands(&setup, "away");
    assert!(error.contains("TLS failed"), "{error}");
    register_all(&node, 3..4);
    assert!(node.stop().success());

    let authority = house.postgres.authority();
    let authority = authority.to_str().unwrap();
    for told in [
        suite("true").env("KSNODE_REPLICA__ROOT_CERTIFICATE", authority),
        suite("true").env("KSNODE_REPLICA__SSLMODE", "require"),
    ] {
        let node = told.start();
        whole(&told);
        assert_eq!(verified(&told), 3);
        let encrypted = house.postgres.query(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'ksnode'",
        );
        assert_eq!(encrypted, "t");
        assert!(node.stop().success());
    }
}
