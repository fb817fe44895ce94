//! What a form sends.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, header};
use zeroize::Zeroizing;

use super::PageError;

/// The fields of a form. Any of them may be a password: all are zeroized.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

impl Form {
    /// Reads a body as browsers send it.
    ///
    /// # Errors
    /// [`PageError::Invalid`] when it is something else.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, PageError> {
        let media_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        let form = "application/x-www-form-urlencoded";
        if !body.is_empty() && !media_type.trim().eq_ignore_ascii_case(form) {
            return Err(PageError::Invalid(format!(
                "What was sent is no form: its Content-Type must be {form}."
            )));
        }
        Ok(Self(pairs(body)))
    }

    /// The field of that name, when it was sent once.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter().filter(|(given, _)| given == name);
        let (_, value) = fields.next()?;
        fields.next().is_none().then_some(value.as_str())
    }

    /// The same for a secret.
    pub(super) fn secret(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(self.text(name).unwrap_or_default().to_owned())
    }

    /// Whether a box is ticked.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| !value.is_empty())
    }
}

/// The pairs of a query.
pub(super) fn query(text: Option<&str>) -> Vec<(String, String)> {
    let text = text.unwrap_or_default();
    url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn pairs(body: &[u8]) -> Vec<(String, Zeroizing<String>)> {
    url::form_urlencoded::parse(body)
        .into_owned()
        .map(|(name, value)| (name, Zeroizing::new(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(media_type: &'static str, body: &'static str) -> Result<Form, PageError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Form::read(&headers, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn fields_are_decoded_and_one_that_comes_twice_counts_for_nothing() {
        let form = read(
            "application/x-www-form-urlencoded; charset=UTF-8",
            "password=a+b%26%C3%A9&twice=1&twice=2&empty=&box=on",
        )
        .unwrap();
        assert_eq!(form.text("password"), Some("a b&é"));
        assert_eq!(form.secret("password").as_str(), "a b&é");
        assert_eq!((form.text("twice"), form.text("absent")), (None, None));
        assert!(form.is_set("box") && !form.is_set("empty") && !form.is_set("absent"));
        assert!(!format!("{form:?}").contains("a b"));
    }

    #[test]
    fn something_else_is_refused() {
        for media_type in ["application/json", "multipart/form-data; boundary=x", ""] {
            assert!(read(media_type, "{}").is_err(), "{media_type}");
        }
        assert!(read("", "").is_ok());
    }
}
