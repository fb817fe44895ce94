//! `[tls]`: each mode has its keys.

use super::*;

/// What is wrong with this `[tls]`, every problem a line.
fn wrong(text: &str) -> Vec<String> {
    let error = Machine::with_file(&format!("[tls]\n{text}"))
        .load()
        .unwrap_err();
    let problems = error.problems().iter();
    problems
        .map(|problem| format!("{}: {}; {}", problem.key, problem.wrong, problem.mend))
        .collect()
}

#[test]
fn each_mode_takes_its_keys() {
    let tls = |text: &str| {
        let machine = Machine::with_file(&format!("[tls]\n{text}"));
        machine.write("pair/chain.pem", "chain");
        machine.write("pair/key.pem", "key");
        machine.write("root.pem", "root");
        (machine.load().unwrap(), machine)
    };
    let (plain, _) = tls("");
    assert_eq!(plain.config.tls.mode, TlsMode::Off);
    assert_eq!(plain.config.tls.redirect_listen, None);

    let (own, machine) = tls(
        "mode = 'files'\ncertificate = './pair/chain.pem'\nkey = 'pair/key.pem'\n\
        redirect_listen = '127.0.0.1:80'",
    );
    let path = |name: &str| machine.root.path().join(name);
    let files = CertificateFiles {
        certificate: path("pair/chain.pem"),
        key: path("pair/key.pem"),
        key_is_credential: false,
    };
    assert_eq!(own.config.tls.mode, TlsMode::Files(files));
    assert_eq!(
        own.config.tls.redirect_listen,
        Some("127.0.0.1:80".parse().unwrap())
    );

    let (own, _) = tls("mode = 'self-signed'\ndomains = 'node.example.org, 10.0.0.7'");
    assert_eq!(own.config.tls.mode, TlsMode::SelfSigned);
    assert_eq!(own.config.tls.domains, ["node.example.org", "10.0.0.7"]);

    let (issued, machine) = tls(
        "mode = 'acme'\ndomains = ['a.example']\ncontact = 'mailto:a@b.example'\n\
        directory = 'https://127.0.0.1:14000/dir'\ndirectory_root = './root.pem'",
    );
    let acme = Acme {
        contact: Some("a@b.example".into()),
        directory: "https://127.0.0.1:14000/dir".into(),
        directory_root: Some(machine.root.path().join("root.pem")),
    };
    assert_eq!(issued.config.tls.mode, TlsMode::Acme(acme));
    assert!(issued.notices.is_empty(), "{:?}", issued.notices);
}

#[test]
fn mistakes_name_the_key_and_the_mend() {
    for (text, expected) in [
        (
            "mode = 'on'",
            "tls.mode: \"on\" is none of the choices; write off, self-signed, files, acme",
        ),
        (
            "mode = 'files'\nkey = '/none/key.pem'",
            "tls.key: /none/key.pem cannot be read: No such file or directory (os error 2); \
             check the path and who may read it",
        ),
        (
            "mode = 'acme'",
            "tls.domains: is empty, and tls.mode is \"acme\"; write the names by which clients reach this node, like \
             node.example.org",
        ),
        (
            "mode = 'acme'\ndomains = ['10.0.0.7']",
            "tls.domains: 10.0.0.7 is an address, and tls.mode is \"acme\"; write a name: certificates are issued for \
             names",
        ),
        (
            "mode = 'self-signed'\nredirect_listen = ':80'",
            "tls.redirect_listen: \":80\" is not an IP address with a port; write it like 127.0.0.1:4201 or [::1]:4201",
        ),
        (
            "mode = 'self-signed'\nredirect_listen = '127.0.0.1:4202'",
            "tls.redirect_listen: 127.0.0.1:4202 is in ops.listen too; choose another port for one of them",
        ),
    ] {
        assert_eq!(wrong(text), [expected]);
    }
    let missing = wrong("mode = 'files'\ncertificate = '/etc/hostname'");
    assert_eq!(
        missing,
        [
            "tls.key: is missing, and tls.mode is \"files\"; name the PEM file, or choose another mode"
        ]
    );
    assert!(
        wrong("domains = ['*.example.org']")[0]
            .starts_with("tls.domains: \"*.example.org\" is no host name")
    );
    assert!(wrong("directory = 'http://a.example'")[0].contains("in the clear"));
}

#[test]
fn a_key_that_others_read_is_refused() {
    let text = "[tls]\nmode = 'files'\ncertificate = './chain.pem'\nkey = './key.pem'";
    let machine = Machine::with_file(text);
    let chain = machine.write("chain.pem", "chain");
    let key = machine.write("key.pem", "key");
    // The certificate is public.
    std::fs::set_permissions(&chain, PermissionsExt::from_mode(0o644)).unwrap();
    machine.load().unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    let problem = machine.problem();
    assert!(
        problem.starts_with("tls.key (") && problem.contains("run: chmod 600 "),
        "{problem}"
    );
    let allowed = machine.and(&[("KSNODE_ALLOW_READABLE_SECRET", "true")]);
    allowed.load().unwrap();
}

#[test]
fn what_a_mode_makes_no_use_of_is_told() {
    let machine =
        Machine::with_file("[tls]\nmode = 'off'\nkey = '/none'\nredirect_listen = '127.0.0.1:80'");
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config.tls.redirect_listen, None);
    let notices = loaded.notices;
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(
        notices[0].starts_with("tls.key (file ")
            && notices[0].ends_with("is not used: tls.mode is \"off\""),
        "{notices:?}"
    );
}
