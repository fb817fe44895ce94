//! `ksnode doctor`: finds what goes wrong in practice, and says what mends it.
//!
//! It looks at everything around the node that the node depends on and cannot change by itself, one file an area. Looks
//! are independent of each other and made side by side. None may hang, so each has a deadline: a disk or a name server
//! that does not answer is a finding too. Nothing is changed, and the data of a node that runs is left to it.

pub(super) mod account;
mod backups;
pub(super) mod case;
mod certificate;
mod clock;
mod database;
pub(super) mod disk;
mod firewall;
mod folders;
mod leftovers;
mod memory;
mod names;
mod node;
mod ports;
mod programs;
mod providers;
mod replica;
mod unit;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::Global;
use super::finding::{Finding, Level, worst};
use super::text::{print, print_json};
use crate::config::{ConfigError, Loaded};
use crate::service::owner::become_owner_of;
pub(super) use backups::newest as newest_backup;
pub(super) use case::Case;
pub(super) use ports::has_ipv6;

const CONFIGURATION: &str = "configuration";

/// How long a look may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What `ksnode doctor` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

type Look = fn(Arc<Case>) -> Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;

/// A look that waits for the disk or the system, and so is made on a thread of its own.
macro_rules! blocking {
    ($look:path) => {
        |case| Box::pin(on_a_thread($look, case))
    };
}

/// A look that waits for the network or for other programs.
macro_rules! waiting {
    ($look:path) => {
        |case| Box::pin(async move { $look(&case).await })
    };
}

/// What is looked at as whoever runs the command, in the order in which it is told.
const LOOKS: [(&str, Look); 15] = [
    ("node", blocking!(node::look)),
    ("unit", waiting!(unit::look)),
    ("folders", blocking!(folders::look)),
    ("secret", blocking!(folders::look_at_secret)),
    ("ports", waiting!(ports::look)),
    ("names", waiting!(names::look)),
    ("certificate", blocking!(certificate::look)),
    ("clock", waiting!(clock::look)),
    ("disk", blocking!(disk::look)),
    ("memory", blocking!(memory::look)),
    ("firewall", waiting!(firewall::look)),
    ("backups", blocking!(backups::look)),
    ("providers", waiting!(providers::look)),
    ("replica", waiting!(replica::look)),
    ("leftovers", blocking!(leftovers::look)),
];

/// What opens the database, and so is done as its owner.
const OWNERS_LOOKS: [(&str, Look); 1] = [("database", blocking!(database::look))];

/// What `ksnode init` looks at before the node is to serve.
const SERVING: [&str; 4] = ["names", "ports", "clock", "disk"];

/// What concerns a configuration and not the moment.
const STAGED: [&str; 3] = ["folders", "secret", "certificate"];

/// Runs the command. The exit code is 0 when nothing is wrong.
///
/// # Errors
/// The output cannot be written.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let findings = match global.load() {
        Ok(loaded) => examine(global, loaded)?,
        Err(error) => of_configuration(error)?,
    };
    let level = worst(&findings);
    if arguments.json {
        let well = level < Level::Wrong;
        print_json(&json!({"well": well, "worst": level, "findings": findings}))?;
    } else {
        print(&page(&findings))?;
    }
    Ok(if level == Level::Wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Everything about this configuration.
fn examine(global: &Global, loaded: Loaded) -> anyhow::Result<Vec<Finding>> {
    let mut findings = configuration(&loaded);
    let looking = Looking::new()?;
    let case = Arc::new(looking.block_on(Case::new(loaded))?);
    findings.extend(looking.look(&case, &LOOKS));
    // Opened by root, the database would get companions that its owner cannot open.
    if become_owner_of(&case.config.data_dir)?.is_some() {
        findings.extend(as_owner(global, &case));
    }
    findings.extend(looking.look(&case, &OWNERS_LOOKS));
    Ok(findings)
}

/// What `ksnode init` is to say of a node that is about to serve with this configuration.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn before_serving(loaded: Loaded) -> anyhow::Result<Vec<Finding>> {
    let looking = Looking::new()?;
    let case = Arc::new(looking.block_on(Case::new(loaded))?);
    Ok(looking.look(&case, &of(&SERVING)))
}

/// What `ksnode config check` is to say of a configuration beside its own mistakes. The process is the data folder's owner
/// afterwards.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn staged(global: &Global, loaded: Loaded) -> anyhow::Result<Vec<Finding>> {
    let looking = Looking::new()?;
    let case = Arc::new(Case::of_stopped(loaded));
    let mut findings = looking.look(&case, &of(&STAGED));
    if become_owner_of(&case.config.data_dir)?.is_some() {
        findings.extend(as_owner(global, &case));
    }
    findings.extend(looking.look(&case, &OWNERS_LOOKS));
    Ok(findings)
}

