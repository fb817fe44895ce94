//! Styles, scripts and icons, from the binary: laid out, compressed and named at build time (packaging/assets.rs).
//!
//! A name is decided by the content, so that browsers keep an asset for ever and get another one with another name. Nothing
//! in them is secret, and the login looks like the rest: they need no session.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::PageError;
use super::answer::with_type;
use super::site::Answer;

/// Something that pages refer to.
struct Asset {
    /// As templates call it.
    name: &'static str,
    /// Where it is.
    path: &'static str,
    media_type: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Browsers keep it as long as they like.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Where the asset that templates call `name` is; nowhere for a name that is none, which a test rules out.
pub(super) fn url(name: &str) -> &'static str {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    found.map_or("", |asset| asset.path)
}

/// The asset of that name in its path, compressed for those who understand that.
pub(super) fn answer(name: &str, headers: &HeaderMap) -> Result<Answer, PageError> {
    let is_it = |asset: &&Asset| asset.path.rsplit('/').next() == Some(name);
    let asset = ASSETS.iter().find(is_it).ok_or(PageError::NotFound)?;
    let gzip = takes_gzip(headers);
    let content = if gzip { asset.gzip } else { asset.plain };
    let content = Bytes::from_static(content);
    let mut answer = with_type(StatusCode::OK, asset.media_type, content);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, KEPT);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        let encoding = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    Ok(answer)
}

/// Whether a client takes gzip. One that weighs its encodings (`gzip;q=0`) gets the plain form.
fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim() == "gzip")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn get(name: &str, accepts: &'static str) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
        let answer = answer(name, &headers).unwrap();
        let (parts, body) = answer.into_parts();
        (
            parts.headers,
            body.collect().await.unwrap().to_bytes().to_vec(),
        )
    }

    #[tokio::test]
    async fn an_asset_is_compressed_for_those_who_understand_it() {
        for asset in ASSETS {
            let name = asset.path.rsplit('/').next().unwrap();
            let (headers, plain) = get(name, "identity").await;
            assert_eq!(plain, asset.plain);
            assert_eq!(headers[header::CONTENT_TYPE], asset.media_type);
            assert!(headers.get(header::CONTENT_ENCODING).is_none());
            let (headers, packed) = get(name, "br, gzip").await;
            assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
            assert_eq!(headers[header::CACHE_CONTROL], KEPT);
            assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < plain.len());
            let (headers, _) = get(name, "gzip;q=0").await;
            assert!(headers.get(header::CONTENT_ENCODING).is_none());
        }
    }

    #[test]
    fn another_name_is_nothing() {
        for name in ["", "page.css", "page-0000000000000000.css", "..", "icons"] {
            let answer = answer(name, &HeaderMap::new());
            assert!(matches!(answer, Err(PageError::NotFound)), "{name}");
        }
    }
}
