//! Files with secrets: where they are, who may read them, what is in them.
//!
//! A value without a slash is the name of a systemd credential, because those are handed over in a folder whose
//! path nobody knows before the start; everything else is a path. Credentials are not checked for who
//! may read them: systemd guards their folder, and shows the access list of a credential as group bits.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::SecretText;
use super::environment::Environment;
use super::error::Wrong;
use super::places::below;

/// No password or token is longer; what is, is another file.
const MAX_BYTES: u64 = 64 * 1024;

/// A place where a secret is kept.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) credential: bool,
}

impl Place {
    /// The place that `text` names; relative paths are relative to `base`.
    pub(crate) fn new(text: &str, base: &Path, environment: &Environment) -> Result<Self, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new(
                "is empty",
                "write the path of a file, or a systemd credential's name",
            ));
        }
        if text.contains('/') {
            return Ok(Self {
                path: absolute(text, base)?,
                credential: false,
            });
        }
        let folder = environment.path("CREDENTIALS_DIRECTORY").ok_or_else(|| {
            Wrong::new(
                format!(
                    "{text:?} names a systemd credential, and CREDENTIALS_DIRECTORY is not set"
                ),
                format!("write ./{text} for a file, or add LoadCredential={text}:PATH to the unit"),
            )
        })?;
        // Only dots could lead out of the folder: there is no slash.
        if matches!(text, "." | "..") {
            return Err(Wrong::new(
                format!("{text:?} is a folder"),
                "write the path of a file",
            ));
        }
        Ok(Self {
            path: folder.join(text),
            credential: true,
        })
    }

    /// Checks that the secret is a file, may be read by us, and by nobody else.
    pub(crate) fn check(&self, allow_readable: bool) -> Result<std::fs::File, Wrong> {
        let shown = self.path.display();
        // Asked before opening: opening a pipe would wait for its writer.
        let metadata = self
            .path
            .metadata()
            .map_err(|error| self.unreadable(&error))?;
        if !metadata.is_file() {
            return Err(Wrong::new(
                format!("{shown} is not a regular file"),
                "name the file itself",
            ));
        }
        let file = std::fs::File::open(&self.path).map_err(|error| self.unreadable(&error))?;
        let mode = file
            .metadata()
            .map_err(|error| self.unreadable(&error))?
            .permissions()
            .mode();
        if !self.credential && !allow_readable && is_open(mode) {
            return Err(Wrong::new(
                format!(
                    "{shown} is accessible to others (mode {:04o})",
                    mode & 0o7777
                ),
                format!("run: chmod 600 {}", shell_quoted(&self.path)),
            ));
        }
        Ok(file)
    }

    /// The password or token that is kept here, without the one line break that editors leave at the end.
    pub(crate) fn read(&self, allow_readable: bool) -> Result<SecretText, Wrong> {
        let file = self.check(allow_readable)?;
        let shown = self.path.display();
        // Reserved at once, so that growing leaves no copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES.try_into().unwrap_or(0)));
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| self.unreadable(&error))?;
        let trimmed = text.strip_suffix('\n').unwrap_or(&text);
        let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
        if trimmed.is_empty() {
            return Err(Wrong::new(
                format!("{shown} is empty"),
                "write the secret into it",
            ));
        }
        Ok(SecretText::new(trimmed.to_owned()))
    }

    fn unreadable(&self, error: &std::io::Error) -> Wrong {
        let mend = if self.credential {
            "check LoadCredential= in the unit".to_owned()
        } else if error.kind() == std::io::ErrorKind::PermissionDenied {
            format!(
                "give it to the user that runs ksnode, mostly: sudo chown ksnode: {}; its folder must let that user in",
                shell_quoted(&self.path)
            )
        } else {
            "check the path and who may read it".to_owned()
        };
        Wrong::new(
            format!("{} cannot be read: {error}", self.path.display()),
            mend,
        )
    }
}

/// Whether a file of this mode is open to anybody but its owner.
pub(crate) fn is_open(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// The path as a word of a shell command that can be pasted.
pub(crate) fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `text` as an absolute path, relative ones below `base`.
pub(crate) fn absolute(text: &str, base: &Path) -> Result<PathBuf, Wrong> {
    if text.starts_with('~') {
        let wrong = format!("{text:?} begins with a tilde, which only shells understand");
        return Err(Wrong::new(wrong, "write the absolute path"));
    }
    Ok(below(base, Path::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(credentials: Option<&Path>) -> Environment {
        let variable = credentials.map(|path| ("CREDENTIALS_DIRECTORY".to_owned(), path.into()));
        Environment::new(variable, PathBuf::from("/work"))
    }

    fn file(folder: &Path, content: &[u8], mode: u32) -> Place {
        let path = folder.join("token");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        Place {
            path,
            credential: false,
        }
    }

    #[test]
    fn trims_one_line_break_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (content, secret) in [
            ("a b \n", "a b "),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("012345", "012345"),
        ] {
            assert_eq!(
                file(folder.path(), content.as_bytes(), 0o600)
                    .read(false)
                    .unwrap()
                    .expose(),
                secret
            );
        }
    }

    #[test]
    fn refuses_what_others_may_read_unless_allowed() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o604, 0o640, 0o660] {
            let place = file(folder.path(), b"hunter2", mode);
            let wrong = place.read(false).unwrap_err();
            assert_eq!(
                wrong.mend,
                format!("run: chmod 600 {}", place.path.display())
            );
            assert!(!wrong.wrong.contains("hunter2"));
            assert_eq!(place.read(true).unwrap().expose(), "hunter2");
        }
    }

    #[test]
    fn refuses_what_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"\n", &[0xff, 0xfe]] {
            file(folder.path(), content, 0o600).read(false).unwrap_err();
        }
        let place = Place {
            path: folder.path().to_owned(),
            credential: false,
        };
        assert!(
            place
                .read(false)
                .unwrap_err()
                .wrong
                .contains("not a regular file")
        );
    }

    #[test]
    fn tells_credentials_from_paths() {
        let folder = tempfile::tempdir().unwrap();
        let credential = Place::new(
            "token",
            Path::new("/etc"),
            &environment(Some(folder.path())),
        )
        .unwrap();
        assert!(credential.credential);
        assert_eq!(credential.path, folder.path().join("token"));
        let path = Place::new("./token", Path::new("/etc"), &environment(None)).unwrap();
        assert_eq!(path.path, Path::new("/etc/token"));
        let unset = Place::new("token", Path::new("/etc"), &environment(None)).unwrap_err();
        assert!(unset.wrong.contains("CREDENTIALS_DIRECTORY"));
        assert!(unset.mend.contains("LoadCredential=token:PATH") && unset.mend.contains("./token"));
        Place::new("..", Path::new("/etc"), &environment(Some(folder.path()))).unwrap_err();
        Place::new("~/token", Path::new("/etc"), &environment(None)).unwrap_err();
    }

    #[test]
    fn a_credential_may_have_group_bits() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            credential: true,
            ..file(folder.path(), b"t\n", 0o440)
        };
        assert_eq!(place.read(false).unwrap().expose(), "t");
    }

    #[test]
    fn quotes_odd_paths_for_the_shell() {
        assert_eq!(shell_quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
