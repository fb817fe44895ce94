//! The other end: a command's.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ControlError;
use super::protocol::{EVENT_BYTES, Event, PhaseStep, Request, read_line};

/// How long nothing may come, where a line is due every 2 s: a node on a slow disk is not to be given up early.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection to a running node, good for one request.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    process: Option<u32>,
}

impl Client {
    /// Connects to the node behind the socket. `None`: no node listens there.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`], [`ControlError::Io`].
    pub async fn connect(path: &Path) -> Result<Option<Self>, ControlError> {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if is_absence(error.kind()) => return Ok(None),
            Err(error) => return Err(ControlError::io(path, error)),
        };
        // It is 0 when the node runs in a container and this command does not.
        let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let process = process
            .and_then(|process| u32::try_from(process).ok())
            .filter(|&process| process != 0);
        Ok(Some(Self { stream, process }))
    }

    /// The node's process, when the kernel tells.
    pub fn process(&self) -> Option<u32> {
        self.process
    }

    /// Asks, and waits for the answer; `watch` is given the steps until then.
    ///
    /// # Errors
    /// [`ControlError::Refused`] with the node's own words; [`ControlError::Cut`], [`ControlError::Silent`],
    /// [`ControlError::Garbled`], [`ControlError::Unsayable`].
    pub async fn ask<T: DeserializeOwned>(
        self,
        request: &Request,
        mut watch: impl FnMut(PhaseStep),
    ) -> Result<T, ControlError> {
        let mut line = serde_json::to_vec(request).map_err(ControlError::Unsayable)?;
        line.push(b'\n');
        let (reading, mut writing) = self.stream.into_split();
        // A node that cuts the connection has said why.
        let _ = timeout(SILENCE, writing.write_all(&line)).await;
        let mut reader = BufReader::new(reading);
        loop {
            let read = timeout(SILENCE, read_line(&mut reader, EVENT_BYTES)).await;
            let line = match read {
                Err(_) => {
                    return Err(ControlError::Silent {
                        seconds: SILENCE.as_secs(),
                    });
                }
                Ok(Err(error)) if error.kind() == ErrorKind::InvalidData => {
                    return Err(ControlError::Garbled(error.to_string()));
                }
                Ok(Ok(None) | Err(_)) => return Err(ControlError::Cut),
                Ok(Ok(Some(line))) => line,
            };
            match serde_json::from_slice(&line).map_err(garbled)? {
                Event::Progress(step) => watch(step),
                Event::Alive => {}
                Event::Done { answer } => return serde_json::from_value(answer).map_err(garbled),
                Event::Failed { message } => return Err(ControlError::Refused(message)),
            }
        }
    }
}

/// A folder without a socket, or with one that a killed node left.
fn is_absence(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
    )
}

fn garbled(error: serde_json::Error) -> ControlError {
    ControlError::Garbled(error.to_string())
}
