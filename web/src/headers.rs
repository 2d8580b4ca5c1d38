//! What is checked of every request, and the headers of every answer.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::token::AccessToken;

/// A page runs scripts and styles of this server only, asks nobody else, and is in no other page.
///
/// Plotly makes an element `style` without text and adds its rules to that. The digest is that of
/// the empty text, so no other text is allowed. It saves a chart as an image through `data:` and
/// `blob:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; \
     img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The page that asks for a token has a form, and nothing else.
const POLICY_OF_FORM: &str = "default-src 'none'; style-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What the page that asks for a token needs.
pub(crate) const STYLE_OF_FORM: &str = "/token.css";

const HEADERS: [(axum::http::HeaderName, &str); 2] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// What requests are checked for.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// What everybody must give.
    pub(crate) token: Option<AccessToken>,
}

/// Rejects what is not for this server, and adds the headers. Answers are not stored, unless they
/// say so themselves.
pub(crate) async fn checked(
    State(checks): State<Checks>,
    request: Request,
    next: Next,
) -> Response {
    let (address, uri, asked) = (checks.address, request.uri(), request.headers());
    let token = checks.token.filter(|_| uri.path() != STYLE_OF_FORM);
    let mut policy = POLICY;
    let mut response = if *request.method() != Method::GET && *request.method() != Method::HEAD {
        let only = [(ALLOW, "GET, HEAD")];
        (
            StatusCode::METHOD_NOT_ALLOWED,
            only,
            "nothing can be changed here\n",
        )
            .into_response()
    } else if !is_for(address.ip(), asked) {
        let only = "this page is for this machine only: ask for it as localhost\n";
        (StatusCode::MISDIRECTED_REQUEST, only).into_response()
    } else if let Some(answer) = token.and_then(|token| token.check(address.port(), uri, asked)) {
        policy = POLICY_OF_FORM;
        answer
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request is for a server that listens there. One on the loopback interface is only for
/// those who name this machine: a page of somebody else's site can let that site's name lead here,
/// and then read what is here, because the browser takes both for one site.
fn is_for(listens_on: IpAddr, headers: &HeaderMap) -> bool {
    // No browser leaves the name out.
    let Some(host) = headers.get(HOST).filter(|_| listens_on.is_loopback()) else {
        return true;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_lead_to_it() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let headers = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers
        };
        for host in [
            "localhost:80",
            "LOCALHOST",
            "127.0.0.1:8080",
            "127.0.0.2",
            "[::1]:80",
        ] {
            assert!(is_for(loopback, &headers(host)), "{host}");
        }
        for host in [
            "",
            "example.org:80",
            "localhost.example.org",
            "10.0.0.1:80",
            "[::2]",
        ] {
            assert!(!is_for(loopback, &headers(host)), "{host}");
            assert!(is_for([10, 0, 0, 1].into(), &headers(host)), "{host}");
        }
        assert!(is_for(loopback, &HeaderMap::new()));
    }
}
