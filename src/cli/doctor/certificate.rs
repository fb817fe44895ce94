//! How the certificate stands: what the node says of it, or what lies in the operator's files.

use std::path::Path;

use zeroize::Zeroizing;

use super::Case;
use crate::cli::finding::Finding;
use crate::config::{CertificateFiles, TlsMode};
use crate::tls::{Certificate, Pem};

const AREA: &str = "certificate";
const HTTPS_PORT: u16 = 443;

pub(super) fn look(case: &Case) -> Vec<Finding> {
    let mut findings = match (&case.node, &case.config.tls.mode) {
        (_, TlsMode::Off) => return vec![without(case)],
        (Some(node), _) => match &node.certificate {
            Some(certificate) => of_node(case, certificate),
            None => vec![
                Finding::note(AREA, "the node serves in clear").mend(super::node::restart(case)),
            ],
        },
        (None, TlsMode::Files(files)) => of_files(case, files),
        (None, TlsMode::SelfSigned) => vec![Finding::ok(AREA, "the node makes its own")],
        (None, TlsMode::Acme(_)) => vec![Finding::ok(
            AREA,
            "the node has it from the authority while it runs",
        )],
    };
    let listen = &case.config.server.listen;
    let https = listen.iter().any(|address| address.port() == HTTPS_PORT);
    if matches!(case.config.tls.mode, TlsMode::Acme(_)) && !https {
        let what = "the authority comes to port 443, where server.listen has none: something before the node must forward it";
        findings.push(Finding::note(AREA, what).at("server.listen"));
    }
    findings
}

/// In clear is fine for this machine and behind a proxy, and nowhere else.
fn without(case: &Case) -> Finding {
    let server = &case.config.server;
    let open = server
        .listen
        .iter()
        .any(|address| !address.ip().is_loopback());
    if open && server.trusted_proxies.is_empty() {
        let what = "the API is served in clear to other machines: shares and tokens can be read on the way";
        let mend = "sudo ksnode init --domain NAME --contact MAIL (or --behind-proxy ADDRESS)";
        return Finding::warning(AREA, what).at("tls.mode").mend(mend);
    }
    Finding::ok(
        AREA,
        "none is needed: the API is served to this machine or to a proxy",
    )
}

fn of_node(case: &Case, certificate: &crate::desk::CertificateStatus) -> Vec<Finding> {
    let problems: Vec<String> = certificate.problems().collect();
    if problems.is_empty() {
        let what = format!(
            "{}, for {}, until {} ({} days)",
            certificate.source,
            certificate.names.join(" "),
            certificate.not_after,
            certificate.days_left
        );
        return vec![Finding::ok(AREA, what)];
    }
    let findings = problems.into_iter();
    findings
        .map(|what| Finding::wrong(AREA, what).mend(super::node::log(case)))
        .collect()
}

fn of_files(case: &Case, files: &CertificateFiles) -> Vec<Finding> {
    let read = |path: &Path| {
        let read = std::fs::read(path).map(Zeroizing::new);
        read.map_err(|error| {
            let what = format!("{} cannot be read: {error}", path.display());
            vec![
                Finding::wrong(AREA, what)
                    .on(path)
                    .mend("check the path and who may read it"),
            ]
        })
    };
    let (certificate, key) = match (read(&files.certificate), read(&files.key)) {
        (Ok(certificate), Ok(key)) => (certificate, key),
        (Err(findings), _) | (_, Err(findings)) => return findings,
    };
    let names = [
        files.certificate.display().to_string(),
        files.key.display().to_string(),
    ];
    let pair = Certificate::from_pem(
        Pem {
            what: &names[0],
            text: &certificate,
        },
        Pem {
            what: &names[1],
            text: &key,
        },
    );
    match pair {
        Ok(pair) => of_pair(case, &pair, &files.certificate),
        Err(error) => vec![Finding::wrong(AREA, error.to_string()).on(&files.certificate)],
    }
}

fn of_pair(case: &Case, pair: &Certificate, file: &Path) -> Vec<Finding> {
    let now = case.clock.now();
    let mend = "have a new one issued, and write it there";
    let mut findings = Vec::new();
    if pair.not_after <= now {
        findings
            .push(Finding::wrong(AREA, format!("it has expired ({})", pair.not_after)).mend(mend));
    } else if pair.not_before > now {
        let what = format!(
            "its time begins at {} only, or the clock is wrong",
            pair.not_before
        );
        findings.push(Finding::wrong(AREA, what).mend("timedatectl"));
    }
    let lacks = pair.lacks(&case.config.tls.domains);
    if !lacks.is_empty() {
        let what = format!("it is not for {}", lacks.join(" "));
        findings.push(Finding::warning(AREA, what).mend(mend));
    }
    if pair.chain_is_missing {
        let what = "the certificate of its issuer is not in the file: many clients will refuse it";
        findings.push(
            Finding::warning(AREA, what).mend("use the authority's full chain (fullchain.pem)"),
        );
    }
    if findings.is_empty() {
        let what = format!("for {}, until {}", pair.names.join(" "), pair.not_after);
        findings.push(Finding::ok(AREA, what));
    }
    findings
        .into_iter()
        .map(|finding| finding.on(file))
        .collect()
}
