//! Whether the node runs, and what it says of itself.

use super::Case;
use crate::cli::finding::Finding;
use crate::clock::Timestamp;
use crate::desk::NodeStatus;

const AREA: &str = "node";

pub(super) fn look(case: &Case) -> Vec<Finding> {
    if let Some(silent) = &case.silent {
        let what = format!("the node does not answer commands: {silent}");
        return vec![Finding::wrong(AREA, what).mend(restart(case))];
    }
    let Some(node) = &case.node else {
        let what = "the node is stopped";
        return vec![Finding::note(AREA, what).mend(start(case))];
    };
    let what = format!("ksnode {} runs (process {})", node.version, node.process);
    let mut findings = vec![Finding::ok(AREA, what)];
    findings.extend(page(node));
    findings.extend(older(case, node));
    findings.extend(changed_since(case, node));
    // What concerns the certificate and backups is told there.
    if let Some(error) = &node.database_error {
        let what = format!("the database does not answer: {error}");
        findings.push(Finding::wrong(AREA, what).mend(log(case)));
    }
    if let Some(error) = &node.write_error {
        findings.push(Finding::wrong(AREA, error.clone()).mend("dmesg"));
    }
    let logged = &node.logged;
    if logged.warnings.saturating_add(logged.errors) > 0 {
        let latest = logged.latest.as_deref().unwrap_or_default();
        let what = format!(
            "logged since its start: {} errors, {} warnings, the newest: {latest}",
            logged.errors, logged.warnings
        );
        findings.push(Finding::note(AREA, what).mend(log(case)));
    }
    findings
}

/// Where the admin page is.
fn page(node: &NodeStatus) -> Option<Finding> {
    let page = node.admin_page.as_ref()?;
    Some(Finding::ok(AREA, format!("the admin page is at {page}")))
}

/// An upgrade that was not followed by a restart.
fn older(case: &Case, node: &NodeStatus) -> Option<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    (node.version != own).then(|| {
        let what = format!("it is version {}, and {own} is installed", node.version);
        Finding::warning(AREA, what).mend(restart(case))
    })
}

/// A configuration that was written after the start.
fn changed_since(case: &Case, node: &NodeStatus) -> Option<Finding> {
    let file = case.config_file.as_deref()?;
    let written = Timestamp::from_system_time(file.metadata().ok()?.modified().ok()?);
    // Texts of one form and length sort as their moments do.
    (written.to_string() > node.launched).then(|| {
        let what = format!("{} was changed after the node's start", file.display());
        Finding::note(AREA, what).on(file).mend(restart(case))
    })
}

fn start(case: &Case) -> String {
    match &case.unit {
        Some(unit) => format!("sudo systemctl enable --now {unit}"),
        None => "ksnode serve".to_owned(),
    }
}

pub(super) fn restart(case: &Case) -> String {
    match &case.unit {
        Some(unit) => format!("sudo systemctl restart {unit}"),
        None => "stop the node and start it again".to_owned(),
    }
}

pub(super) fn log(case: &Case) -> String {
    match (&case.unit, &case.config.log.dir) {
        (Some(unit), _) => format!("journalctl -u {unit} -p warning"),
        (None, Some(dir)) => format!("read the newest file in {}", dir.display()),
        (None, None) => "read the node's log (its standard error)".to_owned(),
    }
}
