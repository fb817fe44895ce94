//! A node that a package installed into a machine, used by its clients and its operator.

use std::time::Duration;

use crate::client::{self, Answer};
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::wait::wait_for;
use crate::{BOT_TOKEN, packages, users};

/// The service ksnode, or ksnode@NAME.
pub struct Node<'m> {
    pub machine: &'m Machine,
    /// Empty for the plain one.
    pub name: &'static str,
    /// Where it serves.
    pub port: u16,
}

impl<'m> Node<'m> {
    /// The plain one, where a fresh installation serves.
    pub fn of(machine: &'m Machine) -> Self {
        Self {
            machine,
            name: "",
            port: 4201,
        }
    }

    /// Installs this version's deb, has Telegram users accepted, and starts the service.
    pub fn installed(machine: &'m Machine) -> Self {
        install_deb(machine, &packages::current());
        let node = Self::of(machine);
        node.accept_users();
        node.start();
        node
    }

    pub fn unit(&self) -> String {
        match self.name {
            "" => "ksnode.service".into(),
            name => format!("ksnode@{name}.service"),
        }
    }

    pub fn config(&self) -> String {
        match self.name {
            "" => "/etc/ksnode/ksnode.toml".into(),
            name => format!("/etc/ksnode/{name}/ksnode.toml"),
        }
    }

    /// Removes the # before a key of the sample that the configuration began as, and sets it.
    pub fn set(&self, key: &str, value: &str) {
        let config = self.config();
        self.machine.ok(&format!(
            "sed -i 's|^#\\?{key} = .*|{key} = {value}|' {config}; grep -q '^{key} = ' {config}"
        ));
    }

    /// Has logins of Telegram accepted that are signed with [`BOT_TOKEN`], as many as may come.
    pub fn accept_users(&self) {
        let file = self.config().replace("ksnode.toml", "telegram-bot-token");
        self.machine.write(&file, BOT_TOKEN);
        self.machine
            .ok(&format!("chown ksnode:ksnode {file}; chmod 600 {file}"));
        self.set("bot_token_file", &format!("\"{file}\""));
        self.set("rate_limit", "0");
    }

    /// Starts the service; systemd comes back when it is ready.
    pub fn start(&self) {
        self.machine.ok(&format!("systemctl start {}", self.unit()));
        assert_eq!(self.property("ActiveState"), "active");
    }

    pub fn property(&self, name: &str) -> String {
        let unit = self.unit();
        self.machine
            .ok(&format!("systemctl show --value -p {name} {unit}"))
    }

    /// The node's process, as the machine numbers it.
    pub fn process(&self) -> u32 {
        self.property("MainPID").parse().unwrap()
    }

    /// Waits until systemd has started it once more than before, and it serves.
    pub fn wait_for_restart(&self, before: u32) {
        wait_for("the service to be restarted", || {
            let now = self.process();
            (now != before && now != 0 && self.property("ActiveState") == "active").then_some(())
        });
        assert_eq!(self.ask(|port| client::get(port, "/")).body, "Ok");
    }

    /// Runs this node's command line as root.
    pub fn command(&self, arguments: &str) -> Outcome {
        let instance = match self.name {
            "" => String::new(),
            name => format!("--instance {name} "),
        };
        self.machine.run(&format!("ksnode {instance}{arguments}"))
    }

    /// A request from within the machine.
    #[track_caller]
    pub fn ask(&self, request: impl FnOnce(u16) -> std::io::Result<Answer> + Send) -> Answer {
        self.machine.within(|| request(self.port)).unwrap()
    }

    /// Registers both wallets of a user.
    #[track_caller]
    pub fn register(&self, user: u64) {
        let body = users::register_body(user);
        let token = users::token(user);
        let answer = self.ask(|port| client::post(port, "/keyshare/v2/register", &token, &body));
        assert_eq!(answer.body, r#"{"success":true}"#, "user {user}");
    }

    /// Gets both shares of each of these users, to the letter.
    #[track_caller]
    pub fn serves(&self, users: impl IntoIterator<Item = u64>) {
        for user in users {
            let token = users::token(user);
            let body = users::get_body(user);
            let answer = self.ask(|port| client::post(port, "/keyshare/v2", &token, &body));
            assert_eq!(answer.status, 200, "user {user}: {answer:?}");
            for curve in ["secp256k1", "ed25519"] {
                assert_eq!(
                    answer.json()["data"][curve]["share"],
                    users::share(curve, user)
                );
            }
        }
    }

    /// The memory that is this service's alone or its part of what is shared, in bytes.
    pub fn memory(&self) -> u64 {
        let process = self.process();
        let rollup = self
            .machine
            .ok(&format!("cat /proc/{process}/smaps_rollup"));
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024
    }

    /// From the start of its process to its being ready.
    pub fn start_time(&self) -> Duration {
        let at = |name| Duration::from_micros(self.property(name).parse().unwrap());
        at("ActiveEnterTimestampMonotonic") - at("ExecMainStartTimestampMonotonic")
    }
}

/// Installs a deb as an operator does; returns what it printed.
#[track_caller]
pub fn install_deb(machine: &Machine, packages: &packages::Packages) -> String {
    let deb = machine.take(&packages.deb);
    let outcome = machine.run(&format!("dpkg -i {deb}"));
    assert!(outcome.success(), "{}", outcome.said());
    outcome.said()
}

/// Puts a script in the program's place. It goes on with the program itself; what it does before is said by `cases`, those of a
/// shell that looks at the command line.
pub fn stand_in(machine: &Machine, cases: &str) {
    let script =
        format!("#!/bin/sh\ncase \"$*\" in\n{cases}\nesac\nexec /usr/bin/ksnode-itself \"$@\"\n");
    machine.write("/root/stand-in", &script);
    machine
        .ok("mv /usr/bin/ksnode /usr/bin/ksnode-itself; install -m 755 stand-in /usr/bin/ksnode");
}
