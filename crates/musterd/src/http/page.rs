//! The web page: its files, and the headers that keep a browser from doing anything else with them.
//!
//! [`muster_page`] has the files, compressed. The page has no data: its script asks the API, with the rights of its user.
//! Only a client that may see states gets them in the page itself.

use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use muster_access::Client;
use muster_api::{Problem, Right, RouteError};
use muster_page::{Asset, INDEX};
use muster_server::body::Body;
use muster_server::response::{self, Answer};
use muster_server::tickets::Desk;

use super::states;
use crate::shared::Shared;

/// Only files of this origin are executed, and no text ever becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'";

/// The headers of every file of the page, and of an answer that it has not changed.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-cache"),
    (VARY, "accept-encoding"),
];

/// The page; with a table of states for browsers without JavaScript, if its client may see that.
pub(super) async fn page(shared: &Shared, desk: &Desk, client: Client, headers: &HeaderMap) -> Answer {
    let index = muster_page::index();
    if !client.may(Right::Read) {
        return serve(index, headers);
    }
    // It is useful without the table as well.
    let Ok(ticket) = desk.answers.take(client, "request large responses") else { return serve(index, headers) };
    let text = states::page_with_states(shared).await;
    let mut answer = hyper::Response::new(Body::whole(text).with_ticket(ticket));
    dress(&mut answer, index);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A file of it.
pub(super) fn file(headers: &HeaderMap, name: &str) -> Result<Answer, Problem> {
    let found = muster_page::asset(name).filter(|asset| asset.name != INDEX);
    found.map(|asset| serve(asset, headers)).ok_or_else(|| Problem::from(RouteError::NotFound))
}

fn serve(asset: &'static Asset, headers: &HeaderMap) -> Answer {
    // The same tag for both encodings, hence a weak one.
    let tag = format!("W/\"{}\"", asset.tag);
    let mut answer = if is_known(headers, asset.tag) {
        response::nothing(StatusCode::NOT_MODIFIED)
    } else if accepts_gzip(headers) {
        let mut answer = hyper::Response::new(Body::whole(asset.gzip));
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        hyper::Response::new(Body::whole(asset.inflate()))
    };
    dress(&mut answer, asset);
    // It consists of hexadecimal digits.
    answer.headers_mut().extend(HeaderValue::try_from(tag).map(|tag| (ETAG, tag)));
    answer
}

fn dress(answer: &mut Answer, asset: &Asset) {
    let headers = answer.headers_mut();
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
}

/// Whether the client has this version (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| {
        let known = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || known.strip_prefix('"').and_then(|known| known.strip_suffix('"')) == Some(tag)
    })
}

/// Whether the client takes gzip (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
        let mut codings = lists.flat_map(|list| list.split(','));
        codings.find_map(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            name.trim().eq_ignore_ascii_case(wanted).then(|| weight.unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_clients_that_take_it() {
        for value in ["gzip", "br, gzip;q=0.5", "GZIP", "*", "deflate,*;q=0.1", "gzip; q=1.0"] {
            assert!(accepts_gzip(&with(ACCEPT_ENCODING, value)), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "identity", "*;q=0", "gzip;q=x", "*, gzip;q=0"] {
            assert!(!accepts_gzip(&with(ACCEPT_ENCODING, value)), "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_version_that_the_client_has_is_not_sent_again() {
        for value in ["\"ab\"", "W/\"ab\"", "\"x\", W/\"ab\"", "*"] {
            assert!(is_known(&with(IF_NONE_MATCH, value), "ab"), "{value}");
        }
        for value in ["", "ab", "\"abc\"", "W/ab", "\"a\", \"b\""] {
            assert!(!is_known(&with(IF_NONE_MATCH, value), "ab"), "{value}");
        }
    }

    #[test]
    fn the_page_has_one_address_for_each_file() {
        let none = HeaderMap::new();
        assert!(file(&none, INDEX).is_err() && file(&none, "nosuch.js").is_err() && file(&none, "../lib.rs").is_err());
        for asset in muster_page::assets().iter().filter(|asset| asset.name != INDEX) {
            assert!(file(&none, asset.name).is_ok(), "{}", asset.name);
        }
    }
}
