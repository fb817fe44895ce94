//! Permissions and owners along the whole way to each folder of the node, and to its secret.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::Case;
use super::account::{Account, Right};
use crate::cli::finding::{Finding, command};
use crate::store::DATABASE_FILE;

const AREA: &str = "folders";
const SECRET: &str = "secret";

/// Files of a folder that are looked at. More is somebody else's folder.
const FILES: usize = 2_000;

pub(super) fn look(case: &Case) -> Vec<Finding> {
    let folders = case.config.folders();
    folders
        .iter()
        .flat_map(|(of, folder)| {
            let trouble = trouble(case, folder, *of == "data" || *of == "backups");
            if trouble.is_empty() {
                vec![fine(of, folder)]
            } else {
                trouble
            }
        })
        .collect()
}

fn fine(of: &str, folder: &Path) -> Finding {
    let shown = folder.display();
    Finding::ok(
        AREA,
        if folder.exists() {
            format!("{of}: {shown} is the node's own")
        } else {
            format!("{of}: {shown} is made when it is needed")
        },
    )
    .on(folder)
}

fn trouble(case: &Case, folder: &Path, private: bool) -> Vec<Finding> {
    if let Some(finding) = way_to(AREA, folder, &case.account) {
        return vec![finding];
    }
    match folder.metadata() {
        Ok(found) if !found.is_dir() => vec![not_a(AREA, "folder", folder)],
        Ok(found) => inside(case, folder, &found, private),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            can_be_made(folder, &case.account).into_iter().collect()
        }
        Err(error) => vec![unseen(AREA, folder, &error)],
    }
}

/// The first folder on the way that the account may not enter.
fn way_to(area: &'static str, path: &Path, account: &Account) -> Option<Finding> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    for folder in above {
        let found = match folder.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return Some(unseen(area, folder, &error)),
        };
        if !found.is_dir() {
            return Some(not_a(area, "folder", folder));
        }
        if !account.may(Right::Enter, &found) {
            let what = format!(
                "{account} may not enter {}, which is on the way to {}",
                folder.display(),
                path.display()
            );
            let mend = command("sudo chmod o+x", folder);
            return Some(Finding::wrong(area, what).on(folder).mend(mend));
        }
    }
    None
}

/// A folder of the node that is there.
fn inside(case: &Case, folder: &Path, found: &Metadata, private: bool) -> Vec<Finding> {
    let account = &case.account;
    let shown = folder.display();
    if found.uid() != account.uid {
        let owner = Account::new(found.uid(), found.gid());
        let what = format!("{shown} belongs to {owner}, and the node runs as {account}");
        return vec![
            Finding::wrong(AREA, what)
                .on(folder)
                .mend(chown(account, folder)),
        ];
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o700 != 0o700 {
        let what = format!("{shown} is closed to its own user (mode {mode:04o})");
        return vec![
            Finding::wrong(AREA, what)
                .on(folder)
                .mend(command("sudo chmod 700", folder)),
        ];
    }
    let mut findings = Vec::new();
    if private && mode & 0o077 != 0 {
        let what = format!("{shown} is open to others (mode {mode:04o})");
        findings.push(
            Finding::warning(AREA, what)
                .on(folder)
                .mend(command("sudo chmod 700", folder)),
        );
    }
    findings.extend(others_files(account, folder));
    findings
}

/// Files that somebody else left in a folder of the node, mostly root.
fn others_files(account: &Account, folder: &Path) -> Option<Finding> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) => return Some(unseen(AREA, folder, &error)),
    };
    for entry in entries.take(FILES).flatten() {
        let Ok(found) = entry.metadata() else {
            continue;
        };
        let path = entry.path();
        // A daemon's is written before its process becomes the node's user.
        if path.extension().is_some_and(|ending| ending == "pid") {
            continue;
        }
        let what = if found.uid() != account.uid {
            let owner = Account::new(found.uid(), found.gid());
            format!(
                "{} belongs to {owner}, and the node runs as {account}",
                path.display()
            )
        } else if found.is_file() && !account.may(Right::Read, &found) {
            format!("{} is closed to its own user", path.display())
        } else {
            continue;
        };
        let mend = format!(
            "{}; {}",
            chown(account, folder),
            command("sudo chmod -R u+rwX", folder)
        );
        return Some(Finding::wrong(AREA, what).on(&path).mend(mend));
    }
    None
}

