//! The size of a request's head. hyper bounds its buffer, which has room for twice as much.

use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, StatusCode};

use crate::response::{self, Answer};

/// The largest head, in bytes.
pub(crate) const MOST: usize = 32 * 1024;

/// The separators of a header: a colon, a space, and the end of the line.
const SEPARATORS: usize = 4;

/// Whether the head is larger than that.
pub(crate) fn is_too_large<B>(request: &Request<B>) -> bool {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let of_headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    target + of_headers.sum::<usize>() > MOST
}

/// The refusal. The rest of the request is not read.
pub(crate) fn refusal() -> Answer {
    let mut answer = response::nothing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_target_count() {
        let of = |target: usize, header: usize| {
            let request = Request::builder().uri(format!("/{}", "x".repeat(target)));
            is_too_large(&request.header("x", "y".repeat(header)).body(()).unwrap())
        };
        assert!(!of(100, 100) && !of(MOST / 2, MOST / 3));
        assert!(of(MOST / 2, MOST / 2) && of(0, MOST) && of(MOST, 0));
    }
}
