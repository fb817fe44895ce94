//! Several nodes on one machine: the places of each, and the units that run them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::{SYSTEM_DATA, SYSTEM_FILE};

/// The folder of the service's configuration, and of those of further nodes.
pub const SYSTEM_FOLDER: &str = "/etc/ksnode";

/// A node of several on one machine: `--instance NAME`. Its places are the service's with the name behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(String);

impl FromStr for Instance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if first && text.len() <= 32 && text.chars().all(plain) && text != "tls" {
            return Ok(Self(text.to_owned()));
        }
        Err("write 1 to 32 of a-z, 0-9 and -, no - first (and not tls, which is a folder of the first node's)".to_owned())
    }
}

impl Instance {
    /// `/etc/ksnode/NAME/ksnode.toml`
    pub fn config_file(&self) -> PathBuf {
        Path::new(SYSTEM_FOLDER).join(&self.0).join("ksnode.toml")
    }

    /// `/etc/ksnode/NAME/secret`
    pub fn secret_file(&self) -> PathBuf {
        Path::new(SYSTEM_FOLDER).join(&self.0).join("secret")
    }

    /// `/var/lib/ksnode-NAME`
    pub fn data_dir(&self) -> PathBuf {
        format!("{SYSTEM_DATA}-{}", self.0).into()
    }

    /// `/var/backups/ksnode-NAME`
    pub fn backup_dir(&self) -> PathBuf {
        format!("/var/backups/ksnode-{}", self.0).into()
    }
}

/// The unit that runs the node with this configuration file; `None` when it is not a service's.
pub fn unit_of(config_file: Option<&Path>) -> Option<String> {
    let file = config_file?;
    if file == Path::new(SYSTEM_FILE) {
        return Some("ksnode".to_owned());
    }
    let inner = file.strip_prefix(SYSTEM_FOLDER).ok()?;
    let name = inner.parent()?.to_str()?;
    let instance: Instance = name.parse().ok()?;
    (instance.config_file() == file).then(|| format!("ksnode@{name}"))
}

/// How an administrator calls this program for the node of `unit`, or for one without.
pub fn program_of(unit: Option<&str>) -> String {
    match unit.map(|unit| unit.split_once('@')) {
        None => "ksnode".to_owned(),
        Some(None) => "sudo ksnode".to_owned(),
        Some(Some((_, name))) => format!("sudo ksnode --instance {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_places_of_its_own() {
        let instance: Instance = "b-2".parse().unwrap();
        let file = instance.config_file();
        assert_eq!(file, Path::new("/etc/ksnode/b-2/ksnode.toml"));
        assert_eq!(unit_of(Some(&file)).unwrap(), "ksnode@b-2");
        assert_eq!(program_of(Some("ksnode@b-2")), "sudo ksnode --instance b-2");
        assert_eq!(instance.data_dir(), Path::new("/var/lib/ksnode-b-2"));
        assert_eq!(instance.backup_dir(), Path::new("/var/backups/ksnode-b-2"));
        for bad in ["", "-b", "B", "b/c", "..", "b c", "tls", &"b".repeat(33)] {
            assert!(bad.parse::<Instance>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_services_file_has_a_unit() {
        let unit = |file: &str| unit_of(Some(Path::new(file)));
        assert_eq!(unit("/etc/ksnode/ksnode.toml").unwrap(), "ksnode");
        for other in [
            "/etc/ksnode/new.toml",
            "/etc/ksnode/b/new.toml",
            "/home/me/ksnode.toml",
        ] {
            assert_eq!(unit(other), None, "{other}");
        }
        assert_eq!(unit_of(None), None);
    }
}
