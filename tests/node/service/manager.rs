//! The service manager that a test is.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::support::{Node, Setup, wait_for};

/// What was said and what was given.
#[derive(Default)]
struct Heard {
    messages: Vec<String>,
    kept: Vec<(String, OwnedFd)>,
}

pub struct Manager {
    socket: PathBuf,
    heard: Arc<Mutex<Heard>>,
    passed: Vec<(String, OwnedFd)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// One with its socket in this folder.
    pub fn new(folder: &Path) -> Self {
        let socket = folder.join("notify.sock");
        let listener = UnixDatagram::bind(&socket).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hearing = heard.clone();
        // It ends with the program: nobody closes the socket.
        std::thread::spawn(move || {
            loop {
                let (text, files) = receive(&listener);
                hearing.lock().unwrap().take(text, files);
            }
        });
        Self {
            socket,
            heard,
            passed: Vec::new(),
            watchdog: None,
        }
    }

    /// It wants a sign of life so often.
    pub fn watchdog(mut self, interval: Duration) -> Self {
        self.watchdog = Some(interval);
        self
    }

    /// Passes a socket of a socket unit.
    pub fn pass(&mut self, name: &str, socket: OwnedFd) {
        self.passed.push((name.to_owned(), socket));
    }

    /// Starts the node, passing all that it keeps: two sockets at most, which the shell gets as its standard input and
    /// error. (Descriptors that programs inherit would be inherited by the nodes of other tests too.)
    pub fn start(&mut self, setup: &Setup) -> Node {
        let heard = self.heard.lock().unwrap();
        let all = self.passed.iter().chain(&heard.kept);
        let (names, mut files): (Vec<String>, Vec<OwnedFd>) = all
            .map(|(name, file)| (name.clone(), file.try_clone().unwrap()))
            .unzip();
        drop(heard);
        let (moves, count) = match files.len() {
            0 => ("", 0),
            1 => ("3<&0", 1),
            2 => ("3<&0 4<&2", 2),
            more => panic!("{more} sockets"),
        };
        let listen = format!(
            "LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={}",
            names.join(":")
        );
        let script =
            format!(r#"exec {moves} 0</dev/null 2>>"$HOME/stderr.log"; {listen} exec "$0" "$@""#);
        let nothing = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        files.resize_with(2, nothing);
        let (stderr, stdin) = (files.pop().unwrap(), files.pop().unwrap());
        let mut setup = setup
            .clone()
            .env("NOTIFY_SOCKET", self.socket.to_str().unwrap());
        if let Some(interval) = self.watchdog {
            setup = setup.env("WATCHDOG_USEC", &interval.as_micros().to_string());
        }
        setup.start_with(&script, stdin, stderr)
    }

    /// Waits until it is told this; returns the message, and forgets it with those before it.
    #[track_caller]
    pub fn hears(&self, text: &str) -> String {
        wait_for(text, || {
            let mut heard = self.heard.lock().unwrap();
            let place = heard.messages.iter().position(|said| said.contains(text))?;
            heard.messages.drain(..=place).next_back()
        })
    }

    pub fn has_heard(&self, text: &str) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.messages.iter().any(|said| said.contains(text))
    }

    /// Forgets what it was told until now.
    pub fn forget(&self) {
        self.heard.lock().unwrap().messages.clear();
    }

    /// How many sockets it keeps.
    pub fn kept(&self) -> usize {
        self.heard.lock().unwrap().kept.len()
    }
}

impl Heard {
    fn take(&mut self, text: String, files: Vec<OwnedFd>) {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let name = value("FDNAME=").unwrap_or("stored").to_owned();
        if value("FDSTORE=") == Some("1") {
            self.kept
                .extend(files.into_iter().map(|file| (name.clone(), file)));
        } else if value("FDSTOREREMOVE=") == Some("1") {
            self.kept.retain(|(kept, _)| *kept != name);
        }
        // What came with BARRIER=1 is closed here, which tells that all until now was done.
        self.messages.push(text);
    }
}

fn receive(socket: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = recvmsg(socket, &mut parts, &mut control, flags)
        .unwrap()
        .bytes;
    let files = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    (String::from_utf8(bytes[..length].to_vec()).unwrap(), files)
}
