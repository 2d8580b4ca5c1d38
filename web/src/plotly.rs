//! Plotly's script. The build script has taken it out of the crate `plotly`.

use axum::http::HeaderMap;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, VARY,
};
use axum::response::{IntoResponse, Response};
use miniz_oxide::inflate::decompress_to_vec;

/// The media type of scripts.
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// As a gzip file.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plotly.min.js.gz"));
/// The lengths of what is before and after the data in a gzip file without a name.
const HEAD: usize = 10;
const FOOT: usize = 8;

/// A week: a browser that has the last version of the script draws the same.
const CACHED: &str = "public, max-age=604800";

const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, JAVASCRIPT),
    (CACHE_CONTROL, CACHED),
    (VARY, "Accept-Encoding"),
];

/// Answers with the script.
pub(crate) async fn plotly(asked: HeaderMap) -> Response {
    if takes_gzip(&asked) {
        (HEADERS, [(CONTENT_ENCODING, "gzip")], COMPRESSED).into_response()
    } else {
        let data = &COMPRESSED[HEAD..COMPRESSED.len() - FOOT];
        let script = decompress_to_vec(data).expect("the build script has compressed it");
        (HEADERS, script).into_response()
    }
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let codings = asked
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    codings
        .flat_map(|codings| codings.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|quality| quality == "q=0")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (asked, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("x-gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, asked.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{asked}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
