//! A node in the background without a service manager: two forks, a session of its own, a pid file.
//!
//! The command that starts it stays until the node serves or has failed, and tells which: a pipe leads from the one to the
//! other. Whoever sees the command end well can rely on the node.
//!
//! The forks, the streams and the pid file are the crate daemonize's. Its change of user is not used: it leaves the
//! process in root's supplementary groups, and it comes after the files were opened. Those lie in folders of the node's
//! user, who may have put a link to somebody else's file there: root is not to follow it. So whoever starts a daemon becomes
//! its user before ([`super::owner`]). The crate has an unmaintained notice (RUSTSEC-2025-0069) and nothing wrong
//! with it: what it does is small, settled, and read in full for this use. It is used here and nowhere else.
//!
//! A fork copies one thread alone: this is to happen before there are others.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use daemonize::{Daemonize, Outcome, Stdio};
use rustix::fs::{Access, access};

/// The exit code of what failed for no reason of its own.
const FAILURE: u8 = 1;

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// One has the pid file.
    #[error(
        "--pid-file {path}: a node runs with it{}; stop that one first, or name another file",
        process.as_ref().map(|process| format!(" (process {process})")).unwrap_or_default(),
        path = path.display()
    )]
    Running {
        /// The pid file.
        path: PathBuf,
        /// What is in it.
        process: Option<String>,
    },
    /// A file cannot be used.
    #[error("{option} {path}: {source}; check that its folder is there and that the node's user may write to it", path = path.display())]
    Unusable {
        /// The option that named it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refuses.
    #[error("the daemon cannot be started: {0}")]
    Fork(#[from] daemonize::Error),
    /// The same of the pipe.
    #[error("the daemon cannot be listened to: {0}")]
    Pipe(std::io::Error),
}

/// Where a daemon leaves its traces. The paths are absolute: its working folder is another one.
#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Holds the process's number, and is locked while it runs.
    pub pid_file: PathBuf,
    /// What its standard error is appended to; nothing when absent.
    pub log_file: Option<PathBuf>,
}

/// What came of a fork.
#[derive(Debug)]
pub enum Forked {
    /// This is the process that started the daemon, and that is how it went.
    Launcher(Told),
    /// This is the daemon.
    Daemon(Daemon),
    /// This would have been the daemon. The launcher knows why it is not.
    Stillborn,
}

/// What the daemon told before it went on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The exit code: 0 when it serves.
    pub code: u8,
    /// What people are to read.
    pub text: String,
}

/// Starts a daemon, and waits until it serves or has failed. To be called as the user that the daemon is to be.
///
/// # Errors
/// [`DaemonError`], in the launcher alone.
pub fn start(options: &DaemonOptions) -> Result<Forked, DaemonError> {
    refuse_second(&options.pid_file)?;
    let log = options.log_file.as_deref();
    let log = log
        .map(open_log)
        .transpose()?
        .map_or_else(Stdio::devnull, Stdio::from);
    let (reader, writer) = std::io::pipe().map_err(DaemonError::Pipe)?;
    let daemonize = Daemonize::new()
        .pid_file(&options.pid_file)
        .umask(0o077)
        .stderr(log);
    match daemonize.execute() {
        Outcome::Parent(parent) => {
            // Otherwise the pipe would not end with the daemon.
            drop(writer);
            parent?;
            Ok(Forked::Launcher(listen(reader).map_err(DaemonError::Pipe)?))
        }
        Outcome::Child(child) => {
            let mut daemon = Daemon {
                launcher: Some(writer),
                pid_file: options.pid_file.clone(),
            };
            if let Err(error) = child {
                daemon.failed(FAILURE, &format!("ksnode: {}\n", DaemonError::from(error)));
                return Ok(Forked::Stillborn);
            }
            // For those who watch it: the umask has made it private. What fails here costs them alone.
            let _ = std::fs::set_permissions(&daemon.pid_file, Permissions::from_mode(0o644));
            Ok(Forked::Daemon(daemon))
        }
    }
}

