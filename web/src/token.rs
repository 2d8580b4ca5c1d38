//! Who may see a page: whoever has its [`AccessToken`].

use std::fmt;

use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};

/// How many characters a token has at least.
const SHORTEST: usize = 16;
/// The name of the token in an address.
const NAME: &str = "token";

/// A secret that everybody must give who asks from another machine.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// A token of at least 16 characters.
    ///
    /// # Errors
    /// If it is shorter, or has characters that an address and a cookie do not keep as they are.
    pub fn new(text: &str) -> Result<Self, String> {
        let is_kept = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if !text.chars().all(is_kept) {
            return Err(
                "a token has only the letters a to z, digits, `-`, `.`, `_` and `~`".into(),
            );
        }
        if text.len() < SHORTEST {
            return Err(format!("a token has at least {SHORTEST} characters"));
        }
        Ok(AccessToken(text.to_owned()))
    }

    /// Random bits as a token.
    #[must_use]
    pub fn of_bits(bits: u128) -> Self {
        AccessToken(format!("{bits:032x}"))
    }

    /// The address of a page with the token.
    #[must_use]
    pub fn in_url(&self, url: &str) -> String {
        format!("{url}?{NAME}={}", self.0)
    }

    /// Compares in a time that does not tell how much of it is right.
    fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let mut difference = u8::from(own.len() != given.len());
        for (index, byte) in own.iter().enumerate() {
            difference |= byte ^ given.get(index).copied().unwrap_or_default();
        }
        difference == 0
    }

    /// What is answered instead of the page. `None` if the token is there. The cookies of all ports
    /// of a machine are together, so the cookie has the name of this one.
    pub(crate) fn check(&self, port: u16, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let cookie = format!("rivulet-{NAME}-{port}");
        let (tokens, others): (Vec<&str>, Vec<&str>) = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty())
            .partition(|part| part.split('=').next() == Some(NAME));
        let given = tokens.iter().filter_map(|part| part.split_once('='));
        let given: Vec<&str> = given.map(|(_, token)| token).collect();
        if given.iter().any(|token| self.is(token)) {
            // So that nobody copies the token with the address.
            let query = others.join("&");
            let mark = if query.is_empty() { "" } else { "?" };
            // With two slashes at the start it would be the address of another machine.
            let path = uri.path().trim_start_matches('/');
            let kept = format!("{cookie}={}; HttpOnly; SameSite=Strict; Path=/", self.0);
            let headers = [
                (LOCATION, format!("/{path}{mark}{query}")),
                (SET_COOKIE, kept),
            ];
            return Some((StatusCode::SEE_OTHER, headers).into_response());
        }
        let has_cookie = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == cookie && self.is(value));
        if has_cookie && given.is_empty() {
            return None;
        }
        let said = if given.is_empty() {
            ""
        } else {
            "<p role=\"alert\">That is another token.</p>"
        };
        let page = include_str!("token/ask.html").replace("<!-- said -->", said);
        Some((StatusCode::UNAUTHORIZED, Html(page)).into_response())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    /// The status of the answer, where it leads, and its cookie. `None` is the page.
    fn answer(uri: &str, cookies: &str) -> Option<(u16, String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
        let token = AccessToken::new(TOKEN).unwrap();
        let answer = token.check(80, &uri.parse().unwrap(), &headers)?;
        let header = |name| {
            let value = answer.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let (location, cookie) = (header(LOCATION), header(SET_COOKIE));
        Some((answer.status().as_u16(), location, cookie))
    }

    #[test]
    fn whoever_has_the_token_gets_a_cookie_and_the_page() {
        let (status, location, cookie) =
            answer(&format!("/?sensor=a%20b&token={TOKEN}&x=1"), "").unwrap();
        assert_eq!((status, location.as_str()), (303, "/?sensor=a%20b&x=1"));
        let expected = "rivulet-token-80=0123456789abcdef; HttpOnly; SameSite=Strict; Path=/";
        assert_eq!(cookie, expected);
        assert_eq!(
            answer("/events?a=1", "a=b; rivulet-token-80=0123456789abcdef"),
            None
        );
        let (_, location, _) = answer(&format!("//example.org/?token={TOKEN}"), "").unwrap();
        assert_eq!(location, "/example.org/");
    }

    #[test]
    fn nobody_else_gets_anything() {
        for (uri, cookies) in [
            ("/", ""),
            ("/events?tokens=0123456789abcdef", ""),
            ("/?token=", ""),
            ("/?token", ""),
            ("/?token=0123456789abcde", ""),
            ("/?token=0123456789abcdef0", ""),
            ("/?token=0123456789abcdeg", ""),
            ("/", "rivulet-token-81=0123456789abcdef"),
            ("/", "rivulet-token-80="),
            ("/?token=another", "rivulet-token-80=0123456789abcdef"),
        ] {
            let (status, location, cookie) = answer(uri, cookies).unwrap();
            let expected = (401, String::new(), String::new());
            assert_eq!((status, location, cookie), expected, "{uri} {cookies}");
        }
    }

    #[test]
    fn a_token_is_long_and_stays_as_it_is_in_an_address() {
        for text in [
            "",
            "0123456789abcde",
            "0123456789abcdef;",
            "0123456789abcde é",
        ] {
            assert!(AccessToken::new(text).is_err(), "{text}");
        }
        let token = AccessToken::of_bits(1);
        let url = "http://10.0.0.1/?token=00000000000000000000000000000001";
        assert_eq!(token.in_url("http://10.0.0.1/"), url);
        assert_eq!(format!("{token:?}"), "AccessToken");
    }
}
