//! The kinds of field rules, as functions that the generated checks call.

use prost_types::{Duration, FieldMask, Timestamp};

use super::{Path, Violations};
use crate::google::r#type::Money;

/// Characters of a hyphenated UUID.
const UUID_LEN: usize = 36;
/// Where its hyphens stand.
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// Most bytes of an e-mail address and of what stands before its @ (RFC 5321, 4.5.3.1).
const EMAIL_MAX_LEN: usize = 254;
const EMAIL_LOCAL_MAX_LEN: usize = 64;
/// Most characters of a slug.
const SLUG_MAX_LEN: usize = 64;
/// Letters of an ISO 4217 code.
const CURRENCY_LEN: usize = 3;
/// Billionths in a unit or second.
const NANOS: i32 = 1_000_000_000;
/// Bounds of google.protobuf.Timestamp: the years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Bound of google.protobuf.Duration: 10,000 years.
const DURATION_MAX_SECONDS: i64 = 315_576_000_000;
/// Most paths of a field mask, and most bytes of each.
const FIELD_MASK_MAX_PATHS: usize = 100;
const FIELD_MASK_PATH_MAX_LEN: usize = 200;

/// The shape of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lower-case and hyphenated.
    Uuid,
    /// An e-mail address.
    Email,
    /// a-z, 0-9 and inner single hyphens.
    Slug,
    /// Three upper-case letters.
    Currency,
}

impl Format {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(value),
            Self::Email => is_email(value),
            Self::Slug => is_slug(value),
            Self::Currency => is_currency(value),
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Uuid => "must be a UUID, lower-case and hyphenated",
            Self::Email => "must be an e-mail address",
            Self::Slug => "must be 1 to 64 of a-z, 0-9 and inner single hyphens",
            Self::Currency => "must be an ISO 4217 code of three upper-case letters",
        }
    }
}

/// Rules of a string (lengths in characters) or bytes (lengths in bytes).
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// Must not be empty.
    pub required: bool,
    /// Fewest, unless it is empty.
    pub shortest: usize,
    /// Most.
    pub longest: usize,
    /// The shape of a string, unless it is empty.
    pub format: Option<Format>,
}

/// Bounds of a number; of money in units, of a duration in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// More than.
    pub gt: Option<i64>,
    /// At least.
    pub gte: Option<i64>,
    /// Less than.
    pub lt: Option<i64>,
    /// At most.
    pub lte: Option<i64>,
}

/// A field that must be set is not.
pub fn missing(at: &Path<'_>, violations: &mut Violations) {
    violations.add(at, "is required");
}

/// Judges a string.
pub fn text(value: &str, rules: &Text, at: &Path<'_>, violations: &mut Violations) {
    // Bytes bound characters from above, so short texts need no counting.
    let long = value.len() > rules.longest && value.chars().count() > rules.longest;
    let short = rules.shortest > 0 && value.chars().count() < rules.shortest;
    lengths(value.is_empty(), short, long, rules, "characters", at, violations);
    if let Some(format) = rules.format
        && !value.is_empty()
        && !format.fits(value)
    {
        violations.add(at, format.description());
    }
}

/// Judges bytes.
pub fn bytes(value: &[u8], rules: &Text, at: &Path<'_>, violations: &mut Violations) {
    let (short, long) = (value.len() < rules.shortest, value.len() > rules.longest);
    lengths(value.is_empty(), short, long, rules, "bytes", at, violations);
}

fn lengths(
    empty: bool,
    short: bool,
    long: bool,
    rules: &Text,
    unit: &str,
    at: &Path<'_>,
    violations: &mut Violations,
) {
    if empty {
        if rules.required {
            missing(at, violations);
        }
    } else if short {
        violations.add(at, format!("must have at least {} {unit}", rules.shortest));
    } else if long {
        violations.add(at, format!("must have at most {} {unit}", rules.longest));
    }
}

/// Judges how many elements a repeated field has.
pub fn items(count: usize, fewest: usize, most: usize, at: &Path<'_>, violations: &mut Violations) {
    if count < fewest {
        violations.add(at, format!("must have at least {fewest} elements"));
    } else if count > most {
        violations.add(at, format!("must have at most {most} elements"));
    }
}

