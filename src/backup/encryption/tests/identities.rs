//! Whose file it is, and what a file of identities may be.

use super::*;

#[test]
fn somebody_elses_identity_opens_nothing() {
    let (folder, _) = sealed(b"rows");
    let other = folder.identity("other", &Identity::generate());
    let error = folder.refusal(&other).to_string();
    let expected = format!(
        "{}: holds no identity that {} is encrypted to",
        other.display(),
        folder.at("sealed").display()
    );
    assert_eq!(error, expected);
}

#[test]
fn identity_files_that_are_none_are_told_apart() {
    let (folder, _) = sealed(b"rows");
    let recipient = Identity::generate().to_public().to_string();
    for (text, expected) in [
        ("", "holds no identity (a line"),
        ("# public key: age1\n\n  \n", "holds no identity (a line"),
        ("\nhunter2\n", "line 2 is no age X25519 identity"),
        (
            "AGE-SECRET-KEY-1HUNTER2",
            "line 1 is no age X25519 identity",
        ),
        (recipient.as_str(), "line 1 is a recipient, which encrypts"),
        (
            "AGE-PLUGIN-YUBIKEY-1HUNTER2",
            "line 1 is an identity of a plugin",
        ),
        (
            "age-encryption.org/v1\n-> scrypt",
            "is protected by a passphrase; open it first",
        ),
        (
            "-----BEGIN AGE ENCRYPTED FILE-----\n",
            "is protected by a passphrase; open it first",
        ),
    ] {
        let file = folder.write("identity", text);
        let error = folder.refusal(&file);
        assert!(
            matches!(&error, BackupError::Identity { path, .. } if *path == file),
            "{error}"
        );
        let error = error.to_string();
        assert!(error.contains(&format!(": {expected}")), "{error}");
        assert!(!error.to_ascii_lowercase().contains("hunter2"), "{error}");
    }
    let binary = folder.write("identity", [0xff, 0xfe]);
    assert!(
        folder
            .refusal(&binary)
            .to_string()
            .ends_with(": is not a text")
    );
    let large = folder.write("identity", vec![b'#'; (1 << 20) + 1]);
    assert!(
        folder
            .refusal(&large)
            .to_string()
            .ends_with(": it is larger than 1 MiB")
    );
    for path in [folder.at("none"), folder.0.path().to_owned()] {
        let error = folder.refusal(&path);
        assert!(error.to_string().contains(": cannot be read: "), "{error}");
        assert!(matches!(error, BackupError::Identity { .. }));
    }
}

#[test]
fn one_of_several_identities_is_enough() {
    let (folder, identity) = sealed(b"rows");
    let other = Identity::generate();
    let mut text = format!("{}\r\n", other.to_string().expose_secret());
    text.push_str(&std::fs::read_to_string(identity).unwrap());
    let file = folder.write("identities", text);
    folder.decrypt(&file).unwrap();
    assert_eq!(folder.read("opened"), b"rows");
}

#[test]
fn a_file_under_a_passphrase_has_no_identity() {
    let (folder, identity) = sealed(b"rows");
    let mut recipient = age::scrypt::Recipient::new("hunter2".to_owned().into());
    recipient.set_work_factor(2);
    let encryptor =
        Encryptor::with_recipients(std::iter::once::<&dyn age::Recipient>(&recipient)).unwrap();
    let mut output = encryptor.wrap_output(Vec::new()).unwrap();
    std::io::Write::write_all(&mut output, b"rows").unwrap();
    folder.write("sealed", output.finish().unwrap());
    assert!(matches!(
        folder.refusal(&identity),
        BackupError::Identity { .. }
    ));
}

/// A key for this test alone, in the form in which the reference implementation (age 1.1.1) wrote it, and a file that
/// it encrypted.
const FOREIGN_IDENTITY: &str = "# created: 2026-11-20T13:00:46Z
# public key: age1k6n52ytfyulgsqqg2wl6l2mr54ysjvaqt64prggrw3hjkz8flgdqatnt8x
AGE-SECRET-KEY-1VEG97UFD2RQZMZNJHWRHPNVC0JTA863YD8KM4ARCWU3WW3LZEUPQGLDRVZ
";
const FOREIGN_FILE: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBOQ2htZWxVbkdPbk9LcHRaczlrRVd6dTlLcmh3LzhNVnhRSWlNamMrUkZnCndsbVVqVWVNRTlYcE9IdFRrcWNacTd5c1cyTGh3ZXBHd0hpbk5jczFIRkkKLS0tIDNOdzVHZC91Tm5MM0RyM1B1WlJFUjlJWkpPT1JLWlhmWVVYaEdtUHdjaTAKIpphTNUqf/UfDGIRpOpnCLqNCaFTYmtCYJBkQZTn+AimvJ3QF9fVz2eytIUm+skY7uUAdkaiHbi1QQ==";

#[test]
fn the_reference_implementations_file_opens() {
    use base64::Engine;
    let folder = Folder::with(b"");
    let bytes = base64::prelude::BASE64_STANDARD
        .decode(FOREIGN_FILE)
        .unwrap();
    folder.write("sealed", bytes);
    folder
        .decrypt(&folder.write("identity", FOREIGN_IDENTITY))
        .unwrap();
    assert_eq!(folder.read("opened"), b"written by another program");
}
