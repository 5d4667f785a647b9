//! Deadlines: the caller's `grpc-timeout` is obeyed, and bounded.
//!
//! The header's format: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::method::Method;
use crate::error;

/// The header in which a caller says how long it waits.
pub(crate) const HEADER: &str = "grpc-timeout";
/// How long a unary call may take when its caller does not say.
pub(crate) const DEFAULT: Duration = Duration::from_secs(5);
/// How long a unary call may take at most, whatever its caller says.
pub(crate) const MAXIMUM: Duration = Duration::from_secs(30);
/// The most digits of the header's number.
const MAX_DIGITS: usize = 8;
/// The largest number that the header holds.
const MAX_NUMBER: u128 = 99_999_999;

/// When a call of this method must have been answered. Streams end when their caller says, or never.
pub(crate) fn of_call(
    method: &Method,
    headers: &HeaderMap,
    carried: Option<Instant>,
) -> Option<Instant> {
    let now = Instant::now();
    let asked = of_headers(headers).map(|left| now + left);
    let theirs = match (carried, asked) {
        (Some(carried), Some(asked)) => Some(carried.min(asked)),
        (carried, asked) => carried.or(asked),
    };
    if method.streaming {
        return theirs;
    }
    Some(theirs.map_or(now + DEFAULT, |theirs| theirs.min(now + MAXIMUM)))
}

/// How long a client waits for the call at `path` when nobody says.
pub(crate) fn default_for_path(path: &str) -> Option<Duration> {
    (!Method::of(path).streaming).then_some(DEFAULT)
}

/// What the header says. A malformed one says nothing.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = !number.is_empty()
        && number.len() <= MAX_DIGITS
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok()).flatten()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The header that says `left`, in the finest unit that holds it, never more than `left`.
pub(crate) fn header_value(left: Duration) -> HeaderValue {
    let text = if left.as_micros() <= MAX_NUMBER {
        format!("{}u", left.as_micros())
    } else if left.as_millis() <= MAX_NUMBER {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", left.as_secs().min(99_999_999))
    };
    HeaderValue::try_from(text).expect("digits and a letter are a header value")
}

/// The answer to a call whose time is over. What it began may or may not have happened.
pub(crate) fn exceeded() -> Status {
    error::status(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline is over")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("2H", Duration::from_secs(7_200)),
            ("3M", Duration::from_secs(180)),
            ("4S", Duration::from_secs(4)),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(of_headers(&headers(text)), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_malformed_header_says_nothing() {
        for text in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "5 S", "1.5S"] {
            assert_eq!(of_headers(&headers(text)), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_never_more() {
        for left in [
            Duration::ZERO,
            Duration::from_nanos(1_999),
            Duration::from_secs(5),
            Duration::from_secs(99_999),
            Duration::from_secs(10_000_000),
            Duration::MAX,
        ] {
            let value = header_value(left);
            let read = of_headers(&headers(value.to_str().unwrap())).unwrap();
            assert!(read <= left, "{value:?}");
        }
        assert_eq!(header_value(Duration::from_secs(5)), "5000000u");
    }
}
