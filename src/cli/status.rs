//! `ksnode status`: whether the node runs and is well.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

mod stopped;

use super::Global;
use super::running::connect;
use super::text::{print, print_json, size, span, with_error_as_json};
use crate::config::Loaded;
use crate::control::Request;
use crate::desk::{
    CertificateStatus, DiskStatus, LoggedStatus, NodeStatus, ResealingStatus, TelemetryStatus,
};
use stopped::Stopped;

/// What `ksnode status` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

/// The exit code of a node that does not run, as service scripts have it (LSB, "Init Script Actions").
const NOT_RUNNING: u8 = 3;

/// Runs the command. The exit code is 0 when the node runs and is well, 1 when it runs and is not, 3 when it does not run.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; the node runs and cannot be asked.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    with_error_as_json(arguments.json, dispatch(global, arguments.json))
}

fn dispatch(global: &Global, json: bool) -> anyhow::Result<ExitCode> {
    let loaded = global.load()?;
    super::block_on(status(&loaded, json))?
}

async fn status(loaded: &Loaded, json: bool) -> anyhow::Result<ExitCode> {
    let Some(client) = connect(&loaded.config.data_dir).await? else {
        let stopped = Stopped::new(loaded)?;
        if json {
            print_json(&stopped.document())?;
        } else {
            print(&stopped.page())?;
        }
        return Ok(ExitCode::from(NOT_RUNNING));
    };
    let node: NodeStatus = client.ask(&Request::Status {}, |_| {}).await?;
    let problems = node.problems();
    let well = problems.is_empty();
    if json {
        print_json(&json!({"running": true, "well": well, "problems": problems, "node": node}))?;
    } else {
        print(&page(&node, &problems))?;
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn page(node: &NodeStatus, problems: &[String]) -> String {
    let commit = node.git_hash.as_ref();
    let commit = commit.map(|hash| format!(" ({hash})")).unwrap_or_default();
    let uptime = span(Duration::from_secs(node.uptime_seconds));
    let mut lines = vec![
        format!(
            "running: ksnode {}{commit}, process {}",
            node.version, node.process
        ),
        format!("since:   {} ({uptime})", node.launched),
        format!(
            "serves:  {} ({})",
            node.listen.join(" "),
            if node.certificate.is_some() {
                "https"
            } else {
                "http"
            }
        ),
    ];
    lines.extend(
        node.redirect_listen
            .as_ref()
            .map(|address| format!("         {address} (redirects to https)")),
    );
    lines.extend(node.certificate.iter().flat_map(certificate));
    let ops = node.ops_listen.as_ref();
    lines.extend(ops.map(|address| format!("ops:     {address} (metrics and health)")));
    let page = node.admin_page.as_deref();
    let page = page.unwrap_or("no page (admin.enabled is false)");
    lines.push(format!("admin:   {page}"));
    lines.push(format!("key:     {}", node.public_key));
    lines.push(format!("shares:  {}", shares(node)));
    lines.extend(node.resealing.as_ref().map(resealing));
    lines.push(format!(
        "data:    {}, write-ahead log {}",
        size(node.database_bytes),
        size(node.log_bytes)
    ));
    lines.push(format!("use:     {}", usage(node)));
    lines.push(format!("backup:  {}", backup(node)));
    lines.push(format!("reports: {}", telemetry(node.telemetry.as_ref())));
    lines.extend(node.disks.iter().map(disk));
    lines.push(format!("log:     {}", logged(&node.logged)));
    lines.extend(
        node.replica
            .as_ref()
            .map(|replica| format!("replica: {}", super::replica::line(replica))),
    );
    if problems.is_empty() {
        lines.push("well".to_owned());
    }
    lines.extend(problems.iter().map(|problem| format!("WRONG:   {problem}")));
    lines.join("\n")
}

fn certificate(certificate: &CertificateStatus) -> [String; 3] {
    let last = certificate.last_attempt.as_deref().unwrap_or("never");
    let next = certificate.next_attempt.as_ref();
    let next = next.map_or_else(String::new, |next| format!(", next {next}"));
    [
        format!(
            "tls:     {}, for {}, issued by {}",
            certificate.source,
            certificate.names.join(" "),
            certificate.issuer
        ),
        format!(
            "         until {} ({} days), last issued or tried {last}{next}",
            certificate.not_after, certificate.days_left
        ),
        format!("         sha256 {}", certificate.sha256),
    ]
}

fn shares(node: &NodeStatus) -> String {
    if node.database_error.is_some() {
        return "not known".to_owned();
    }
    let total: u64 = node.key_shares.iter().map(|count| count.shares).sum();
    let parts: Vec<String> = node
        .key_shares
        .iter()
        .map(|count| format!("{} {} {}", count.provider, count.curve, count.shares))
        .collect();
    if parts.is_empty() {
        return total.to_string();
    }
    format!("{total} ({})", parts.join(", "))
}

fn resealing(resealing: &ResealingStatus) -> String {
    format!(
        "         being sealed under share key {}: {} of {}",
        resealing.key_version, resealing.done, resealing.total
    )
}

fn usage(node: &NodeStatus) -> String {
    let memory = node.memory_bytes.map(size);
    let memory = memory.map_or_else(String::new, |memory| format!(", {memory} of memory"));
    format!(
        "requests {}, failed {} since the start; connections {}{memory}",
        node.requests, node.failures, node.connections
    )
}

fn telemetry(telemetry: Option<&TelemetryStatus>) -> String {
    let Some(telemetry) = telemetry else {
        return "none are configured (telemetry.base_url)".to_owned();
    };
    let last = match (&telemetry.last_report, telemetry.delivered) {
        (Some(at), Some(true)) => format!("the last was delivered at {at}"),
        (Some(at), _) => format!("the last was not delivered at {at}"),
        (None, _) => "none yet".to_owned(),
    };
    format!("{last}, to {}", telemetry.receiver)
}

fn disk(disk: &DiskStatus) -> String {
    format!(
        "disk:    {} of {} free ({} %) for {} in {}",
        size(disk.free_bytes),
        size(disk.total_bytes),
        disk.free_percent,
        disk.of,
        disk.folder.display()
    )
}

fn logged(logged: &LoggedStatus) -> String {
    let (errors, warnings) = (logged.errors, logged.warnings);
    let counts = format!("errors {errors}, warnings {warnings} since the start");
    match (&logged.latest_at, &logged.latest) {
        (Some(at), Some(latest)) => format!("{counts}, the newest at {at}: {latest}"),
        _ => counts,
    }
}

fn backup(node: &NodeStatus) -> String {
    match (&node.backup.latest, node.backup.checked) {
        (None, _) => "none yet".to_owned(),
        (Some(latest), true) => format!("{latest}, verified"),
        (Some(latest), false) => format!("{latest} is the newest that was completed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::{AuditStatus, BackupHealth, SharesOf};

    fn node() -> NodeStatus {
        NodeStatus {
            audit: AuditStatus::default(),
            version: "1.2.3".into(),
            git_hash: Some("abc".into()),
            process: 7,
            service: None,
            launched: "2026-11-19T03:00:00.000Z".into(),
            uptime_seconds: 33_120,
            public_key: "ab".repeat(32),
            listen: vec!["127.0.0.1:4201".into()],
            ops_listen: None,
            redirect_listen: None,
            admin_listen: None,
            admin_page: Some("http://127.0.0.1:4201/admin".to_owned()),
            certificate: None,
            key_shares: vec![SharesOf {
                provider: "google".into(),
                curve: "ed25519".into(),
                shares: 5,
            }],
            database_error: None,
            resealing: None,
            write_error: None,
            database_bytes: 1 << 20,
            log_bytes: 0,
            backup: BackupHealth {
                latest: None,
                checked: false,
                damage: None,
                failure: None,
                hook_failure: None,
            },
            busy: false,
            telemetry: None,
            disks: vec![DiskStatus {
                of: "data".into(),
                folder: "/d".into(),
                free_bytes: 1 << 30,
                total_bytes: 4 << 30,
                free_percent: 25,
            }],
            logged: LoggedStatus::default(),
            memory_bytes: Some(3 << 20),
            requests: 12,
            failures: 1,
            connections: 4,
            replica: None,
        }
    }

    #[test]
    fn a_new_node_is_well() {
        let text = page(&node(), &node().problems());
        for part in [
            "running: ksnode 1.2.3 (abc), process 7",
            "(9 h 12 min)",
            "5 (google ed25519 5)",
            "1.00 MiB",
            "use:     requests 12, failed 1 since the start; connections 4, 3.00 MiB of memory",
            "backup:  none yet",
            "reports: none are configured",
            "disk:    1.00 GiB of 4.00 GiB free (25 %) for data in /d",
            "log:     errors 0, warnings 0 since the start",
        ] {
            assert!(text.contains(part), "{part:?} is missing: {text}");
        }
        assert!(text.ends_with("\nwell"), "{text}");
    }

    #[test]
    fn shares_that_are_resealed_are_told() {
        let mut node = node();
        node.resealing = Some(ResealingStatus {
            key_version: 2,
            done: 128,
            total: 1000,
        });
        let text = page(&node, &node.problems());
        let part = "being sealed under share key 2: 128 of 1000";
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn reports_and_warnings_are_told() {
        let mut node = node();
        let error = Some("no route".to_owned());
        node.telemetry = Some(TelemetryStatus {
            receiver: "https://monitor.example".into(),
            last_report: Some("2026-11-19T04:00:00.000Z".into()),
            delivered: Some(false),
            error,
        });
        node.logged = LoggedStatus {
            warnings: 2,
            errors: 1,
            latest_at: Some("2026-11-19T04:00:01.000Z".into()),
            latest: Some("a text".into()),
        };
        let text = page(&node, &node.problems());
        for part in [
            "the last was not delivered at 2026-11-19T04:00:00.000Z, to https://monitor.example",
            "errors 1, warnings 2 since the start, the newest at 2026-11-19T04:00:01.000Z: a text",
            "WRONG:   the last report to the network's monitor was not delivered: no route",
        ] {
            assert!(text.contains(part), "{part:?} is missing: {text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |change: fn(&mut NodeStatus)| {
            let mut node = node();
            node.backup.latest = Some("2026-11-19T04:00:00.000Z".into());
            change(&mut node);
            node.problems()
        };
        assert_eq!(wrong(|node| node.backup.checked = true), [""; 0]);
        assert_eq!(
            wrong(|_| {}),
            ["the file of the newest backup (2026-11-19T04:00:00.000Z) is gone"]
        );
        assert_eq!(
            wrong(|node| node.backup.failure = Some("no room".into())),
            ["the newest backup failed: no room"]
        );
        let both = wrong(|node| {
            node.backup.damage = Some("page 7".into());
            node.database_error = Some("closed".into());
            node.write_error = Some("no write is accepted".into());
        });
        assert_eq!(
            both,
            [
                "the database does not answer: closed",
                "no write is accepted",
                "the database is damaged: page 7"
            ]
        );
    }
}
