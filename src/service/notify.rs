//! The service manager: what it is told, and what it is asked to keep (sd_notify(3), systemd's protocol, which others
//! speak as well).
//!
//! All of it is datagrams to a socket whose path is in the environment. Without that variable there is nobody to tell, and
//! nothing here does anything: the rest of the program need not know whether there is a service manager.
//!
//! A message that cannot be sent is logged, the first one as a warning, and is no failure: the manager acts on what it
//! does not hear.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// The variable with the socket's path.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The variable that tells how many descriptors the manager keeps (systemd 254 and later).
const STORE: &str = "FDSTORE";
/// The variable with the number of the process that systemd started (248 and later).
const STARTED: &str = "SYSTEMD_EXEC_PID";
/// Where Linux tells which unit a process belongs to.
const CONTROL_GROUP: &str = "/proc/self/cgroup";

/// How long the manager may take to work through what it was told.
const PATIENCE: Duration = Duration::from_secs(5);

type Send =
    dyn Fn(&[NotifyState<'_>], &[BorrowedFd<'_>]) -> std::io::Result<()> + std::marker::Send + Sync;

/// The service manager, if there is one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Manager(Option<Arc<Line>>);

/// The way to it.
struct Line {
    send: Box<Send>,
    watchdog: Option<Duration>,
    keeps: bool,
    /// Whether a message could not be sent.
    deaf: AtomicBool,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.as_deref();
        f.debug_struct("Manager")
            .field("there", &line.is_some())
            .field("watchdog", &line.and_then(|line| line.watchdog))
            .finish_non_exhaustive()
    }
}

impl Manager {
    /// The one that has started this process and wants to be told.
    pub fn of_process() -> Self {
        if std::env::var_os(SOCKET).is_none_or(|path| path.is_empty()) {
            return Self::default();
        }
        // Before 254 there is no variable, and whether the manager keeps sockets shows only at the next start.
        let keeps = std::env::var(STORE).map_or(true, |count| count != "0");
        Self::new(sd_notify::watchdog_enabled(), keeps, |states, files| {
            if files.is_empty() {
                sd_notify::notify(states)
            } else {
                sd_notify::notify_with_fds(states, files)
            }
        })
    }

    fn new(
        watchdog: Option<Duration>,
        keeps: bool,
        send: impl Fn(&[NotifyState<'_>], &[BorrowedFd<'_>]) -> std::io::Result<()>
        + std::marker::Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Some(Arc::new(Line {
            send: Box::new(send),
            watchdog: watchdog.filter(|interval| !interval.is_zero()),
            keeps,
            deaf: AtomicBool::new(false),
        })))
    }

    /// A manager that tells a test what it is told, and how many descriptors came with it.
    #[cfg(test)]
    pub(crate) fn telling(
        watchdog: Option<Duration>,
        told: std::sync::mpsc::Sender<(String, usize)>,
    ) -> Self {
        let told = std::sync::Mutex::new(told);
        Self::new(watchdog, true, move |states, files| {
            let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
            let message = (lines.join("\n"), files.len());
            told.lock()
                .unwrap()
                .send(message)
                .map_err(std::io::Error::other)
        })
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The time within which it wants a sign of life, again and again.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// The node serves.
    pub fn ready(&self, status: &str) {
        let status = on_one_line(status);
        self.tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The node has read its files again.
    pub fn reloaded(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// How the node is, on one line for people.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(&on_one_line(status))]);
    }

    /// The node reads its files again; [`Self::reloaded`] is to follow.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            // Without its time the manager would wait for it: nothing is told then, as before there was this protocol.
            Err(error) => tracing::warn!(%error, "the service manager is not told of a reload"),
        }
    }

    /// The node ends, and is not to be killed for so long from now: the configuration may give requests more time than the
    /// manager does.
    pub fn stopping(&self, time: Duration) {
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros(time)),
            NotifyState::Status("stopping"),
        ]);
    }

    /// A start goes on, and is not to be given up for so long from now.
    pub fn goes_on(&self, time: Duration, status: &str) {
        let status = on_one_line(status);
        self.tell(&[
            NotifyState::ExtendTimeoutUsec(micros(time)),
            NotifyState::Status(&status),
        ]);
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// Has it keep a copy of this socket under that name, for the next start. It keeps the same socket only once.
    pub fn keep(&self, name: &str, socket: &impl AsFd) {
        if self.0.as_ref().is_some_and(|line| line.keeps) {
            let states = [NotifyState::FdStore, NotifyState::FdName(name)];
            self.send(&states, &[socket.as_fd()]);
        }
    }

    /// Has it close what it keeps under that name.
    pub fn forget(&self, name: &str) {
        self.tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }

    /// Waits until it has done what it was told until now, for some seconds at most: it closes what comes with this message
    /// when it comes to it. One that does not know the message closes that at once.
    pub fn catch_up(&self) {
        if self.0.is_none() {
            return;
        }
        let waited = UnixStream::pair().and_then(|(mut own, its)| {
            self.send(&[NotifyState::Custom("BARRIER=1")], &[its.as_fd()]);
            drop(its);
            own.set_read_timeout(Some(PATIENCE))?;
            own.read(&mut [0])
        });
        match waited {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                tracing::warn!("the service manager is slow to answer; going on without");
            }
            Err(error) => tracing::warn!(%error, "the service manager cannot be waited for"),
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        self.send(states, &[]);
    }

    fn send(&self, states: &[NotifyState<'_>], files: &[BorrowedFd<'_>]) {
        let Some(line) = &self.0 else { return };
        let Err(error) = (line.send)(states, files) else {
            return;
        };
        if line.deaf.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "the service manager cannot be told");
        } else {
            tracing::warn!(%error, "the service manager cannot be told how the node is ({SOCKET})");
        }
    }
}

