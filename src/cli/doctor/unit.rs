//! What systemd says of the unit that runs the node.

use std::path::Path;

use super::{Case, programs};
use crate::cli::finding::Finding;

const AREA: &str = "unit";

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let Some(unit) = &case.unit else {
        return Vec::new();
    };
    if !Path::new("/run/systemd/system").exists() {
        return vec![Finding::note(AREA, "systemd does not run this machine")];
    }
    let properties = "--property=LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState";
    match programs::printed("systemctl", &["show", unit, properties]).await {
        Some(text) => judge(unit, &text),
        None => vec![Finding::note(AREA, "systemctl does not answer")],
    }
}

fn judge(unit: &str, shown: &str) -> Vec<Finding> {
    let value = |name: &str| {
        let mut lines = shown.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    };
    let (active, sub, result) = (value("ActiveState"), value("SubState"), value("Result"));
    if value("LoadState") != "loaded" {
        let what = format!("the unit {unit} is not known to systemd");
        return vec![Finding::warning(AREA, what).mend("sudo systemctl daemon-reload")];
    }
    let enabled = matches!(value("UnitFileState"), "enabled" | "static" | "indirect");
    let mut findings = vec![match active {
        "active" => Finding::ok(AREA, format!("{unit} is active ({sub})")),
        "failed" => Finding::wrong(AREA, format!("{unit} has failed ({result})")).mend(format!(
            "journalctl -u {unit} -n 50; sudo systemctl restart {unit}"
        )),
        "activating" if sub == "auto-restart" => {
            let what = format!("{unit} fails at its start and is tried again and again ({result})");
            Finding::wrong(AREA, what).mend(format!("journalctl -u {unit} -n 50"))
        }
        _ => Finding::note(AREA, format!("{unit} is {active} ({sub})"))
            .mend(format!("sudo systemctl start {unit}")),
    }];
    if !enabled && active == "active" {
        let what = format!("{unit} does not start with the machine");
        findings.push(Finding::warning(AREA, what).mend(format!("sudo systemctl enable {unit}")));
    }
    let restarts: u32 = value("NRestarts").parse().unwrap_or(0);
    if restarts > 0 {
        let what = format!("systemd has restarted {unit} {restarts} times by itself");
        findings
            .push(Finding::warning(AREA, what).mend(format!("journalctl -u {unit} -p warning")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::finding::{Level, worst};

    #[test]
    fn says_what_systemd_says() {
        let shown = |active: &str, sub: &str, file: &str, restarts: u32| {
            let text = format!(
                "Result=exit-code\nNRestarts={restarts}\nLoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState={file}\n"
            );
            judge("ksnode", &text)
        };
        assert_eq!(worst(&shown("active", "running", "enabled", 0)), Level::Ok);
        assert_eq!(
            worst(&shown("active", "running", "disabled", 0)),
            Level::Warning
        );
        assert_eq!(
            worst(&shown("active", "running", "enabled", 3)),
            Level::Warning
        );
        assert_eq!(
            worst(&shown("inactive", "dead", "disabled", 0)),
            Level::Note
        );
        for (active, sub) in [("failed", "failed"), ("activating", "auto-restart")] {
            let found = shown(active, sub, "enabled", 0);
            assert_eq!(worst(&found), Level::Wrong);
            assert!(
                found[0]
                    .mend
                    .as_ref()
                    .unwrap()
                    .contains("journalctl -u ksnode")
            );
        }
        assert_eq!(
            worst(&judge("ksnode", "LoadState=not-found\n")),
            Level::Warning
        );
    }
}
