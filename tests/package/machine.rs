//! A machine of a test's own: Debian in a container, with systemd or without.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::group::Group;
use crate::outcome::Outcome;
use crate::root;
use crate::wait::wait_for;

/// Lays the machine's own layer over the Debian root and starts what is in it. The mount is in a namespace of its
/// own, and all processes are in one too, whose first process is killed with the one that is started here, and that
/// one with the test's thread: nothing stays behind, however a test ends.
const START: &str = r#"
lower=$1 folder=$2 members=$3; shift 3
echo $$ > "$members"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
exec unshare --pid --fork --kill-child --mount-proc systemd-nspawn --quiet --directory="$folder/root" \
    --register=no --keep-unit --private-network --link-journal=no --resolv-conf=off --timezone=off "$@"
"#;

/// With systemd as its first process.
const BOOT: [&str; 2] = ["--boot", "--console=read-only"];

/// How long a command in a machine may take.
const COMMAND_SECONDS: &str = "120";

/// Ended, with all its processes and files, when dropped. It ends too when the thread that made it ends.
pub struct Machine {
    init: u32,
    nspawn: Child,
    group: Group,
    folder: TempDir,
    systemd: bool,
}

impl Machine {
    /// A fresh Debian whose systemd has started everything.
    pub fn boot() -> Self {
        let mut machine = Self::new(&BOOT, true);
        machine.wait_for_systemd();
        machine
    }

    /// Shuts it down as an operator does, and starts it again.
    pub fn reboot(&mut self) {
        self.ok("systemctl --no-block poweroff");
        wait_for("the machine to be off", || self.nspawn.try_wait().unwrap());
        self.nspawn = start(&self.folder, &self.group, &BOOT);
        self.wait_for_systemd();
    }

    fn wait_for_systemd(&mut self) {
        self.init = self.first_process("systemd");
        wait_for("systemd to take commands", || {
            self.path("/run/systemd/private").exists().then_some(())
        });
        self.ok("systemctl is-system-running --wait");
    }

    /// The same Debian where no service manager runs.
    pub fn without_systemd() -> Self {
        let arguments = ["--as-pid2", "--console=pipe", "sleep", "infinity"];
        let mut machine = Self::new(&arguments, false);
        machine.init = machine.first_process("sleep");
        machine
    }

    fn new(arguments: &[&str], systemd: bool) -> Self {
        let folder = folder();
        let group = Group::new(&name(&folder));
        Self {
            init: 0,
            nspawn: start(&folder, &group, arguments),
            group,
            folder,
            systemd,
        }
    }

    /// Runs lines of shell as root, to their end.
    pub fn run(&self, script: &str) -> Outcome {
        self.shell(script).output().unwrap().into()
    }

