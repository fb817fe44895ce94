//! Whoever the node asks or reports to, asked whether he answers. The moment in his answer tells how the clock stands.

use http::StatusCode;
use tokio::task::JoinSet;

use super::{Case, clock};
use crate::cli::finding::{Finding, Level};
use crate::config::Config;
use crate::service::outbound::{Endpoint, Outbound, OutboundError, Probed, Timeouts};

const AREA: &str = "providers";

/// An address that the node asks, and whose.
struct Asked {
    who: String,
    address: String,
    /// Whether it is to answer with a success to whoever asks; others want a token.
    open: bool,
}

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    let outbound = match Outbound::new(Timeouts::default()) {
        Ok(outbound) => outbound,
        Err(error) => return vec![Finding::warning(AREA, error.to_string())],
    };
    let mut asking = JoinSet::new();
    for (place, asked) in asked(&case.config).into_iter().enumerate() {
        let (outbound, clock) = (outbound.clone(), case.clock.clone());
        asking.spawn(async move {
            let probed = match asked.address.parse::<Endpoint>() {
                Ok(endpoint) => outbound.probe(&endpoint).await,
                Err(error) => Err(error),
            };
            (place, judge(&asked, &probed, clock.now()))
        });
    }
    let mut found = asking.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    let (mut findings, mut clocks) = (Vec::new(), Vec::new());
    for (_, (finding, clock)) in found {
        findings.push(finding);
        clocks.extend(clock);
    }
    // One is enough, and the one that agrees least: the machine has one clock.
    findings.extend(clocks.into_iter().rev().max_by_key(|finding| finding.level));
    findings
}

fn asked(config: &Config) -> Vec<Asked> {
    let identity = &config.identity;
    let asked = |who: &str, address: &str, open| Asked {
        who: who.to_owned(),
        address: address.to_owned(),
        open,
    };
    let mut all = vec![
        asked("google", &identity.google.jwks_url, true),
        asked("auth0", &identity.auth0.jwks_url, true),
        asked("x", &identity.x_user_url, false),
        asked("discord", &identity.discord_user_url, false),
    ];
    for issuer in &identity.oidc {
        let discovery = || {
            format!(
                "{}/.well-known/openid-configuration",
                issuer.issuer.trim_end_matches('/')
            )
        };
        let address = issuer.jwks_url.clone().unwrap_or_else(discovery);
        all.push(asked(&issuer.name, &address, true));
    }
    if let Some(telemetry) = &config.telemetry {
        all.push(asked("telemetry", &telemetry.base_url, false));
    }
    all
}

/// What is to be said of the answer, and of the clock beside it.
fn judge(
    asked: &Asked,
    probed: &Result<Probed, OutboundError>,
    now: crate::clock::Timestamp,
) -> (Finding, Option<Finding>) {
    let Asked { who, address, open } = asked;
    let probed = match probed {
        Ok(probed) => probed,
        Err(error) => {
            let what = format!("{who}: {error}");
            let mend =
                format!("curl -sSI {address} (is there a name server, a way out, a firewall?)");
            return (Finding::wrong(AREA, what).at(address).mend(mend), None);
        }
    };
    let clock = probed.date.map(|date| clock::beside(now, date, who));
    let status = probed.status;
    let finding = if status.is_server_error() || (*open && status != StatusCode::OK) {
        let what = format!("{who} answers with status {status}");
        Finding::new(Level::Warning, AREA, what).mend(format!("curl -sSI {address}"))
    } else {
        Finding::ok(AREA, format!("{who} answers"))
    };
    (finding.at(address), clock)
}
