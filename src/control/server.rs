//! Who may speak, and for how long.
//!
//! A client has a few seconds to send its request and to take each line of the answer; then it is cut. The work runs in
//! a task of its own, which a client that is cut or goes away does not end.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ControlError;
use super::protocol::{Event, PhaseStep, REQUEST_BYTES, Request, read_line};
use crate::audit::Actor;
use crate::backup::Progress;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 16;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 64;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to send its request, and to take a line of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a client is told how far the work is.
const TICK: Duration = Duration::from_millis(100);
/// After so many ticks with nothing to tell it is told that the work goes on: every 2 s.
const QUIET_TICKS: u32 = 20;

/// A request being worked on: its answer, or why not, for people.
pub type Work = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Who does the work.
pub type Answerer = Arc<dyn Fn(Actor, Request, Progress) -> Work + Send + Sync>;

/// The control socket, bound. Its file is removed when it is dropped, or stops to accept.
pub struct ControlServer {
    listener: UnixListener,
    file: SocketFile,
    answerer: Answerer,
}

impl fmt::Debug for ControlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlServer")
            .field("path", &self.file.0)
            .finish_non_exhaustive()
    }
}

impl ControlServer {
    /// Listens at `path`, private to this process's user. Whoever calls this has the data folder to itself, so a socket
    /// that is there is what a killed node left, and is replaced.
    ///
    /// # Errors
    /// [`ControlError::NotASocket`], [`ControlError::Io`].
    pub fn bind(path: &Path, answerer: Answerer) -> Result<Self, ControlError> {
        let failed = |source| ControlError::io(path, source);
        match path.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ControlError::NotASocket {
                    path: path.to_owned(),
                });
            }
            Ok(_) => std::fs::remove_file(path).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        // Between binding and listening: nobody can connect while the mode is what the umask left.
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
        Ok(Self {
            listener: socket.listen(BACKLOG).map_err(failed)?,
            file,
            answerer,
        })
    }

    /// Serves until `stop`, then removes the socket and returns when the requests under way have been answered.
    pub async fn serve(self, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let connections = TaskTracker::new();
        while let Some(Ok(permit)) = stop
            .run_until_cancelled(permits.clone().acquire_owned())
            .await
        {
            let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await else {
                break;
            };
            match accepted {
                Ok((stream, _)) => {
                    let (answerer, stop) = (self.answerer.clone(), stop.clone());
                    connections.spawn(async move {
                        // A client that went away is nothing to report.
                        let _ = attend(stream, &answerer, &stop).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a control connection could not be accepted");
                    stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE))
                        .await;
                }
            }
        }
        drop((self.file, self.listener));
        connections.close();
        connections.wait().await;
    }
}

/// The socket's name in the folder.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays is replaced by the next start.
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the control socket could not be removed");
        }
    }
}

/// Whether a process of this user may ask. The file's mode says the same; it may have been changed.
pub(super) fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn attend(
    stream: UnixStream,
    answerer: &Answerer,
    stop: &CancellationToken,
) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reading, mut writing) = stream.into_split();
    if !may_ask(peer, geteuid().as_raw()) {
        tracing::warn!(user = peer, "another user asked over the control socket");
        let message = "only the user that runs the node and root may ask".to_owned();
        return send(&mut writing, &Event::Failed { message }).await;
    }
    let request = match stop.run_until_cancelled(receive(reading)).await {
        None => Err("the node is being stopped".to_owned()),
        Some(None) => return Ok(()),
        Some(Some(received)) => received,
    };
    let request = match request {
        Ok(request) => request,
        Err(message) => return send(&mut writing, &Event::Failed { message }).await,
    };
    let (told, steps) = watch::channel(None);
    let progress = Progress::new(move |step| {
        told.send_replace(Some(PhaseStep::from(step)));
    });
    let work = tokio::spawn(answerer(Actor::Command { user: peer }, request, progress));
    relay(&mut writing, work, steps).await
}

/// The request; nothing when the client ended before it was complete.
async fn receive(reading: OwnedReadHalf) -> Option<Result<Request, String>> {
    let mut reader = BufReader::new(reading);
    match timeout(PATIENCE, read_line(&mut reader, REQUEST_BYTES)).await {
        Err(_) => Some(Err(format!(
            "no request came within {} s",
            PATIENCE.as_secs()
        ))),
        Ok(Err(error)) => Some(Err(format!("the request cannot be read: {error}"))),
        Ok(Ok(line)) => line.map(|line| Request::parse(&line)),
    }
}

/// Tells the client how far the work is, and how it ended.
async fn relay(
    writing: &mut OwnedWriteHalf,
    mut work: JoinHandle<Result<Value, String>>,
    mut steps: watch::Receiver<Option<PhaseStep>>,
) -> std::io::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut quiet = 0_u32;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut work => break ended,
            _ = ticks.tick() => {}
        }
        // An error says that the work has dropped its end: it is about to be over.
        let step = if steps.has_changed().unwrap_or(false) {
            steps.borrow_and_update().clone()
        } else {
            None
        };
        quiet = quiet.saturating_add(1);
        if let Some(step) = step {
            send(writing, &Event::Progress(step)).await?;
            quiet = 0;
        } else if quiet >= QUIET_TICKS {
            send(writing, &Event::Alive).await?;
            quiet = 0;
        }
    };
    let last = match ended {
        Ok(Ok(answer)) => Event::Done { answer },
        Ok(Err(message)) => Event::Failed { message },
        Err(error) => {
            tracing::error!(%error, "a request over the control socket broke off");
            let message = "the node failed at it; its log says more".to_owned();
            Event::Failed { message }
        }
    };
    send(writing, &last).await
}

async fn send(writing: &mut OwnedWriteHalf, event: &Event) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    timeout(PATIENCE, writing.write_all(&line)).await?
}
