//! The dashboard: one page, and the headers that keep a browser from doing anything else with it.
//!
//! The page asks the node's other pages and holds no state of its own; docs/DASHBOARD.md says what it shows.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::entropy;

const PAGE: &str = include_str!("dashboard.html");
/// Stands in the page where the nonce of its style and its script belong.
const NONCE: &str = "{nonce}";

/// What every answer says that is not a page for people: nothing in it is to be run, and nobody may frame it.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// `GET /`: the page, with a nonce of its own.
pub(super) async fn dashboard() -> Response {
    let nonce = format!("{:016x}{:016x}", entropy::seed(), entropy::seed());
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy(&nonce)),
        // Another copy would have a nonce that its headers do not know.
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, PAGE.replace(NONCE, &nonce)).into_response()
}

/// What the page may do: run its own script and style, and ask the node that it came from.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Adds to each answer what makes browsers careful with it.
pub(super) async fn careful(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_style_and_one_script_each_with_a_nonce_and_no_handler_or_style_of_an_element() {
        assert_eq!(PAGE.matches("<style").count(), 1);
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(PAGE.contains("<style nonce=\"{nonce}\">") && PAGE.contains("<script nonce=\"{nonce}\">"));
        assert_eq!(PAGE.matches(NONCE).count(), 2);
        let markup = PAGE.split("<script").next().unwrap_or_default();
        for forbidden in [" onclick=", " onload=", " onerror=", " style=\"", "javascript:"] {
            assert!(!markup.contains(forbidden), "the policy lets no browser heed `{forbidden}`");
        }
    }

    #[test]
    fn the_page_asks_nobody_else_and_makes_no_markup_of_text() {
        for forbidden in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!PAGE.contains(forbidden), "{forbidden} is in the page");
        }
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!PAGE.contains(forbidden), "`{forbidden}` would make markup or code of what nodes say");
        }
    }
}
