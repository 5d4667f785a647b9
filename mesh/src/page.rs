//! Pages of lists, as AIP-158 has them (<https://google.aip.dev/158>): opaque signed tokens, bounded sizes.
//!
//! A token is a cursor and a signature over it and over what is being listed: it cannot be made up, nor be used for
//! another list, another filter or another caller than the one that it was given for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use crate::error::{self, FieldViolation};
use crate::identity::Keys;

/// What the signing key is derived for.
const PURPOSE: &str = "souk.page.v1";
/// The length of a signature, in bytes.
const TAG_BYTES: usize = 32;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 4_096;

/// Makes page tokens, and reads them back. Every process with the same key reads them.
#[derive(Clone)]
pub struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    /// Tokens signed under a secret derived from the shop's key.
    #[must_use]
    pub fn new(keys: &Keys) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &keys.derive(PURPOSE)) }
    }

    /// The token of the page that begins at `cursor`. `scope` names the list: the method, the caller if the list
    /// is theirs, and every parameter but page size and token.
    ///
    /// # Errors
    /// INTERNAL when the cursor cannot be written as JSON.
    pub fn encode<T: Serialize>(&self, cursor: &T, scope: &str) -> Result<String, Status> {
        let cursor = serde_json::to_vec(cursor).map_err(|error| {
            error::status(tonic::Code::Internal, "PAGE_CURSOR", format!("page cursor: {error}"))
        })?;
        let tag = hmac::sign(&self.key, &signed(&cursor, scope));
        Ok(URL_SAFE_NO_PAD.encode([tag.as_ref(), &cursor].concat()))
    }

    /// Where the page of `token` begins; `None` for the empty token, which asks for the first page.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, reason `INVALID_PAGE_TOKEN`, for a token that was not given for this list.
    pub fn decode<T: DeserializeOwned>(
        &self,
        token: &str,
        scope: &str,
    ) -> Result<Option<T>, Status> {
        if token.is_empty() {
            return Ok(None);
        }
        self.verified(token, scope).map(Some).ok_or_else(|| {
            let description = "is not a token that this list gave, or its parameters changed";
            let violation = FieldViolation::new("page_token", description);
            error::invalid_argument("INVALID_PAGE_TOKEN", vec![violation])
        })
    }

    fn verified<T: DeserializeOwned>(&self, token: &str, scope: &str) -> Option<T> {
        let bounded = (token.len() <= MAX_TOKEN_BYTES).then_some(token)?;
        let bytes = URL_SAFE_NO_PAD.decode(bounded).ok()?;
        let (tag, cursor) = bytes.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.key, &signed(cursor, scope), tag).ok()?;
        serde_json::from_slice(cursor).ok()
    }
}

/// What the signature covers. The scope's length keeps scope and cursor apart.
fn signed(cursor: &[u8], scope: &str) -> Vec<u8> {
    let length = u64::try_from(scope.len()).unwrap_or(u64::MAX).to_be_bytes();
    [&length, scope.as_bytes(), cursor].concat()
}

/// How many items a page has: `default` when the caller does not say, at most `maximum`.
///
/// # Errors
/// INVALID_ARGUMENT, reason `INVALID_PAGE_SIZE`, when it is negative.
pub fn size(asked: i32, default: u32, maximum: u32) -> Result<u32, Status> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(asked) => Ok(asked.min(maximum)),
        Err(_) => {
            let violation = FieldViolation::new("page_size", "must not be negative");
            Err(error::invalid_argument("INVALID_PAGE_SIZE", vec![violation]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(tokens: &Tokens, token: &str, scope: &str) -> bool {
        let refused = tokens.decode::<(String, i64)>(token, scope).err();
        refused.is_some_and(|status| {
            error::reason_of(&status).as_deref() == Some("INVALID_PAGE_TOKEN")
        })
    }

    #[test]
    fn a_token_leads_back_to_its_cursor_and_only_for_its_list() {
        let tokens = Tokens::new(&Keys::generate().unwrap());
        let cursor = (String::from("o-17"), 42_i64);
        let token = tokens.encode(&cursor, "ListOrders user-1").unwrap();
        assert_eq!(tokens.decode(&token, "ListOrders user-1").unwrap(), Some(cursor));
        assert_eq!(tokens.decode::<(String, i64)>("", "ListOrders user-1").unwrap(), None);
        assert!(refused(&tokens, &token, "ListOrders user-2"));
        let others = Tokens::new(&Keys::generate().unwrap());
        assert!(refused(&others, &token, "ListOrders user-1"));
        assert!(refused(&tokens, &"A".repeat(5_000), "ListOrders user-1"));
    }

    proptest! {
        #[test]
        fn an_edited_token_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
            let tokens = Tokens::new(&Keys::generate().unwrap());
            let token = tokens.encode(&(String::from("o-17"), 42_i64), "list").unwrap();
            let at = at.index(token.len());
            let edited = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(edited != token);
            prop_assert!(refused(&tokens, &edited, "list"));
        }
    }

    #[test]
    fn a_size_is_bounded_and_has_a_default() {
        assert_eq!(size(0, 50, 200).unwrap(), 50);
        assert_eq!(size(7, 50, 200).unwrap(), 7);
        assert_eq!(size(i32::MAX, 50, 200).unwrap(), 200);
        assert_eq!(
            error::reason_of(&size(-1, 50, 200).unwrap_err()).as_deref(),
            Some("INVALID_PAGE_SIZE")
        );
    }
}
