//! Currencies of ISO 4217 with the number of their minor-unit digits.
//!
//! Source: ISO 4217 list one, as published by its maintenance agency (SIX) in 2025; funds codes, metals and test
//! codes, which nobody pays with, are left out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// Three-letter codes whose minor unit is a hundredth, in alphabetical order.
const TWO_DIGITS: &[u8] = b"AEDAFNALLAMDAOAARSAUDAWGAZNBAMBBDBDTBGNBMDBNDBOBBRLBSDBTNBWPBYNBZDCADCDFCHFCNYCOPCRCCUPCVECZKDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGTQGYDHKDHNLHTGHUFIDRILSINRIRRJMDKESKGSKHRKPWKYDKZTLAKLBPLKRLRDLSLMADMDLMGAMKDMMKMNTMOPMRUMURMVRMWKMXNMYRMZNNADNGNNIONOKNPRNZDPABPENPGKPHPPKRPLNQARRONRSDRUBSARSBDSCRSDGSEKSGDSHPSLESOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTOPTRYTTDTWDTZSUAHUSDUZSVEDVESWSTXCDXCGYERZARZMWZWG";
/// Codes of currencies that have no minor unit in use.
const NO_DIGITS: &[u8] = b"BIFCLPDJFGNFISKJPYKMFKRWPYGRWFUGXVNDVUVXAFXOFXPF";
/// Codes whose minor unit is a thousandth.
const THREE_DIGITS: &[u8] = b"BHDIQDJODKWDLYDOMRTND";

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: [u8; 3],
    exponent: u8,
}

impl Currency {
    /// The euro.
    pub const EUR: Self = Self { code: *b"EUR", exponent: 2 };
    /// The United States dollar.
    pub const USD: Self = Self { code: *b"USD", exponent: 2 };
    /// The pound sterling.
    pub const GBP: Self = Self { code: *b"GBP", exponent: 2 };
    /// The yen.
    pub const JPY: Self = Self { code: *b"JPY", exponent: 0 };

    /// The currency with this three-letter code, in capitals.
    ///
    /// # Errors
    /// [`Error::UnknownCurrency`] when ISO 4217 does not have it.
    pub fn from_code(code: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownCurrency(code.chars().take(8).collect());
        let bytes: [u8; 3] = code.as_bytes().try_into().map_err(|_| unknown())?;
        let listed = |list: &[u8]| list.chunks_exact(3).any(|entry| entry == bytes);
        let exponent = match () {
            () if listed(TWO_DIGITS) => 2,
            () if listed(NO_DIGITS) => 0,
            () if listed(THREE_DIGITS) => 3,
            () => return Err(unknown()),
        };
        Ok(Self { code: bytes, exponent })
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).expect("a currency code is ASCII")
    }

    /// How many decimal digits the minor unit has: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        u32::from(self.exponent)
    }

    /// How many minor units make one major unit: 100 for EUR.
    #[must_use]
    pub fn minor_per_major(&self) -> i64 {
        10_i64.pow(self.exponent())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self, Error> {
        Self::from_code(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_code(&code).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole_codes_in_order_and_disjoint() {
        let mut all = Vec::new();
        for list in [TWO_DIGITS, NO_DIGITS, THREE_DIGITS] {
            assert_eq!(list.len() % 3, 0);
            let codes: Vec<_> = list.chunks_exact(3).collect();
            assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "not in order");
            assert!(codes.iter().all(|code| code.iter().all(u8::is_ascii_uppercase)));
            all.extend(codes);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a code is in two lists");
    }

    #[test]
    fn exponents_are_those_of_the_standard() {
        for (code, exponent) in [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3)] {
            assert_eq!(Currency::from_code(code).unwrap().exponent(), exponent, "{code}");
        }
        for constant in [Currency::EUR, Currency::USD, Currency::GBP, Currency::JPY] {
            assert_eq!(Currency::from_code(constant.code()), Ok(constant));
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "eur", "EU", "EURO", "XXX", "AAB", "€€", "\u{0}\u{0}\u{0}"] {
            assert!(Currency::from_code(code).is_err(), "{code:?}");
        }
    }
}
