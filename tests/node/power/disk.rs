//! A disk that may lose everything that was not flushed: what it certainly has at a moment, and what it may have.
//!
//! What was written to a file since its last flush is there in part: each sector has one of the contents it was given
//! since, or the one before. The length of the file is one of those it had. Names that were made, changed or removed
//! since the last flush of their folder are there up to some moment, as a journal of the file system keeps them; in some
//! states any of them, which is more than is promised by any file system in use.
//!
//! A flush that fails leaves of what it covered what chance decides, and no later flush brings the rest: the kernel has
//! taken it for written.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::trace::{Call, Step, Trace};
use crate::campaign::Dice;

/// Instead of a file's number, in names of folders.
const FOLDER: usize = usize::MAX;

#[derive(Debug, Default)]
struct File {
    /// What the disk has for certain.
    flushed: Vec<u8>,
    /// What it was given since, in order.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    call: usize,
    /// The call has ended.
    done: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Write(u64, Rc<[u8]>),
    Length(u64),
}

#[derive(Clone, Debug)]
struct Renaming {
    call: usize,
    done: bool,
    remove: Option<PathBuf>,
    add: Option<(PathBuf, usize)>,
}

impl Renaming {
    fn is_in(&self, folder: &Path) -> bool {
        let in_folder = |path: &Path| path.parent() == Some(folder);
        self.remove.as_deref().is_some_and(in_folder)
            || self.add.as_ref().is_some_and(|(path, _)| in_folder(path))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        // A name whose making was lost cannot be renamed.
        if let (Some(from), Some(_)) = (&self.remove, &self.add)
            && !names.contains_key(from)
        {
            return;
        }
        if let Some(from) = &self.remove {
            names.remove(from);
        }
        if let Some((to, file)) = &self.add {
            names.insert(to.clone(), *file);
        }
    }
}

/// How much of what was not flushed is there.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Nothing: a power cut with everything still in memory.
    Nothing,
    /// All: the process was killed, and the system lives.
    All,
    /// Whole writes, each with this chance in percent.
    Writes(u64),
    /// Sectors of that many bytes, each with this chance in percent.
    Sectors(usize, u64),
}

impl Manner {
    pub fn throw(dice: &mut Dice) -> Self {
        let chance = [10, 50, 90][dice.throw(3) as usize];
        match dice.throw(8) {
            0 => Self::Nothing,
            1 => Self::All,
            2 | 3 => Self::Writes(chance),
            4 | 5 => Self::Sectors(4096, chance),
            _ => Self::Sectors(512, chance),
        }
    }
}

/// The disk at one moment of a trace.
pub struct Disk<'t> {
    trace: &'t Trace,
    files: Vec<File>,
    /// As processes see it.
    seen: BTreeMap<PathBuf, usize>,
    /// As the disk certainly has it.
    names: BTreeMap<PathBuf, usize>,
    renamings: Vec<Renaming>,
    /// What flushes that are under way cover: changes of a file, or names in a folder.
    covered: HashMap<usize, Vec<usize>>,
    /// What becomes of what a failed flush covered.
    fate: Dice,
    /// Flushes that succeed without doing anything: from here on, of files whose names end so.
    pub lies: Option<&'static str>,
}

impl<'t> Disk<'t> {
    /// A disk that has what is in the folder `before`, all of it flushed, as the content of `root`.
    pub fn new(trace: &'t Trace, before: &Path, root: &Path, seed: u64) -> Self {
        let mut disk = Self {
            trace,
            files: Vec::new(),
            seen: BTreeMap::from([(root.to_owned(), FOLDER)]),
            names: BTreeMap::from([(root.to_owned(), FOLDER)]),
            renamings: Vec::new(),
            covered: HashMap::new(),
            fate: Dice(seed),
            lies: None,
        };
        disk.load(before, root);
        disk
    }