/// Judges a number.
pub fn number(value: i64, range: &Range, at: &Path<'_>, violations: &mut Violations) {
    amount(value, 0, range, at, violations);
}

/// Judges `whole` and `nanos` billionths, which have the same sign, against bounds in wholes.
fn amount(whole: i64, nanos: i32, range: &Range, at: &Path<'_>, violations: &mut Violations) {
    let value = (whole, nanos);
    if let Some(bound) = range.gt
        && value <= (bound, 0)
    {
        violations.add(at, format!("must be greater than {bound}"));
    }
    if let Some(bound) = range.gte
        && value < (bound, 0)
    {
        violations.add(at, format!("must be at least {bound}"));
    }
    if let Some(bound) = range.lt
        && value >= (bound, 0)
    {
        violations.add(at, format!("must be less than {bound}"));
    }
    if let Some(bound) = range.lte
        && value > (bound, 0)
    {
        violations.add(at, format!("must be at most {bound}"));
    }
}

/// Judges an enum's number.
pub fn choice(value: i32, known: bool, required: bool, at: &Path<'_>, violations: &mut Violations) {
    if !known {
        violations.add(at, "is not a value that is known here");
    } else if required && value == 0 {
        missing(at, violations);
    }
}

/// Judges an amount of money: a currency code, one sign, bounds.
pub fn money(value: &Money, range: &Range, at: &Path<'_>, violations: &mut Violations) {
    if !is_currency(&value.currency_code) {
        violations.add(&at.field("currency_code"), Format::Currency.description());
    }
    if !same_sign(value.units, value.nanos) {
        violations.add(&at.field("nanos"), "must be within ±999,999,999 and of the sign of units");
        return;
    }
    amount(value.units, value.nanos, range, at, violations);
}

/// Judges a time: the years 1 to 9999.
pub fn timestamp(value: &Timestamp, at: &Path<'_>, violations: &mut Violations) {
    if !TIMESTAMP_SECONDS.contains(&value.seconds) || !(0..NANOS).contains(&value.nanos) {
        violations.add(at, "must be a time of the years 1 to 9999");
    }
}

/// Judges a span of time.
pub fn duration(value: &Duration, range: &Range, at: &Path<'_>, violations: &mut Violations) {
    let fits = (-DURATION_MAX_SECONDS..=DURATION_MAX_SECONDS).contains(&value.seconds);
    if !fits || !same_sign(value.seconds, value.nanos) {
        violations.add(at, "must be a duration of at most 10,000 years");
        return;
    }
    amount(value.seconds, value.nanos, range, at, violations);
}

/// Judges a field mask; the names themselves are the service's to judge.
pub fn field_mask(value: &FieldMask, required: bool, at: &Path<'_>, violations: &mut Violations) {
    if required && value.paths.is_empty() {
        missing(at, violations);
    }
    if value.paths.len() > FIELD_MASK_MAX_PATHS
        || value.paths.iter().any(|path| path.len() > FIELD_MASK_PATH_MAX_LEN)
    {
        violations.add(at, "must have at most 100 paths of at most 200 bytes");
    }
}

/// Whether `nanos` is a fraction of the same sign as `whole`.
fn same_sign(whole: i64, nanos: i32) -> bool {
    nanos > -NANOS && nanos < NANOS && !(whole > 0 && nanos < 0) && !(whole < 0 && nanos > 0)
}

fn is_uuid(value: &str) -> bool {
    value.len() == UUID_LEN
        && value.bytes().enumerate().all(|(index, byte)| {
            if UUID_HYPHENS.contains(&index) {
                byte == b'-'
            } else {
                matches!(byte, b'0'..=b'9' | b'a'..=b'f')
            }
        })
}

fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.split_once('@') else { return false };
    value.len() <= EMAIL_MAX_LEN
        && (1..=EMAIL_LOCAL_MAX_LEN).contains(&local.len())
        && !value.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c))
        && domain.contains('.')
        && domain.split('.').all(is_domain_label)
}

/// Letters (of any script), digits and inner hyphens.
fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

fn is_slug(value: &str) -> bool {
    value.len() <= SLUG_MAX_LEN
        && value.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
        })
}

fn is_currency(value: &str) -> bool {
    value.len() == CURRENCY_LEN && value.bytes().all(|byte| byte.is_ascii_uppercase())
}
