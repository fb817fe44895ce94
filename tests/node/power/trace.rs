//! What processes did to files and sockets, as strace recorded it.
//!
//! A call has a beginning and an end. Calls of several threads overlap, and then strace prints a call's two halves on
//! lines of their own: what began before a flush and ended after its beginning is not covered by it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The calls that are recorded: all that change a file or a folder, or send something.
pub const CALLS: &str = "openat,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,fsync,\
fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,\
sendfile,sendto,sendmsg";

/// What a call does.
#[derive(Debug)]
pub enum Call {
    /// A new, empty file.
    Create(PathBuf),
    Folder(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Rc<[u8]>,
    },
    Length {
        path: PathBuf,
        length: u64,
    },
    Flush(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// Bytes that went to a socket.
    Send(Rc<[u8]>),
}

/// A moment of the record.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Begin(usize),
    /// And whether it succeeded.
    End(usize, bool),
}

/// The calls of processes that ran one after the other, and their beginnings and ends in order.
#[derive(Debug)]
pub struct Trace {
    root: PathBuf,
    /// The files there are, and how long they are.
    lengths: HashMap<PathBuf, u64>,
    pub calls: Vec<Call>,
    pub steps: Vec<Step>,
}

/// Where the next `write` of a process goes, by descriptor; `None` goes to the end.
type Offsets = HashMap<u32, Option<u64>>;

impl Trace {
    /// A record that begins when `root` holds what is in the folder `before`. Only what is below `root` counts, and sockets.
    pub fn new(before: &Path, root: &Path) -> Self {
        let mut lengths = HashMap::new();
        let mut folders = vec![before.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = root.join(path.strip_prefix(before).unwrap());
                    lengths.insert(name, path.metadata().unwrap().len());
                }
            }
        }
        Self {
            root: root.to_owned(),
            lengths,
            calls: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Goes on with the record of one more process and its threads.
    pub fn read(&mut self, log: &Path) {
        let text = std::fs::read_to_string(log).unwrap();
        let mut offsets = Offsets::new();
        // The first halves of calls that are not finished, by thread.
        let mut begun: HashMap<&str, (&str, Option<usize>)> = HashMap::new();
        for line in text.lines() {
            let (thread, line) = line.split_once(' ').unwrap();
            let line = line.trim_start();
            if let Some(first) = line.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, (first, self.begin(first, &offsets)));
            } else if let Some((_, second)) = line.split_once(" resumed>") {
                if let Some((first, call)) = begun.remove(thread) {
                    self.end(&format!("{first}{second}"), call, &mut offsets);
                }
            } else if line.contains('(') && !line.starts_with("---") && !line.starts_with("+++") {
                let call = self.begin(line, &offsets);
                self.end(line, call, &mut offsets);
            }
        }
        for (first, call) in begun.into_values() {
            self.end(&format!("{first} = ?"), call, &mut offsets);
        }
    }

    /// Notes the beginning of a call.
    fn begin(&mut self, line: &str, offsets: &Offsets) -> Option<usize> {
        let call = self.call(line, offsets)?;
        self.calls.push(call);
        let number = self.calls.len() - 1;
        self.steps.push(Step::Begin(number));
        Some(number)
    }

    fn end(&mut self, line: &str, call: Option<usize>, offsets: &mut Offsets) {
        let killed = line.ends_with(" = ?");
        if let (true, Some(call)) = (killed, call) {
            // The process is gone, the system is not: what was written is on its way. A flush may have failed, and nobody
            // was told of it.
            let done = !matches!(self.calls[call], Call::Flush(_));
            self.steps.push(Step::End(call, done));
            return;
        }
        let result = result(line);
        if let Some(call) = call {
            self.steps.push(Step::End(call, result >= 0));
        }
        if result < 0 {
            return;
        }
        if line.starts_with("lseek(") {
            offsets.insert(descriptor(line), Some(result as u64));
        } else if line.starts_with("openat(") {
            self.opened(line, result as u32, offsets);
        } else if let Some(call) = call {
            self.done(line, call, result as u64, offsets);
        }
    }

    /// What a call that succeeded makes of the lengths of files.
    fn done(&mut self, line: &str, call: usize, result: u64, offsets: &mut Offsets) {
        match &mut self.calls[call] {
            Call::Write {
                path,
                offset,
                bytes,
            } => {
                // It may have been a short one.
                if result < bytes.len() as u64 {
                    *bytes = bytes[..result as usize].into();
                }
                let end = *offset + result;
                if line.starts_with("write(") {
                    let next = offsets.entry(descriptor(line)).or_insert(Some(0));
                    *next = next.map(|_| end);
                }
                let length = self.lengths.entry(path.clone()).or_default();
                *length = end.max(*length);
            }
            Call::Length { path, length } => {
                self.lengths.insert(path.clone(), *length);
            }
            Call::Rename { from, to } => {
                if let Some(length) = self.lengths.remove(from) {
                    self.lengths.insert(to.clone(), length);
                }
            }
            Call::Link { from, to } => {
                let length = self.lengths.get(from).copied().unwrap_or(0);
                self.lengths.insert(to.clone(), length);
            }
            Call::Remove(path) => {
                self.lengths.remove(path);
            }
            Call::Create(_) | Call::Folder(_) | Call::Flush(_) | Call::Send(_) => {}
        }
    }

    /// A file that was opened, and perhaps made or emptied by that.
    fn opened(&mut self, line: &str, descriptor: u32, offsets: &mut Offsets) {
        let path = path(&quoted(line)[0]);
        if !path.starts_with(&self.root) || is_passing(&path) {
            return;
        }
        let append = line.contains("O_APPEND");
        offsets.insert(descriptor, (!append).then_some(0));
        let change = if line.contains("O_CREAT") && !self.lengths.contains_key(&path) {
            Call::Create(path.clone())
        } else if line.contains("O_TRUNC") {
            let path = path.clone();
            Call::Length { path, length: 0 }
        } else {
            return;
        };
        self.lengths.insert(path, 0);
        self.calls.push(change);
        let call = self.calls.len() - 1;
        self.steps
            .extend([Step::Begin(call), Step::End(call, true)]);
    }

    /// What the line's call changes, if it concerns us. Only its arguments need be known.
    fn call(&self, line: &str, offsets: &Offsets) -> Option<Call> {
        let (name, arguments) = line.split_once('(')?;
        // Without the result.
        let arguments = arguments
            .rsplit_once(" = ")
            .map_or(arguments, |both| both.0);
        let arguments = arguments.trim_end().trim_end_matches(')');
        match name {
            "openat" | "lseek" => None,
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
                let texts = quoted(arguments);
                let (from, to) = (path(&texts[0]), path(&texts[1]));
                from.starts_with(&self.root).then_some(match name {
                    "link" | "linkat" => Call::Link { from, to },
                    _ => Call::Rename { from, to },
                })
            }
            "unlink" | "unlinkat" | "rmdir" | "mkdir" | "mkdirat" => {
                let path = path(&quoted(arguments)[0]);
                let ours = path.starts_with(&self.root) && !is_passing(&path);
                ours.then_some(match name {
                    "mkdir" | "mkdirat" => Call::Folder(path),
                    _ => Call::Remove(path),
                })
            }
            _ => self.call_on_file(name, arguments, offsets),
        }
    }

    fn call_on_file(&self, name: &str, arguments: &str, offsets: &Offsets) -> Option<Call> {
        let file = opened_path(arguments)?;
        if file.starts_with("socket:") {
            let sends = matches!(name, "write" | "writev" | "sendto" | "sendmsg");
            return sends.then(|| Call::Send(quoted(arguments).concat().into()));
        }
        let path = PathBuf::from(file);
        if !path.starts_with(&self.root) || is_passing(&path) || arguments.contains(">(deleted)") {
            return None;
        }
        let last = || arguments.rsplit(", ").next().unwrap().parse().unwrap();
        Some(match name {
            "fsync" | "fdatasync" => Call::Flush(path),
            "ftruncate" => Call::Length {
                length: last(),
                path,
            },
            "pwrite64" => Call::Write {
                offset: last(),
                bytes: quoted(arguments).swap_remove(0).into(),
                path,
            },
            "write" => {
                let offset = offsets.get(&descriptor_in(arguments)).copied();
                let end = self.lengths.get(&path).copied().unwrap_or(0);
                Call::Write {
                    offset: offset.unwrap_or(Some(0)).unwrap_or(end),
                    bytes: quoted(arguments).swap_remove(0).into(),
                    path,
                }
            }
            other => panic!("{other} on {} is not modelled", path.display()),
        })
    }
}