    fn load(&mut self, folder: &Path, as_folder: &Path) {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let path = as_folder.join(entry.file_name());
            let file = if entry.path().is_dir() {
                self.load(&entry.path(), &path);
                FOLDER
            } else {
                let flushed = std::fs::read(entry.path()).unwrap();
                self.new_file(flushed)
            };
            self.seen.insert(path.clone(), file);
            self.names.insert(path, file);
        }
    }

    fn new_file(&mut self, flushed: Vec<u8>) -> usize {
        self.files.push(File {
            flushed,
            changes: Vec::new(),
        });
        self.files.len() - 1
    }

    /// Goes on by one step.
    pub fn step(&mut self, step: Step) {
        let trace = self.trace;
        match step {
            Step::Begin(call) => self.begin(call, &trace.calls[call]),
            Step::End(call, done) => match &trace.calls[call] {
                Call::Write { path, .. } | Call::Length { path, .. } => {
                    self.changed(path, call, done);
                }
                Call::Flush(path) => self.flushed(path, call, done),
                Call::Send(_) => {}
                _ => self.renamed(call, done),
            },
        }
    }

    fn begin(&mut self, call: usize, what: &Call) {
        match what {
            Call::Write {
                path,
                offset,
                bytes,
            } => self.change(path, call, What::Write(*offset, bytes.clone())),
            Call::Length { path, length } => self.change(path, call, What::Length(*length)),
            Call::Flush(path) => {
                let covered = match self.seen.get(path) {
                    Some(&FOLDER) => self.names_in(path),
                    Some(&file) => {
                        let changes = self.files[file].changes.iter();
                        let done = changes.filter(|change| change.done);
                        done.map(|change| change.call).collect()
                    }
                    None => Vec::new(),
                };
                self.covered.insert(call, covered);
            }
            Call::Create(path) => {
                let file = self.new_file(Vec::new());
                self.rename(call, None, Some((path.clone(), file)));
            }
            Call::Folder(path) => self.rename(call, None, Some((path.clone(), FOLDER))),
            Call::Rename { from, to } => {
                if let Some(&file) = self.seen.get(from) {
                    self.rename(call, Some(from.clone()), Some((to.clone(), file)));
                }
            }
            Call::Link { from, to } => {
                if let Some(&file) = self.seen.get(from) {
                    self.rename(call, None, Some((to.clone(), file)));
                }
            }
            Call::Remove(path) => self.rename(call, Some(path.clone()), None),
            Call::Send(_) => {}
        }
    }

    fn names_in(&self, folder: &Path) -> Vec<usize> {
        let done = self.renamings.iter().filter(|renaming| renaming.done);
        let here = done.filter(|renaming| renaming.is_in(folder));
        here.map(|renaming| renaming.call).collect()
    }

    fn change(&mut self, path: &Path, call: usize, what: What) {
        if let Some(&file) = self.seen.get(path) {
            self.files[file].changes.push(Change {
                call,
                done: false,
                what,
            });
        }
    }

    fn changed(&mut self, path: &Path, call: usize, done: bool) {
        let Some(&file) = self.seen.get(path) else {
            return;
        };
        let changes = &mut self.files[file].changes;
        if !done {
            changes.retain(|change| change.call != call);
        }
        let change = changes.iter_mut().find(|change| change.call == call);
        if let (Some(change), Call::Write { bytes, .. }) = (change, &self.trace.calls[call]) {
            change.done = true;
            if let What::Write(_, written) = &mut change.what {
                *written = bytes.clone();
            }
        } else if let Some(change) = changes.iter_mut().find(|change| change.call == call) {
            change.done = true;
        }
    }

    fn rename(&mut self, call: usize, remove: Option<PathBuf>, add: Option<(PathBuf, usize)>) {
        self.renamings.push(Renaming {
            call,
            done: false,
            remove,
            add,
        });
    }

    fn renamed(&mut self, call: usize, done: bool) {
        let of_call = |renaming: &&mut Renaming| renaming.call == call;
        if !done {
            self.renamings.retain(|renaming| renaming.call != call);
        } else if let Some(renaming) = self.renamings.iter_mut().find(of_call) {
            renaming.done = true;
            renaming.apply(&mut self.seen);
        }
    }

    fn flushed(&mut self, path: &Path, call: usize, done: bool) {
        let covered = self.covered.remove(&call).unwrap_or_default();
        let lie = self
            .lies
            .is_some_and(|end| path.to_string_lossy().ends_with(end));
        if lie || covered.is_empty() {
            return;
        }
        if self.seen.get(path) == Some(&FOLDER) {
            let names = &mut self.names;
            self.renamings.retain(|renaming| {
                let kept = !done || !covered.contains(&renaming.call);
                if !kept {
                    renaming.apply(names);
                }
                kept
            });
        } else if let Some(&number) = self.seen.get(path) {
            let file = &mut self.files[number];
            let changes = std::mem::take(&mut file.changes).into_iter();
            let (settled, left): (Vec<_>, _) =
                changes.partition(|change| covered.contains(&change.call));
            file.changes = left;
            let manner = if done {
                Manner::All
            } else {
                Manner::throw(&mut self.fate)
            };
            let flushed = std::mem::take(&mut file.flushed);
            file.flushed = flushed.settle(&settled, manner, &mut self.fate);
        }
    }

    /// Lays out below `to` what the disk may have of what was below `root`.
    pub fn lay_out(&self, root: &Path, to: &Path, manner: Manner, dice: &mut Dice) {
        let names = self.some_names(manner, dice);
        for (path, file) in &names {
            let Ok(relative) = path.strip_prefix(root) else {
                continue;
            };
            let parents = relative.ancestors().skip(1);
            let mut parents = parents.map(|parent| root.join(parent));
            if !parents.all(|parent| names.contains_key(&parent)) {
                continue;
            }
            let target = to.join(relative);
            if *file == FOLDER {
                std::fs::create_dir_all(&target).unwrap();
            } else {
                let file = &self.files[*file];
                let bytes = file.flushed.clone().settle(&file.changes, manner, dice);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::write(&target, bytes).unwrap();
                use std::os::unix::fs::PermissionsExt;
                std::fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
    }

    fn some_names(&self, manner: Manner, dice: &mut Dice) -> BTreeMap<PathBuf, usize> {
        let mut names = self.names.clone();
        let count = self.renamings.len() as u64;
        let journal = match manner {
            Manner::Nothing => 0,
            Manner::All => count,
            _ => dice.throw(count + 1),
        };
        let any = !matches!(manner, Manner::Nothing | Manner::All) && dice.throw(4) == 0;
        for (number, renaming) in self.renamings.iter().enumerate() {
            let there = if any {
                dice.throw(2) == 0
            } else {
                (number as u64) < journal
            };
            if there {
                renaming.apply(&mut names);
            }
        }
        names
    }
}

trait Settle {
    /// With some of the changes, as the manner decides.
    fn settle(self, changes: &[Change], manner: Manner, dice: &mut Dice) -> Self;
}

impl Settle for Vec<u8> {
    fn settle(mut self, changes: &[Change], manner: Manner, dice: &mut Dice) -> Self {
        // Of each sector, whether it still takes changes: a later content is not there without an earlier one in it.
        let mut open: HashMap<u64, bool> = HashMap::new();
        for change in changes {
            let (size, chance) = match manner {
                Manner::Nothing => return self,
                Manner::All => (usize::MAX, 100),
                Manner::Writes(chance) => (usize::MAX, chance),
                Manner::Sectors(size, chance) => (size, chance),
            };
            match &change.what {
                What::Length(length) => {
                    if dice.throw(100) < chance {
                        self.resize(*length as usize, 0);
                    }
                }
                What::Write(offset, bytes) if size == usize::MAX => {
                    if dice.throw(100) < chance {
                        self.put(*offset as usize, bytes);
                    }
                }
                What::Write(offset, bytes) => {
                    let mut at = *offset as usize;
                    let end = at + bytes.len();
                    while at < end {
                        let sector = at / size;
                        let next = end.min((sector + 1) * size);
                        let takes = open.entry(sector as u64).or_insert(true);
                        *takes = *takes && dice.throw(100) < chance;
                        if *takes {
                            let begin = at - *offset as usize;
                            self.put(at, &bytes[begin..begin + next - at]);
                        }
                        at = next;
                    }
                }
            }
        }
        self
    }
}

trait Put {
    fn put(&mut self, offset: usize, bytes: &[u8]);
}

impl Put for Vec<u8> {
    /// What lies between the end and a write beyond it is zeros.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.len() < end {
            self.resize(end, 0);
        }
        self[offset..end].copy_from_slice(bytes);
    }
}
