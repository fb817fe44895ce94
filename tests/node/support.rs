//! A real node in a folder of its own, driven over real sockets.

mod answer;
#[cfg(not(feature = "rehearsal"))]
mod next_release;
mod node;
mod users;
mod wait;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

pub use answer::Answer;
#[cfg(not(feature = "rehearsal"))]
pub use next_release::next_release;
pub use node::{Node, agent};
pub use users::{get_body, public_key, register_body, share, token, wallet};
pub use wait::wait_for;

pub const BOT_TOKEN: &str = "4711:a-bot-token-for-tests";

/// The binary under test, in an environment of nothing but what the test gives it.
pub fn ksnode(home: &Path) -> Command {
    run(Path::new(env!("CARGO_BIN_EXE_ksnode")), home)
}

fn run(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

/// How to start a node.
#[derive(Clone)]
pub struct Setup {
    home: PathBuf,
    program: PathBuf,
    env: Vec<(String, String)>,
    config: String,
    listen: String,
}

impl Setup {
    /// A node whose home is `home`, without rate limits and with [`BOT_TOKEN`] configured.
    pub fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            program: env!("CARGO_BIN_EXE_ksnode").into(),
            env: Vec::new(),
            config: String::new(),
            listen: "127.0.0.1:0".into(),
        }
        .env("KSNODE_OPS__LISTEN", "127.0.0.1:0")
        .env("KSNODE_SERVER__RATE_LIMIT", "0")
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "0")
        .env("KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN", BOT_TOKEN)
    }

    /// Sets a variable of its environment.
    pub fn env(self, name: &str, value: &str) -> Self {
        let mut this = self.without(name);
        this.env.push((name.into(), value.into()));
        this
    }

    /// Takes a variable away from it.
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Takes another program than the one under test.
    #[cfg(not(feature = "rehearsal"))]
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Sets its configuration file.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = toml.into();
        self
    }

    /// Sets where it listens; a free port otherwise.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    /// Something in its data folder.
    pub fn data(&self, name: &str) -> PathBuf {
        self.home.join(".local/share/ksnode").join(name)
    }

    /// Runs another command than `serve` in the same environment, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// The binary with everything but a command.
    pub fn command(&self) -> Command {
        let mut command = run(&self.program, &self.home);
        command.envs(self.env.iter().cloned());
        if !self.config.is_empty() {
            let path = self.home.join("ksnode.toml");
            std::fs::write(&path, &self.config).unwrap();
            command.arg("--config").arg(path);
        }
        command.args(["--listen", &self.listen]);
        command
    }

    /// Starts it and waits until it serves.
    pub fn start(&self) -> Node {
        let mut serve = self.command();
        serve.arg("serve");
        self.start_as(serve)
    }

    /// The same on a disk that can be made full with [`Node::fill_disk`].
    pub fn start_on_small_disk(&self) -> Node {
        // A full disk gives an error; a file size limit gives a signal besides, which is to be ignored.
        self.start_through(r#"trap "" XFSZ; exec "$0" "$@""#)
    }

    /// The same under strace with these options.
    pub fn start_traced(&self, options: &str) -> Node {
        self.start_through(&traced(options))
    }

    /// Runs another command under strace with these options, to its end.
    pub fn run_traced(&self, options: &str, arguments: &[&str]) -> Output {
        self.through(&traced(options), arguments).output().unwrap()
    }

    /// The same as a user who is bound by the modes of files, as root is not.
    pub fn start_bound_by_modes(&self) -> Node {
        if rustix::process::geteuid().is_root() {
            self.start_through(
                r#"exec setpriv --bounding-set=-dac_override,-dac_read_search "$0" "$@""#,
            )
        } else {
            self.start()
        }
    }

    /// The same after a line of shell, which ends with `exec "$0" "$@"`, and with these as its standard input and error.
    pub fn start_with(&self, script: &str, stdin: OwnedFd, stderr: OwnedFd) -> Node {
        let mut shell = self.through(script, &["serve"]);
        shell.stdin(stdin);
        self.start_logging_to(shell, stderr.into())
    }

    /// The same after lines of shell, which end with `exec "$0" "$@"`.
    pub fn start_through(&self, script: &str) -> Node {
        self.start_as(self.through(script, &["serve"]))
    }

    fn through(&self, script: &str, arguments: &[&str]) -> Command {
        let command = self.command();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.args(arguments).env_clear().current_dir(&self.home);
        shell.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        shell
    }

    /// Where its standard error goes.
    fn log(&self) -> PathBuf {
        self.home.join("stderr.log")
    }

    fn start_as(&self, command: Command) -> Node {
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        self.start_logging_to(command, stderr.into())
    }

    fn start_logging_to(&self, mut command: Command, stderr: Stdio) -> Node {
        let log = self.log();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        // The files that it was given are its alone from here on.
        drop(command);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        let (url, ops) = loop {
            let Some(line) = lines.next() else {
                let status = child.wait().unwrap();
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the node ended with {status} before it served: {printed}{log}");
            };
            let line = line.unwrap();
            printed.push_str(&line);
            printed.push('\n');
            if let Some(rest) = line.strip_prefix("ksnode serves ") {
                let (url, ops) = rest.split_once(" (metrics and health: ").unwrap();
                break (url.to_owned(), ops.trim_end_matches(')').to_owned());
            }
        };
        // The pipe stays open: further output must not end the node.
        std::thread::spawn(move || lines.for_each(drop));
        Node {
            child,
            url,
            ops,
            printed,
            log,
        }
    }

    /// Begins a command; what it says goes nowhere.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Runs a command and kills it after `time`, wherever it is then.
    pub fn kill_amid(&self, arguments: &[&str], time: Duration) {
        let mut child = self.spawn(arguments);
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it and waits until it ends by itself, as a node that cannot start does.
    pub fn fail(&self) -> Output {
        let mut child = self
            .command()
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = wait_for("the node to end", || child.try_wait().unwrap());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut stdout)
            .unwrap();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_end(&mut stderr)
            .unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }
}

/// The line of shell that runs a program under strace. The program is the shell's process, and strace its grandchild.
fn traced(options: &str) -> String {
    format!(r#"exec strace -D -f {options} "$0" "$@""#)
}

/// A connection of the test's own to the database of the node whose home is `home`.
pub fn database(home: &Path) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(home.join(".local/share/ksnode/ksnode.db")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    database
}