/// The memory that SQLite's connections share is not there after a power cut.
fn is_passing(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

/// What the call returned.
fn result(line: &str) -> i64 {
    let (_, result) = line.rsplit_once(" = ").unwrap_or(("", "-1"));
    let end = result.find([' ', '<']).unwrap_or(result.len());
    result[..end].parse().unwrap_or(-1)
}

/// The number of the file that the call is about.
fn descriptor(line: &str) -> u32 {
    descriptor_in(line.split_once('(').unwrap().1)
}

fn descriptor_in(arguments: &str) -> u32 {
    let end = arguments.find(|c: char| !c.is_ascii_digit()).unwrap();
    arguments[..end].parse().unwrap()
}

/// Its name.
fn opened_path(arguments: &str) -> Option<String> {
    let begin = arguments.find('<')?;
    let end = arguments[begin..].find('>')? + begin;
    let bytes = unhex(&arguments[begin + 1..end]);
    String::from_utf8(bytes).ok()
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// The strings of a call.
fn quoted(arguments: &str) -> Vec<Vec<u8>> {
    let parts = arguments.split('"').skip(1).step_by(2);
    parts.map(unhex).collect()
}

/// `\x41\x42`
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        _ => byte - b'a' + 10,
    };
    let bytes = text.as_bytes().chunks_exact(4);
    bytes
        .map(|escape| digit(escape[2]) << 4 | digit(escape[3]))
        .collect()
}
