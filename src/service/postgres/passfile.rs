//! libpq's password file: lines of `host:port:database:user:password`, `*` for any, `\` before a colon or backslash.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::target::Address;
use super::{PostgresError, read};
use crate::config::SecretText;

/// The password of the first line that fits; none does: `None`.
pub(super) fn look_up(
    path: &Path,
    address: &Address,
    database: &str,
    user: &str,
) -> Result<Option<SecretText>, PostgresError> {
    let mode = std::fs::metadata(path)
        .map_err(|error| PostgresError::file(path, error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(PostgresError::file(
            path,
            format!("others may read it; run: chmod 600 {}", path.display()),
        ));
    }
    let (host, port) = match address {
        Address::Tcp { host, port } => (host.clone(), port),
        // As in libpq: the socket's folder, or localhost.
        Address::Unix { folder, port } => (folder.display().to_string(), port),
    };
    let wanted = [host.as_str(), &port.to_string(), database, user];
    let text = read(path)?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| password(line, &wanted, address.is_unix())))
}

fn password(line: &str, wanted: &[&str; 4], unix: bool) -> Option<SecretText> {
    let fields = fields(line);
    let [host, port, database, user, secret] = fields.as_slice() else {
        return None;
    };
    let fits = |field: &str, wanted: &str| field == "*" || field == wanted;
    let [its_host, its_port, its_database, its_user] = *wanted;
    let host_fits = fits(host, its_host) || (unix && host.as_str() == "localhost");
    (host_fits && fits(port, its_port) && fits(database, its_database) && fits(user, its_user))
        .then(|| SecretText::new(secret.to_string()))
}

/// The password may hold colons only when they are escaped, as libpq has it.
fn fields(line: &str) -> Vec<zeroize::Zeroizing<String>> {
    let mut fields = vec![zeroize::Zeroizing::new(String::new())];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(zeroize::Zeroizing::new(String::new())),
            '\\' => {
                if let (Some(last), Some(escaped)) = (fields.last_mut(), characters.next()) {
                    last.push(escaped);
                }
            }
            other => {
                if let Some(last) = fields.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    fields
}
