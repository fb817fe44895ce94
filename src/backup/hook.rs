//! The operator's command after a completed backup, which takes the file elsewhere.
//!
//! It is a line for `/bin/sh` in a process group of its own, so that all of it can be ended at once. Whatever it does, the
//! node goes on: it has a time limit, its output is read and only the end of it kept, and what it leaves running in the
//! background is neither waited for nor ended once the command itself has ended well in time.
//!
//! It gets the node's environment, so that `PATH`, `HOME` and the settings of the program it starts are there, but not
//! what begins with `KSNODE_` nor the secrets among the Docker suite's variables. A list of what is let through was
//! considered: operators would meet it as a command that works in a shell and not here.

mod output;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::future::{Future, pending};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::config;
use crate::service::owner;

use output::Tail;

/// The variable that holds the file's path, beside `$1`.
const FILE_VARIABLE: &str = "KSNODE_BACKUP_FILE";

/// How long the output is read on after the command has ended: something in the background may hold it open for ever.
const GRACE: Duration = Duration::from_millis(500);

/// How long a killed command may take to be gone. The kernel ends it at once, unless it waits for a disk.
const REAP: Duration = Duration::from_secs(5);

/// Why a command did not succeed. The texts hold the end of its output, which is the operator's own.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// It could not be started or watched.
    #[error("the command of backup.after could not be run: {0}")]
    Run(#[from] io::Error),
    /// It ended otherwise than with 0.
    #[error("the command of backup.after ended with {status}{said}")]
    Ended { status: ExitStatus, said: String },
    /// It was killed.
    #[error("the command of backup.after took longer than {} s and was killed{said}", limit.as_secs())]
    TooLong { limit: Duration, said: String },
}

/// Runs `command` for `file` and waits until it has ended, at most for `limit`. When the future is dropped the command
/// is killed with all it started.
///
/// # Errors
/// [`HookError`].
pub(super) async fn run(command: &str, file: &Path, limit: Duration) -> Result<(), HookError> {
    run_until(command, file, limit, sleep(limit)).await
}

/// The same, until `deadline`.
async fn run_until(
    command: &str,
    file: &Path,
    limit: Duration,
    deadline: impl Future<Output = ()>,
) -> Result<(), HookError> {
    let (mut child, mut output) = start(command, file)?;
    // Declared after the child: it goes first, while the child still has its number.
    let mut group = Group::of(&child);
    let mut tail = Tail::default();
    let ended = tokio::select! {
        status = child.wait() => Some(status?),
        () = deadline => None,
        () = read_on(&mut output, &mut tail) => None,
    };
    if ended.is_none() {
        group.kill();
        // A failure means that it hangs in the kernel; the runtime goes on trying.
        let _gone = timeout(REAP, child.wait()).await;
    }
    group.release();
    let _end = timeout(GRACE, tail.read(&mut output)).await;
    let said = tail.said();
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(HookError::Ended { status, said }),
        None => Err(HookError::TooLong { limit, said }),
    }
}

/// Reads the output for as long as somebody waits for something else: it never ends.
async fn read_on(output: &mut Receiver, tail: &mut Tail) {
    tail.read(output).await;
    pending().await
}

fn start(command: &str, file: &Path) -> io::Result<(Child, Receiver)> {
    // One pipe for both, so that the order of the lines is kept.
    let (reader, writer) = io::pipe()?;
    let child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .arg("ksnode-backup")
        .arg(file)
        .env_clear()
        .envs(inherited(std::env::vars_os()))
        .envs(owner::environment())
        .env(FILE_VARIABLE, file)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // The writers of this process are gone with the `Command`.
    Ok((child, Receiver::from_owned_fd(reader.into())?))
}

/// What the command sees of the node's environment.
fn inherited(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    variables.filter(|(name, _)| !config::is_private_variable(&name.to_string_lossy()))
}

/// A process group that is killed when this is dropped, unless it was released.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// The group that the child leads.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn kill(&self) {
        let Some(leader) = self.0 else { return };
        if let Err(error) = kill_process_group(leader, Signal::KILL) {
            tracing::warn!(%error, "the command of backup.after could not be killed");
        }
    }

    /// The leader was waited for: its number may be given to others.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