/// Says which process has the pid file, or that it cannot be written, which the daemon itself says without its name. The
/// daemon takes it in earnest, and is refused then if somebody was quicker.
fn refuse_second(path: &Path) -> Result<(), DaemonError> {
    let unusable = |source| DaemonError::Unusable {
        option: "--pid-file",
        path: path.to_owned(),
        source,
    };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            return access(folder, Access::WRITE_OK).map_err(|error| unusable(error.into()));
        }
        Err(error) => return Err(unusable(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // It only makes the error clearer.
            let _ = (&mut file).take(32).read_to_string(&mut text);
            let process = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
            Err(DaemonError::Running {
                path: path.to_owned(),
                process,
            })
        }
    }
}

fn open_log(path: &Path) -> Result<File, DaemonError> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path);
    file.map_err(|source| DaemonError::Unusable {
        option: "--log-file",
        path: path.to_owned(),
        source,
    })
}

/// Reads what the daemon tells: its exit code in one byte, then the text.
fn listen(mut reader: PipeReader) -> std::io::Result<Told> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(match bytes.split_first() {
        Some((code, text)) => Told {
            code: *code,
            text: String::from_utf8_lossy(text).into_owned(),
        },
        None => Told {
            code: FAILURE,
            text: "ksnode: the daemon ended before it served; its log says more\n".to_owned(),
        },
    })
}

/// The process in the background.
#[derive(Debug)]
pub struct Daemon {
    /// Closed when the launcher has been told.
    launcher: Option<PipeWriter>,
    pid_file: PathBuf,
}

impl Daemon {
    /// Tells the launcher that the node serves, with a text for its standard output.
    pub fn serves(&mut self, text: &str) {
        self.tell(0, text);
    }

    /// Tells the launcher that the node does not serve, with a text for its standard error. Once it has served the text
    /// goes to this process's own.
    pub fn failed(&mut self, code: u8, text: &str) {
        if !self.tell(code, text) {
            // A closed standard error leaves the exit code to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    fn tell(&mut self, code: u8, text: &str) -> bool {
        let Some(mut launcher) = self.launcher.take() else {
            return false;
        };
        // A launcher that was killed need not know.
        let _ = launcher
            .write_all(&[code])
            .and_then(|()| launcher.write_all(text.as_bytes()));
        true
    }

    /// Removes the pid file: the end is one in order.
    pub fn end(&self) {
        match std::fs::remove_file(&self.pid_file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                %error,
                path = %self.pid_file.display(),
                "the pid file could not be removed and is of no process now; choose one in a folder that the node's user \
                 may write to"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        refuse_second(&path).unwrap();
        // What a killed daemon left.
        std::fs::write(&path, "4711\n").unwrap();
        refuse_second(&path).unwrap();
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        let error = refuse_second(&path).unwrap_err().to_string();
        assert!(error.contains("process 4711"), "{error}");
        let error = refuse_second(&path.join("below")).unwrap_err().to_string();
        assert!(error.starts_with("--pid-file "), "{error}");
    }

    #[test]
    fn the_launcher_hears_code_and_text_once() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut daemon = Daemon {
            launcher: Some(writer),
            pid_file: PathBuf::from("/nonexistent"),
        };
        daemon.failed(78, "wrong\n");
        assert!(!daemon.tell(0, "too late"));
        let told = Told {
            code: 78,
            text: "wrong\n".into(),
        };
        assert_eq!(listen(reader).unwrap(), told);
    }

    #[test]
    fn a_daemon_that_dies_in_silence_has_failed() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        let told = listen(reader).unwrap();
        assert!(
            told.code == 1 && told.text.contains("before it served"),
            "{told:?}"
        );
    }

    #[test]
    fn the_log_is_private_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["one\n", "two\n"] {
            let mut log = open_log(&path).unwrap();
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
