//! What a first start needs: the data folder, the encryption secret, the administrator's password.
//!
//! `ksnode init` and the first `ksnode serve` call the same function. It is safe to repeat: what exists stays.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::files::{Made, private_file, private_folder};
use crate::admin::{FIRST_PASSWORD_FILE, HASH_FILE, PasswordHash, readable};
use crate::config::{Config, SecretText};
use crate::store::DATABASE_FILE;

/// What the set-up did.
#[derive(Debug, Default)]
pub struct Setup {
    /// What was made, in order.
    pub created: Vec<PathBuf>,
    /// What was there already.
    pub found: Vec<PathBuf>,
    /// The administrator's password, when it was made now, and where it lies until its first use.
    pub admin_password: Option<(SecretText, PathBuf)>,
}

impl Setup {
    /// Whether this was the first start here.
    pub fn is_first(&self) -> bool {
        !self.created.is_empty()
    }

    /// Notes the database, which the caller is about to open and so to make when there is none.
    ///
    /// # Errors
    ///
    /// The data folder cannot be looked into.
    pub fn note_database(&mut self, config: &Config) -> std::io::Result<()> {
        let path = config.data_dir.join(DATABASE_FILE);
        let list = if path.try_exists()? {
            &mut self.found
        } else {
            &mut self.created
        };
        list.push(path);
        Ok(())
    }

    /// Says what was made, and the new password: it is not said again.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn tell_what_is_new(&self, out: &mut impl Write) -> std::io::Result<()> {
        for path in &self.created {
            writeln!(out, "created: {}", path.display())?;
        }
        if let Some((password, path)) = &self.admin_password {
            writeln!(
                out,
                "admin password: {} (shown this once; it lies in {} until its first use)",
                password.expose(),
                path.display()
            )?;
        }
        if self.is_first() {
            writeln!(
                out,
                "keep a copy of the encryption secret elsewhere: without it nobody can read the shares"
            )?;
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, made: Made) {
        let list = match made {
            Made::Created => &mut self.created,
            Made::Found => &mut self.found,
        };
        list.push(path.to_owned());
    }
}

/// Makes what is missing of data folder, encryption secret and administrator's password.
///
/// # Errors
///
/// Something cannot be made, or the secret is missing beside a database: a new secret could not open it.
pub fn ensure(config: &Config) -> anyhow::Result<Setup> {
    let mut setup = Setup::default();
    let folder = private_folder(&config.data_dir)
        .context("data_dir: set it to a folder that the user who runs ksnode may write to")?;
    setup.note(&config.data_dir, folder);
    secret(config, &mut setup)?;
    admin_password(config, &mut setup)?;
    Ok(setup)
}

fn secret(config: &Config, setup: &mut Setup) -> anyhow::Result<()> {
    let path = &config.secret_file;
    if exists(path)? {
        setup.note(path, Made::Found);
        return Ok(());
    }
    let database = config.data_dir.join(DATABASE_FILE);
    if exists(&database)? {
        bail!(
            "secret_file: {} is missing, and the database {} cannot be opened without it; put the secret that \
             belongs to it back (a new one would not open it)",
            path.display(),
            database.display()
        );
    }
    let text = new_secret()?;
    let made = private_file(path, text.as_bytes()).context("secret_file")?;
    setup.note(path, made);
    Ok(())
}

/// A new encryption secret: 32 random bytes, in hex so that people can copy it.
///
/// # Errors
///
/// The system gives no random numbers.
pub fn new_secret() -> anyhow::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0_u8; 32]);
    fill(random.as_mut_slice())?;
    Ok(Zeroizing::new(hex::encode(random.as_slice())))
}

/// Makes the administrator's password, unless one is configured or was made before. Its text is on the disk before its
/// hash: a crash in between leaves a password that the next run takes, not a hash whose password nobody has seen.
fn admin_password(config: &Config, setup: &mut Setup) -> anyhow::Result<()> {
    if config.admin.password.is_some() {
        return Ok(());
    }
    let hash = config.data_dir.join(HASH_FILE);
    if exists(&hash)? {
        setup.note(&hash, Made::Found);
        return Ok(());
    }
    let path = config.data_dir.join(FIRST_PASSWORD_FILE);
    let mut line = Zeroizing::new(String::with_capacity(64));
    // Five groups of four characters, 100 random bits.
    line.push_str(&readable::<20>()?);
    line.push('\n');
    let made = private_file(&path, line.as_bytes())?;
    setup.note(&path, made);
    if made == Made::Found {
        line = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    let password = SecretText::new(line.trim_end().to_owned());
    let kept = Zeroizing::new(format!("{}\n", PasswordHash::new(password.expose())?));
    let made = private_file(&hash, kept.as_bytes())?;
    setup.note(&hash, made);
    if made == Made::Created {
        setup.admin_password = Some((password, path));
    }
    Ok(())
}

fn exists(path: &Path) -> anyhow::Result<bool> {
    path.try_exists()
        .with_context(|| format!("cannot look up {}", path.display()))
}

fn fill(bytes: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(bytes).context("the system gives no random numbers")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::defaults_in as config;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn makes_everything_private_and_once() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("node");
        let setup = ensure(&config(&data)).unwrap();
        let secret = data.join("secret");
        let (password, hash) = (data.join(FIRST_PASSWORD_FILE), data.join(HASH_FILE));
        assert_eq!(
            setup.created,
            [data.clone(), secret.clone(), password.clone(), hash.clone()]
        );
        assert_eq!(
            [&data, &secret, &password, &hash].map(|path| mode(path)),
            [0o700, 0o600, 0o600, 0o600]
        );
        let text = std::fs::read_to_string(&secret).unwrap();
        assert_eq!(hex::decode(&text).unwrap().len(), 32);
        let (made, lies_in) = setup.admin_password.unwrap();
        assert_eq!((made.expose().len(), &lies_in), (24, &password));
        let line = format!("{}\n", made.expose());
        assert_eq!(std::fs::read_to_string(&password).unwrap(), line);
        let kept = std::fs::read_to_string(&hash).unwrap();
        let parsed = PasswordHash::parse(kept.trim_end()).unwrap();
        assert!(parsed.is_of(made.expose()).unwrap() && !kept.contains(made.expose()));

        let again = ensure(&config(&data)).unwrap();
        assert!(again.created.is_empty() && again.admin_password.is_none());
        assert_eq!(again.found, [data, secret.clone(), hash]);
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), text);
    }

    #[test]
    fn a_password_whose_hash_was_not_written_any_more_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let first = ensure(&config(data.path())).unwrap();
        std::fs::remove_file(data.path().join(HASH_FILE)).unwrap();
        let again = ensure(&config(data.path())).unwrap();
        let password = |setup: Setup| setup.admin_password.unwrap().0;
        assert_eq!(password(first).expose(), password(again).expose());
    }

    #[test]
    fn makes_no_new_secret_for_an_old_database() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("ksnode.db"), b"").unwrap();
        let error = ensure(&config(data.path())).unwrap_err().to_string();
        assert!(
            error.contains("secret_file") && error.contains("put the secret"),
            "{error}"
        );
        assert!(!data.path().join("secret").exists());
    }

    #[test]
    fn leaves_a_configured_password_alone() {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        config.admin.password = Some(SecretText::new("mine".to_owned()));
        assert!(ensure(&config).unwrap().admin_password.is_none());
        for file in [FIRST_PASSWORD_FILE, HASH_FILE] {
            assert!(!data.path().join(file).exists());
        }
    }
}
