//! What a new app is told.

use qrcode::QrCode;
use qrcode::render::svg;
use zeroize::Zeroizing;

use super::builder;

/// What apps show above the code.
const ISSUER: &str = "ksnode";

/// What a new app is told.
#[derive(Clone)]
pub(in crate::admin) struct Enrolment {
    /// The secret as apps take it by hand: letters and digits in groups of four.
    pub(in crate::admin) secret: Zeroizing<String>,
    /// The same as a picture, an `<svg>` element.
    pub(in crate::admin) picture: Zeroizing<String>,
}

impl Enrolment {
    /// What an app is told that is to keep this secret for this account; or why there is no picture of it.
    pub(super) fn new(secret: &[u8], account: &str) -> Result<Self, String> {
        let totp = builder(secret)
            .with_account_name(account)
            .with_issuer(Some(ISSUER))
            .build()
            .map_err(|error| error.to_string())?;
        let url = Zeroizing::new(totp.to_url().map_err(|error| error.to_string())?);
        let code = QrCode::new(url.as_bytes()).map_err(|error| error.to_string())?;
        let picture = Zeroizing::new(
            code.render::<svg::Color<'_>>()
                .min_dimensions(240, 240)
                .build(),
        );
        let element = picture.find("<svg").and_then(|at| picture.get(at..));
        Ok(Self {
            secret: in_groups(&Zeroizing::new(totp.secret().to_base32())),
            picture: Zeroizing::new(element.unwrap_or_default().to_owned()),
        })
    }
}

fn in_groups(letters: &str) -> Zeroizing<String> {
    let mut groups = Zeroizing::new(String::with_capacity(letters.len().saturating_mul(2)));
    for (index, letter) in letters.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            groups.push(' ');
        }
        groups.push(letter);
    }
    groups
}
