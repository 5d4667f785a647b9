//! Signing and verifying tokens.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Roles};
use super::{Error, jwt};

/// Who issues our tokens, and whom they are for.
const PARTY: &str = "souk";
/// How far two machines' clocks may differ, in seconds.
const LEEWAY_S: i64 = 5;
/// How many verified tokens are remembered: one costs about 1 kB, verifying one about 50 µs.
const CACHED_TOKENS: u64 = 65_536;
/// The longest subject that is accepted, in bytes: a UUID, or `service:` and a name.
const MAX_SUBJECT_BYTES: usize = 64;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 2_048;

/// The registered claims of RFC 7519 that we use, times in unix seconds, and our roles.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    roles: Roles,
}

/// Makes tokens.
pub struct TokenSigner {
    key: EncodingKey,
}

impl TokenSigner {
    pub(super) fn new(pkcs8: &[u8]) -> Self {
        jwt::install();
        Self { key: EncodingKey::from_ed_der(pkcs8) }
    }

    /// A token by which `subject` (a user's UUID, or `service:<name>`) shows these roles from `now_ms` (unix
    /// milliseconds) until `ttl` later. Whole seconds: a shorter `ttl` gives a token that has expired.
    ///
    /// # Errors
    /// [`Error::Token`] when the key is refused, [`Error::Subject`] when the verifier would refuse the subject.
    pub fn sign(
        &self,
        subject: &str,
        roles: impl Into<Roles>,
        ttl: Duration,
        now_ms: i64,
    ) -> Result<String, Error> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(Error::Subject);
        }
        let now_s = now_ms.div_euclid(1_000);
        let claims = Claims {
            iss: PARTY.to_owned(),
            aud: PARTY.to_owned(),
            sub: subject.to_owned(),
            iat: now_s,
            nbf: now_s,
            exp: now_s.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
            roles: roles.into(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.key)?)
    }
}

/// Believes tokens, or not. Verified ones are remembered until they expire.
pub struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
    verified: Cache<String, Arc<Verified>>,
}

struct Verified {
    caller: Caller,
    not_before_s: i64,
    expires_s: i64,
}

impl Verified {
    /// The times are ours to check: `jsonwebtoken` reads the machine's clock, the shop is handed one.
    fn at(&self, now_ms: i64) -> Result<Caller, Error> {
        let now_s = now_ms.div_euclid(1_000);
        if now_s >= self.expires_s.saturating_add(LEEWAY_S) {
            Err(Error::Expired)
        } else if now_s < self.not_before_s.saturating_sub(LEEWAY_S) {
            Err(Error::NotYetValid)
        } else {
            Ok(self.caller.clone())
        }
    }
}

impl TokenVerifier {
    pub(super) fn new(public_key: &[u8]) -> Self {
        jwt::install();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.set_issuer(&[PARTY]);
        validation.set_audience(&[PARTY]);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            key: DecodingKey::from_ed_der(public_key),
            validation,
            verified: Cache::new(CACHED_TOKENS),
        }
    }

    /// Who shows this token at `now_ms` (unix milliseconds).
    ///
    /// # Errors
    /// [`Error::Token`], [`Error::Expired`], [`Error::NotYetValid`], [`Error::Subject`].
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Caller, Error> {
        if let Some(verified) = self.verified.get(token) {
            let caller = verified.at(now_ms);
            if matches!(caller, Err(Error::Expired)) {
                self.verified.invalidate(token);
            }
            return caller;
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::Token(jsonwebtoken::errors::ErrorKind::InvalidToken.into()));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)?.claims;
        if claims.sub.is_empty() || claims.sub.len() > MAX_SUBJECT_BYTES {
            return Err(Error::Subject);
        }
        let verified = Verified {
            caller: Caller { subject: claims.sub.into(), roles: claims.roles },
            not_before_s: claims.nbf,
            expires_s: claims.exp,
        };
        let caller = verified.at(now_ms)?;
        self.verified.insert(token.to_owned(), Arc::new(verified));
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keys, Role};
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use uuid::Uuid;

    const NOW_MS: i64 = 1_790_000_000_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn keys() -> Keys {
        Keys::generate().unwrap()
    }

    #[test]
    fn a_token_shows_its_subject_and_roles() {
        let keys = keys();
        let user = Uuid::now_v7();
        let roles = Roles::from(Role::Customer).with(Role::Staff);
        let token = keys.signer.sign(&user.to_string(), roles, MINUTE, NOW_MS).unwrap();
        // Twice: the second is answered from memory.
        for _ in 0..2 {
            assert_eq!(keys.verifier.verify(&token, NOW_MS).unwrap(), Caller::user(&user, roles));
        }
    }

    #[test]
    fn a_token_has_its_time_also_when_remembered() {
        let keys = keys();
        let token = keys.signer.sign("service:order", Role::Service, MINUTE, NOW_MS).unwrap();
        let at = |ms| keys.verifier.verify(&token, NOW_MS + ms);
        assert!(matches!(at(-6_000), Err(Error::NotYetValid)));
        assert!(at(-5_000).is_ok());
        assert!(at(64_999).is_ok());
        assert!(matches!(at(65_000), Err(Error::Expired)));
        assert!(matches!(at(65_000), Err(Error::Expired)));
    }

    #[test]
    fn another_key_an_edited_token_and_no_token_are_not_believed() {
        let keys = keys();
        let subject = Uuid::now_v7().to_string();
        let foreign = self::keys().signer.sign(&subject, Role::Customer, MINUTE, NOW_MS).unwrap();
        let token = keys.signer.sign(&subject, Role::Customer, MINUTE, NOW_MS).unwrap();
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).unwrap()).unwrap();
        parts[1] = URL_SAFE_NO_PAD.encode(claims.replace("customer", "staff"));
        let edited = parts.join(".");
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), parts[1]);
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        for bad in [foreign.as_str(), &edited, &none, "", "a.b.c", &long] {
            assert!(matches!(keys.verifier.verify(bad, NOW_MS), Err(Error::Token(_))), "{bad}");
        }
    }

    #[test]
    fn a_token_for_another_audience_or_of_another_issuer_is_not_believed() {
        let keys = keys();
        let now_s = NOW_MS / 1_000;
        for (iss, aud) in [("souk", "else"), ("else", "souk")] {
            let claims = Claims {
                iss: iss.to_owned(),
                aud: aud.to_owned(),
                sub: String::from("service:order"),
                iat: now_s,
                nbf: now_s,
                exp: now_s + 60,
                roles: Role::Service.into(),
            };
            let header = Header::new(Algorithm::EdDSA);
            let token = jsonwebtoken::encode(&header, &claims, &keys.signer.key).unwrap();
            assert!(matches!(keys.verifier.verify(&token, NOW_MS), Err(Error::Token(_))));
        }
    }

    #[test]
    fn a_subject_that_no_verifier_would_take_is_not_signed() {
        let sign = |subject: &str| keys().signer.sign(subject, Role::Customer, MINUTE, NOW_MS);
        assert!(matches!(sign(""), Err(Error::Subject)));
        assert!(matches!(sign(&"x".repeat(65)), Err(Error::Subject)));
    }
}