/// A folder that is not there is made by whoever needs it first, where that is possible.
fn can_be_made(folder: &Path, account: &Account) -> Option<Finding> {
    let above = folder.ancestors().skip(1).find(|above| above.exists())?;
    let found = above.metadata().ok()?;
    if account.may(Right::Write, &found) && account.may(Right::Enter, &found) {
        return None;
    }
    let what = format!(
        "{} is not there, and {account} may not make it in {}",
        folder.display(),
        above.display()
    );
    let owner = account.user_and_group();
    let (user, group) = owner.split_once(':').unwrap_or((&owner, &owner));
    let words = format!("sudo install -d -m 700 -o {user} -g {group}");
    Some(
        Finding::wrong(AREA, what)
            .on(folder)
            .mend(command(&words, folder)),
    )
}

/// The file of the encryption secret.
pub(super) fn look_at_secret(case: &Case) -> Vec<Finding> {
    let path = &case.config.secret_file;
    if let Some(finding) = way_to(SECRET, path, &case.account) {
        return vec![finding];
    }
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return vec![absent(case)],
        Err(error) => return vec![unseen(SECRET, path, &error)],
    };
    let shown = path.display();
    if !found.is_file() {
        return vec![not_a(SECRET, "file", path)];
    }
    if !case.account.may(Right::Read, &found) {
        let what = format!("{} may not read {shown}", case.account);
        let mend = format!(
            "{}; {}",
            chown(&case.account, path),
            command("sudo chmod 600", path)
        );
        return vec![Finding::wrong(SECRET, what).on(path).mend(mend)];
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 && !case.config.allow_readable_secret {
        let what = format!("{shown} is accessible to others (mode {mode:04o})");
        return vec![
            Finding::wrong(SECRET, what)
                .on(path)
                .mend(command("sudo chmod 600", path)),
        ];
    }
    if found.len() == 0 {
        let what = format!("{shown} is empty");
        return vec![
            Finding::wrong(SECRET, what)
                .on(path)
                .mend("put your copy of the secret back"),
        ];
    }
    vec![Finding::ok(SECRET, format!("{shown} is there and private")).on(path)]
}

fn absent(case: &Case) -> Finding {
    let path = &case.config.secret_file;
    let what = format!("{} is not there", path.display());
    if is_decrypted_for_service(case) {
        let what = format!(
            "{what}: systemd decrypts the secret for the service (LoadCredentialEncrypted=)"
        );
        return Finding::note(SECRET, what)
            .on(path)
            .mend("what is done on a stopped node needs it there for that time");
    }
    if case.config.data_dir.join(DATABASE_FILE).exists() {
        let mend = "put your copy of the secret back: a new one would not open the database";
        return Finding::wrong(SECRET, what).on(path).mend(mend);
    }
    Finding::note(SECRET, what)
        .on(path)
        .mend("ksnode init makes one")
}

/// Whether the unit has the secret from an encrypted credential. `systemctl show` does not print it.
fn is_decrypted_for_service(case: &Case) -> bool {
    let Some(unit) = &case.unit else {
        return false;
    };
    let shown = Command::new("systemctl")
        .args(["cat", unit])
        .stderr(Stdio::null())
        .output();
    shown.is_ok_and(|shown| {
        let text = String::from_utf8_lossy(&shown.stdout);
        text.lines()
            .any(|line| line.trim().starts_with("LoadCredentialEncrypted=secret:"))
    })
}

pub(super) fn chown(account: &Account, path: &Path) -> String {
    command(&format!("sudo chown -R {}", account.user_and_group()), path)
}

fn not_a(area: &'static str, what: &str, path: &Path) -> Finding {
    Finding::wrong(area, format!("{} is not a {what}", path.display()))
        .on(path)
        .mend("move it away, or name another path in the configuration")
}

/// Whoever runs the command may not look there.
fn unseen(area: &'static str, path: &Path, error: &std::io::Error) -> Finding {
    let what = format!("{} cannot be looked at: {error}", path.display());
    Finding::warning(area, what)
        .on(path)
        .mend("sudo ksnode doctor")
}