/// What the node's user finds wrong with a configuration in which root found nothing: files that it may not read.
fn as_owner(global: &Global, case: &Case) -> Vec<Finding> {
    let Some(error) = global.load().err() else {
        return Vec::new();
    };
    let file = case.config_file.as_deref();
    if let Some(file) = file.filter(|file| std::fs::File::open(file).is_err()) {
        let what = format!("{} may not read {}", case.account, file.display());
        // One that lies elsewhere may be meant to be copied.
        let finding = Finding::warning(CONFIGURATION, what).on(file);
        return vec![finding.mend(folders::chown(&case.account, file))];
    }
    let Some(error) = error.downcast_ref::<ConfigError>() else {
        return Vec::new();
    };
    let problems = error.problems().iter();
    // The secret has a look of its own.
    let others = problems.filter(|problem| problem.key != "secret_file");
    others
        .map(|problem| Finding::of_problem(CONFIGURATION, problem))
        .collect()
}

fn of(areas: &[&str]) -> Vec<(&'static str, Look)> {
    let looks = LOOKS.iter().filter(|(area, _)| areas.contains(area));
    looks.copied().collect()
}

/// A runtime that is left behind at the end and not waited for: a thread in it may hang on a disk.
struct Looking(Option<Runtime>);

impl Looking {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        Ok(Self(Some(runtime)))
    }

    fn block_on<T>(&self, task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let runtime = self.0.as_ref().context("the runtime has ended")?;
        runtime.block_on(task)
    }

    /// Makes the looks side by side; tells what they found in their order.
    fn look(&self, case: &Arc<Case>, looks: &[(&'static str, Look)]) -> Vec<Finding> {
        let Some(runtime) = &self.0 else {
            return Vec::new();
        };
        let begun: Vec<_> = looks
            .iter()
            .map(|(area, look)| {
                let looking = look(case.clone());
                let bounded = async move { timeout(DEADLINE, looking).await };
                (*area, runtime.spawn(bounded))
            })
            .collect();
        runtime.block_on(async {
            let mut findings = Vec::new();
            for (area, look) in begun {
                match look.await {
                    Ok(Ok(found)) => findings.extend(found),
                    Ok(Err(_)) => findings.push(late(area)),
                    Err(error) => findings.push(Finding::warning(area, error.to_string())),
                }
            }
            findings
        })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn late(area: &'static str) -> Finding {
    let seconds = DEADLINE.as_secs();
    let what = format!("looking at it took more than {seconds} s: a disk or the network hangs");
    Finding::warning(area, what).mend("dmesg | tail")
}

async fn on_a_thread(look: fn(&Case) -> Vec<Finding>, case: Arc<Case>) -> Vec<Finding> {
    let look = tokio::task::spawn_blocking(move || look(&case));
    look.await.unwrap_or_default()
}

fn configuration(loaded: &Loaded) -> Vec<Finding> {
    let area = CONFIGURATION;
    let right = match &loaded.config_file {
        Some(file) => Finding::ok(area, format!("{} is right", file.display())).on(file),
        None => Finding::ok(area, "there is no file: defaults and the environment"),
    };
    let notices = loaded.notices.iter();
    let notices = notices.map(|notice| Finding::note(area, notice));
    std::iter::once(right).chain(notices).collect()
}

/// A configuration that cannot be used leaves nothing else to look at: where things are is not known.
fn of_configuration(error: anyhow::Error) -> anyhow::Result<Vec<Finding>> {
    let config: ConfigError = error.downcast()?;
    let problems = config.problems().iter();
    let area = CONFIGURATION;
    let mut findings: Vec<Finding> = problems
        .map(|problem| Finding::of_problem(area, problem))
        .collect();
    let rest = "nothing else was looked at: where things are is not known until this is mended";
    findings.push(Finding::note(area, rest));
    Ok(findings)
}

/// The findings, and how many there are of each level.
fn page(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let count = |level| findings.iter().filter(|found| found.level == level).count();
    lines.push(match (count(Level::Wrong), count(Level::Warning)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, warnings) => format!("nothing is wrong, warnings: {warnings}"),
        (wrong, warnings) => format!("wrong: {wrong}, warnings: {warnings}"),
    });
    lines.join("\n")
}
