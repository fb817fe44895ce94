//! `[tls]`.

use super::super::error::Wrong;
use super::super::resolve::{Reported, Resolved, Resolver};
use super::super::{Acme, CertificateFiles, Tls, TlsMode, check};
use super::or_empty;

/// The choices of `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    SelfSigned,
    Files,
    Acme,
}

const MODES: [(&str, Mode); 4] = [
    ("off", Mode::Off),
    ("self-signed", Mode::SelfSigned),
    ("files", Mode::Files),
    ("acme", Mode::Acme),
];

/// The keys that something obeys in some modes alone.
const PARTIAL: [(&str, &[Mode]); 7] = [
    ("tls.certificate", &[Mode::Files]),
    ("tls.key", &[Mode::Files]),
    ("tls.domains", &[Mode::SelfSigned, Mode::Files, Mode::Acme]),
    ("tls.contact", &[Mode::Acme]),
    ("tls.directory", &[Mode::Acme]),
    ("tls.directory_root", &[Mode::Acme]),
    (
        "tls.redirect_listen",
        &[Mode::SelfSigned, Mode::Files, Mode::Acme],
    ),
];

/// Those of them that are looked at in their modes alone.
const PATHS: [&str; 3] = ["tls.certificate", "tls.key", "tls.directory_root"];

/// Reads `[tls]`. A key that the mode makes no use of is checked all the same, and told in a notice: a mode is to be
/// tried without taking the others' keys out.
pub(super) fn tls(r: &mut Resolver<'_>) -> Resolved<Tls> {
    let chosen = r.required("tls.mode", |text| check::choice(text, &MODES));
    let domains = r.list("tls.domains", check::host);
    let contact = r.optional("tls.contact", or_empty(check::mail));
    let directory = r.required("tls.directory", check::url_text);
    let redirect_listen = r.required("tls.redirect_listen", or_empty(check::socket));
    let chosen = chosen?;
    let files = (chosen == Mode::Files).then(|| files(r)).transpose();
    let directory_root = (chosen == Mode::Acme)
        .then(|| r.existing_file("tls.directory_root"))
        .transpose();
    notice_unused(r, chosen);
    let domains = domains?;
    let mode = match chosen {
        Mode::Off => TlsMode::Off,
        Mode::SelfSigned => TlsMode::SelfSigned,
        Mode::Files => TlsMode::Files(files?.ok_or(Reported)?),
        Mode::Acme => {
            certifiable(r, &domains)?;
            TlsMode::Acme(Acme {
                contact: contact?.flatten(),
                directory: directory?,
                directory_root: directory_root?.flatten().map(|place| place.path),
            })
        }
    };
    Ok(Tls {
        redirect_listen: redirect_listen?.filter(|_| mode != TlsMode::Off),
        mode,
        domains,
    })
}

fn files(r: &mut Resolver<'_>) -> Resolved<CertificateFiles> {
    let certificate = r.existing_file("tls.certificate");
    let key = r.existing_secret_file("tls.key");
    let (certificate, key) = (certificate?, key?);
    let certificate = needed(r, "tls.certificate", certificate)?;
    let key = needed(r, "tls.key", key)?;
    Ok(CertificateFiles {
        certificate: certificate.path,
        key: key.path,
        key_is_credential: key.credential,
    })
}

fn needed<T>(r: &mut Resolver<'_>, key: &str, value: Option<T>) -> Resolved<T> {
    value.ok_or_else(|| {
        let wrong = Wrong::new(
            "is missing, and tls.mode is \"files\"",
            "name the PEM file, or choose another mode",
        );
        r.problem(key, r.source(key), wrong)
    })
}

/// What an authority can certify over tls-alpn-01: names, and at least one.
fn certifiable(r: &mut Resolver<'_>, domains: &[String]) -> Resolved<()> {
    let wrong = if domains.is_empty() {
        Wrong::new(
            "is empty, and tls.mode is \"acme\"",
            "write the names by which clients reach this node, like node.example.org",
        )
    } else if let Some(address) = domains
        .iter()
        .find(|name| name.parse::<std::net::IpAddr>().is_ok())
    {
        Wrong::new(
            format!("{address} is an address, and tls.mode is \"acme\""),
            "write a name: certificates are issued for names",
        )
    } else {
        return Ok(());
    };
    Err(r.problem("tls.domains", r.source("tls.domains"), wrong))
}

fn notice_unused(r: &mut Resolver<'_>, chosen: Mode) {
    let word = MODES
        .iter()
        .find(|(_, mode)| *mode == chosen)
        .map_or("", |(word, _)| word);
    for (key, modes) in PARTIAL {
        if !modes.contains(&chosen) && r.is_set(key) {
            if PATHS.contains(&key) {
                // Shown as it was written; nobody looks whether the file is there.
                let _ = r.optional(key, |_| Ok(()));
            }
            let source = r.source(key);
            r.settings.notices.push(format!(
                "{key} ({source}) is not used: tls.mode is {word:?}"
            ));
        }
    }
}