    /// The same, and they must succeed; returns their standard output without white space at its ends.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let outcome = self.run(script);
        assert!(
            outcome.success(),
            "{script}\nended with {:?}\n{}",
            outcome.code,
            outcome.said()
        );
        outcome.stdout.trim().to_owned()
    }

    /// Polls until lines of shell succeed.
    #[track_caller]
    pub fn until(&self, script: &str) {
        wait_for(script, || self.run(script).success().then_some(()));
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", COMMAND_SECONDS, "nsenter", "--all"]);
        command.args(["--target", &self.init.to_string()]);
        // Who enters keeps all capabilities of this machine's root, and could set its clock or load modules: what the
        // container's own root may not do is given up before anything of the script runs.
        command.args(["setpriv", "--bounding-set", &self.given_up()]);
        // What a login of root has, and nothing of the test's own environment.
        command.args(["env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["DEBIAN_FRONTEND=noninteractive", "sh", "-ec"]);
        command.args([&format!("cd /root; umask 022\n{script}")]);
        command.stdin(Stdio::null());
        command
    }

    /// The capabilities that this machine's root has and the container's does not, as setpriv takes them.
    fn given_up(&self) -> String {
        let (own, inside) = (bounding_set("self"), bounding_set(&self.init.to_string()));
        let missing = (0..u64::BITS).filter(|bit| (own & !inside) >> bit & 1 == 1);
        let missing: Vec<String> = missing.map(|bit| format!("-cap_{bit}")).collect();
        assert!(!missing.is_empty(), "a container with all capabilities");
        missing.join(",")
    }

    /// Where this machine sees a file of the machine's.
    pub fn path(&self, inside: &str) -> PathBuf {
        let name = inside.strip_prefix('/').expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root/{name}", self.init))
    }

    /// Copies a file into the machine's folder /root; returns its path there.
    pub fn take(&self, file: &Path) -> String {
        let name = file.file_name().unwrap().to_str().unwrap();
        let inside = format!("/root/{name}");
        std::fs::copy(file, self.path(&inside)).unwrap();
        inside
    }

    /// Writes a file of the machine's, with the folders above it.
    pub fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).unwrap()
    }

    /// Does something in the machine's network: what it connects to is the machine's.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.init)).unwrap();
        let inside = move || {
            // For good: so the thread is one of its own.
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// What a unit's journal says.
    pub fn journal(&self, unit: &str) -> String {
        self.ok(&format!("journalctl --no-pager -o cat -u {unit}"))
    }

    /// The machine's first process, once it has become `name`; without systemd, its second.
    fn first_process(&mut self, name: &str) -> u32 {
        let folder = self.folder.path().to_owned();
        wait_for("the machine to start", || {
            if let Some(status) = self.nspawn.try_wait().unwrap() {
                let log = std::fs::read_to_string(folder.join("console")).unwrap();
                panic!("the machine ended with {status}: {log}");
            }
            descendant(self.nspawn.id(), name)
        })
    }

    /// What tells why a test failed.
    fn report(&self) {
        if self.init == 0 {
            let console = std::fs::read_to_string(self.folder.path().join("console"));
            eprintln!("== console\n{}", console.unwrap_or_default());
        }
        if self.init == 0 || !self.systemd {
            return;
        }
        let status = self.run("systemctl status --no-pager -l -n 0 'ksnode*'; true");
        eprintln!("== units\n{}", status.said());
        let journal = self.run("journalctl --no-pager -o short-monotonic -n 100");
        eprintln!("== journal\n{}", journal.said());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.report();
        }
        // All others end with it.
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let init = PathBuf::from(format!("/proc/{}", self.init));
        for _ in 0..200 {
            if !init.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// The folder of a machine's own files.
fn folder() -> TempDir {
    assert!(
        rustix::process::geteuid().is_root(),
        "tests of packages start machines, which root alone can do: sudo env PATH=\"$PATH\" tests/all"
    );
    let folder = tempfile::Builder::new()
        .prefix("ksnode-machine-")
        .tempdir()
        .unwrap();
    for part in ["upper", "work", "root"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
    }
    folder
}

/// What the machine is called: a host name has no capital letters, and few signs.
fn name(folder: &TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    name.to_lowercase()
        .replace(|sign: char| !sign.is_ascii_alphanumeric(), "-")
}

fn start(folder: &TempDir, group: &Group, arguments: &[&str]) -> Child {
    let console = File::create(folder.path().join("console")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount"])
        .args(["--propagation", "private", "sh", "-ec", START, "sh"])
        .args([root::debian(), folder.path().to_owned(), group.members()])
        .arg(format!("--machine={}", name(folder)))
        .args(arguments)
        // Also where this machine still has version 1 beside it.
        .env("UNIFIED_CGROUP_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(console.try_clone().unwrap())
        .stderr(console)
        .spawn()
        .unwrap()
}

/// The capabilities that a process and its descendants can have, a bit each.
fn bounding_set(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

/// The process of this name among those that `process` started; theirs count too.
fn descendant(process: u32, name: &str) -> Option<u32> {
    let children = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(children).ok()?;
    children.split_whitespace().find_map(|child| {
        let child = child.parse().unwrap();
        let comm = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        if comm.trim() == name {
            return Some(child);
        }
        descendant(child, name)
    })
}
