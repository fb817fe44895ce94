//! A node that runs.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use super::{Answer, wait_for};

/// A running node. Killed when dropped.
pub struct Node {
    pub child: Child,
    /// `http://127.0.0.1:PORT`, or the same with https
    pub url: String,
    /// The same of its second listener.
    pub ops: String,
    /// What it printed until it served.
    pub printed: String,
    /// Where its standard error goes.
    pub log: PathBuf,
}

impl Node {
    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Lets no file that it writes grow beyond `bytes`: as if the disk were full. `None` takes the limit away.
    pub fn fill_disk(&self, bytes: Option<u64>) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let limit = rustix::process::Rlimit {
            current: bytes,
            maximum: None,
        };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Asks it to stop and waits until it did.
    pub fn stop(self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits until it has ended.
    pub fn ended(mut self) -> ExitStatus {
        wait_for("the node to stop", || self.child.try_wait().unwrap())
    }

    /// A connection to it that says nothing yet.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    pub fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// `POST` with a bearer token, as clients do.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {token}");
        self.post_with(path, &[("authorization", &authorization)], body)
    }

    /// `POST` without a token.
    pub fn post_open(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut request = agent().post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::from(request.send_json(body).unwrap())
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::from(agent().get(format!("{}{path}", self.url)).call().unwrap())
    }

    pub fn get_ops(&self, path: &str) -> Answer {
        Answer::from(agent().get(format!("{}{path}", self.ops)).call().unwrap())
    }

    /// Waits until it has logged `text`: records are written some milliseconds after their cause.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        wait_for(text, || self.logged().contains(text).then_some(()));
    }

    /// What it logged until now.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client to which every status is an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}
