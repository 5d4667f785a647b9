//! Refresh tokens: opaque to those who carry them, known to the stores by a hash alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

use crate::error::Error;

/// Random bytes in a token: 256 bits, as RFC 6749 §10.10 wants tokens that cannot be guessed.
const SECRET_BYTES: usize = 32;
/// A UUID's bytes.
const ID_BYTES: usize = 16;
/// A whole token's bytes before they are written as text.
const TOKEN_BYTES: usize = 2 * ID_BYTES + SECRET_BYTES;

/// SHA-256 of a token: all that is kept of it.
pub type TokenHash = [u8; 32];

/// Which sign-in: all tokens that descend from it are one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Whose. Part of the token, so that a store finds all of a user's sessions in one place.
    pub user_id: Uuid,
    /// Random; only tokens of the session tell it.
    pub session_id: Uuid,
}

/// A token in the clear; never printed, never stored.
pub struct RefreshToken {
    /// The sign-in that it belongs to.
    pub session: SessionId,
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// The first token of a new session.
    ///
    /// # Errors
    /// [`Error::Token`] when the system gives no randomness.
    pub fn first(user_id: Uuid, random: &SystemRandom) -> Result<Self, Error> {
        let session = SessionId { user_id, session_id: Uuid::new_v4() };
        Self::random(session, random)
    }

    /// The token that takes this one's place, and that nobody can tell from this one without `key`.
    ///
    /// A named request gets the same successor however often it is made: so an answer that was lost can be given again,
    /// though no store holds it. A request without a name gets another one each time.
    ///
    /// # Errors
    /// [`Error::Token`] when the system gives no randomness.
    pub fn successor(
        &self,
        request_id: &str,
        key: &hmac::Key,
        random: &SystemRandom,
    ) -> Result<Self, Error> {
        if request_id.is_empty() {
            return Self::random(self.session, random);
        }
        let mut context = hmac::Context::with_key(key);
        // Of a fixed length, so that token and request cannot run together.
        context.update(&self.bytes());
        context.update(request_id.as_bytes());
        let secret = context.sign();
        let secret = secret.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes");
        Ok(Self { session: self.session, secret })
    }

    fn random(session: SessionId, random: &SystemRandom) -> Result<Self, Error> {
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut secret).map_err(|_| Error::Token("no randomness".to_owned()))?;
        Ok(Self { session, secret })
    }

    /// What stores know it by.
    pub fn hash(&self) -> TokenHash {
        let hash = digest::digest(&digest::SHA256, &self.bytes());
        hash.as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }

    /// As clients carry it.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes())
    }

    /// Reads what a client sent; nothing when it is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (user_id, rest) = bytes.split_at(ID_BYTES);
        let (session_id, secret) = rest.split_at(ID_BYTES);
        let session = SessionId {
            user_id: Uuid::from_slice(user_id).ok()?,
            session_id: Uuid::from_slice(session_id).ok()?,
        };
        Some(Self { session, secret: secret.try_into().ok()? })
    }

    fn bytes(&self) -> [u8; TOKEN_BYTES] {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..ID_BYTES].copy_from_slice(self.session.user_id.as_bytes());
        bytes[ID_BYTES..2 * ID_BYTES].copy_from_slice(self.session.session_id.as_bytes());
        bytes[2 * ID_BYTES..].copy_from_slice(&self.secret);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        let token = RefreshToken::first(Uuid::now_v7(), &SystemRandom::new()).unwrap();
        let read = RefreshToken::parse(&token.text()).unwrap();
        assert_eq!((read.session, read.hash()), (token.session, token.hash()));
        let text = token.text();
        for bad in ["", "a", "not a token at all!", &text[1..], &format!("{text}AA")] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_named_request_has_one_successor_and_any_other_has_its_own() {
        let random = SystemRandom::new();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a shop's");
        let token = RefreshToken::first(Uuid::now_v7(), &random).unwrap();
        let next = |request_id: &str| token.successor(request_id, &key, &random).unwrap();
        assert_eq!(next("one").hash(), next("one").hash());
        assert_ne!(next("one").hash(), next("two").hash());
        assert_ne!(next("").hash(), next("").hash());
        let of_other_key = hmac::Key::new(hmac::HMAC_SHA256, b"another shop's");
        let foreign = token.successor("one", &of_other_key, &random).unwrap();
        assert_ne!(next("one").hash(), foreign.hash(), "the token alone does not tell the next");
        assert_eq!(next("one").session, token.session);
    }
}
