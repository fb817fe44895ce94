//! A record of what a node did, and of what its clients were told.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde::{Deserialize, Serialize};

use super::trace::{CALLS, Call, Step, Trace};
use crate::support::{Node, Setup, wait_for};

/// What is known beside the calls.
#[derive(Default, Serialize, Deserialize)]
struct Facts {
    root: PathBuf,
    /// Requests that were answered with success, by the user they registered.
    registers: BTreeMap<u64, String>,
    /// Other requests, by the name of what they did.
    marks: BTreeMap<String, String>,
}

const FACTS: &str = "facts.json";
const BEFORE: &str = "before";

/// A folder with a record in it, which is being made.
pub struct Recorder {
    name: &'static str,
    folder: tempfile::TempDir,
    setup: Setup,
    facts: Facts,
    logs: usize,
}

impl Recorder {
    /// Begins the record of the node whose home is `home`; nothing may run there.
    pub fn begin(name: &'static str, home: &Path, setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(home, &folder.path().join(BEFORE));
        Self {
            name,
            folder,
            setup: setup.clone(),
            facts: Facts {
                root: home.to_owned(),
                ..Facts::default()
            },
            logs: 0,
        }
    }

    /// Starts the node.
    pub fn start(&mut self, options: &str) -> Node {
        let options = self.options(options);
        self.setup.start_traced(&options)
    }

    /// Runs a command.
    pub fn run(&mut self, arguments: &[&str]) -> Output {
        let options = self.options("");
        self.setup.run_traced(&options, arguments)
    }

    fn options(&mut self, more: &str) -> String {
        let log = log(self.folder.path(), self.logs);
        self.logs += 1;
        // Paths are shown, strings whole and in hex.
        format!(
            "-y -xx -s 10000000 -e trace={CALLS} {more} -o {}",
            log.display()
        )
    }

    /// A register was answered with success.
    pub fn registered(&mut self, user: u64, request: String) {
        self.facts.registers.insert(user, request);
    }

    /// Something else was.
    pub fn mark(&mut self, what: &str, request: String) {
        self.facts.marks.insert(what.to_owned(), request);
    }

    /// Ends the record. All that was started has ended.
    pub fn end(self) -> Record {
        for number in 0..self.logs {
            let log = log(self.folder.path(), number);
            wait_for("the end of a record", || has_ended(&log).then_some(()));
        }
        let facts = serde_json::to_vec(&self.facts).unwrap();
        std::fs::write(self.folder.path().join(FACTS), facts).unwrap();
        Record::read(self.name, self.folder)
    }
}

fn log(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.strace"))
}

/// The end of the thread that the record began with is the last that is written.
fn has_ended(log: &Path) -> bool {
    let text = std::fs::read(log).unwrap();
    let lines = text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    let thread = |line: &[u8]| line.split(|&byte| byte == b' ').next().unwrap().to_vec();
    let (first, last) = (lines.clone().next(), lines.clone().next_back());
    first
        .zip(last)
        .is_some_and(|(first, last)| thread(first) == thread(last) && last.ends_with(b"+++"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A whole record.
pub struct Record {
    pub name: &'static str,
    pub root: PathBuf,
    /// What was below `root` at first.
    pub before: PathBuf,
    pub trace: Trace,
    /// Which users had been acknowledged, and at which step.
    pub registers: Vec<(usize, u64)>,
    marks: BTreeMap<String, usize>,
    folder: tempfile::TempDir,
}

impl Record {
    fn read(name: &'static str, folder: tempfile::TempDir) -> Self {
        let path = folder.path().to_owned();
        let facts = std::fs::read(path.join(FACTS)).unwrap();
        let facts: Facts = serde_json::from_slice(&facts).unwrap();
        let before = path.join(BEFORE);
        let mut trace = Trace::new(&before, &facts.root);
        for log in (0..).map(|number| log(&path, number)) {
            if !log.exists() {
                break;
            }
            trace.read(&log);
        }
        let sent = sent(&trace);
        let step = |request: &String| {
            let found = sent.get(request.as_str()).copied();
            found.unwrap_or_else(|| panic!("the answer to {request} is not in the record"))
        };
        let registers = facts.registers.iter();
        let registers = registers.map(|(user, request)| (step(request), *user));
        let mut registers: Vec<_> = registers.collect();
        // A few of them are to be spread over all.
        registers.sort_unstable_by_key(|(step, _)| step % 97);
        let marks = facts.marks.iter();
        let marks = marks.map(|(what, request)| (what.clone(), step(request)));
        Self {
            name,
            root: facts.root.clone(),
            registers,
            marks: marks.collect(),
            before,
            trace,
            folder,
        }
    }

    /// The record that is to be judged again, when it is of this scene.
    pub fn again(name: &'static str) -> Option<Self> {
        let from = PathBuf::from(std::env::var_os("KSNODE_POWER_RECORD")?);
        if !from.to_string_lossy().ends_with(name) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&from, folder.path());
        Some(Self::read(name, folder))
    }

    /// The step at which something was answered.
    pub fn mark(&self, what: &str) -> usize {
        self.marks[what]
    }

    /// The users that had been acknowledged before that moment.
    pub fn acknowledged(&self, moment: usize) -> impl Iterator<Item = u64> + '_ {
        let before = self
            .registers
            .iter()
            .filter(move |(step, _)| *step < moment);
        before.map(|(_, user)| *user)
    }

    /// Keeps a copy for whoever looks into a failure.
    pub fn keep(&self) -> PathBuf {
        let kept =
            std::env::temp_dir().join(format!("ksnode-power-{}-{}", std::process::id(), self.name));
        copy(self.folder.path(), &kept);
        kept
    }
}

/// The moments at which answers were begun to be sent, by their request ids.
fn sent(trace: &Trace) -> HashMap<String, usize> {
    const HEADER: &[u8] = b"x-request-id: ";
    let mut found = HashMap::new();
    for (number, step) in trace.steps.iter().enumerate() {
        let Step::Begin(call) = step else { continue };
        let Call::Send(bytes) = &trace.calls[*call] else {
            continue;
        };
        for at in memchr::memmem::find_iter(bytes, HEADER) {
            let id = &bytes[at + HEADER.len()..];
            let end = id.iter().position(|&byte| byte == b'\r').unwrap();
            found.insert(String::from_utf8(id[..end].to_vec()).unwrap(), number);
        }
    }
    found
}