/// More than an hour does not fit, and is cut.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// A line break would begin another variable of the message.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The unit as which a service manager runs a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, where the system tells.
    pub name: Option<String>,
    /// Whether it is one of a user's own, and not of the system's.
    pub of_user: bool,
}

impl Unit {
    /// This process's; `None` when no service manager has started it. That it was started by something that one has
    /// started, such as a shell in a terminal, does not count: it would not be started again.
    pub fn of_process() -> Option<Self> {
        let own = std::process::id().to_string();
        let started = std::env::var(STARTED).is_ok_and(|process| process == own);
        if !started && std::env::var_os(SOCKET).is_none() {
            return None;
        }
        let group = std::fs::read_to_string(CONTROL_GROUP).unwrap_or_default();
        Some(Self::in_control_group(&group))
    }

    fn in_control_group(group: &str) -> Self {
        let is_service = |name: &&str| name.ends_with(".service");
        let path = || group.lines().flat_map(|line| line.trim().split('/'));
        let name = path().rfind(is_service);
        let of_user = path().any(|name| name.starts_with("user@"));
        Self {
            // The manager of a user's units is a unit itself.
            name: name
                .filter(|name| !name.starts_with("user@"))
                .map(str::to_owned),
            of_user,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_is_told_in_its_words() {
        let (told, messages) = mpsc::channel();
        let manager = Manager::telling(None, told);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        manager.ready("well:\nserves");
        manager.goes_on(Duration::from_secs(30), "copying");
        manager.alive();
        manager.keep("held-1", &socket);
        manager.forget("held-1");
        manager.stopping(Duration::from_secs(80));
        let messages: Vec<_> = messages.try_iter().collect();
        let texts: Vec<&str> = messages.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "READY=1\nSTATUS=well: serves",
                "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=copying",
                "WATCHDOG=1",
                "FDSTORE=1\nFDNAME=held-1",
                "FDSTOREREMOVE=1\nFDNAME=held-1",
                "STOPPING=1\nEXTEND_TIMEOUT_USEC=80000000\nSTATUS=stopping",
            ]
        );
        let with_files: Vec<usize> = messages.iter().map(|(_, files)| *files).collect();
        assert_eq!(with_files, [0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_reload_tells_its_time() {
        let (told, messages) = mpsc::channel();
        Manager::telling(None, told).reloading();
        let (text, _) = messages.recv().unwrap();
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{text}");
    }

    #[test]
    fn nobody_is_told_nothing_and_nobody_is_waited_for() {
        let manager = Manager::default();
        manager.ready("");
        manager.catch_up();
        assert!(!manager.is_there() && manager.watchdog().is_none());
        // One that does not keep what comes with the message has closed it when the message is sent.
        let (told, messages) = mpsc::channel();
        Manager::telling(None, told).catch_up();
        assert_eq!(messages.recv().unwrap(), ("BARRIER=1".to_owned(), 1));
    }

    #[test]
    fn one_that_is_gone_is_no_failure() {
        let (told, messages) = mpsc::channel();
        drop(messages);
        let manager = Manager::telling(None, told);
        manager.alive();
        manager.alive();
    }

    #[test]
    fn units_are_found_in_control_groups() {
        for (group, name, of_user) in [
            (
                "0::/system.slice/ksnode.service\n",
                Some("ksnode.service"),
                false,
            ),
            (
                "0::/system.slice/system-ksnode.slice/ksnode@a.service/payload\n",
                Some("ksnode@a.service"),
                false,
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/ksnode.service\n",
                Some("ksnode.service"),
                true,
            ),
            (
                "0::/user.slice/user-1000.slice/session-3.scope\n",
                None,
                false,
            ),
            ("", None, false),
        ] {
            let unit = Unit::in_control_group(group);
            assert_eq!(
                (unit.name.as_deref(), unit.of_user),
                (name, of_user),
                "{group}"
            );
        }
    }
}
