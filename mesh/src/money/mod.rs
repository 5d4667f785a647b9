//! Money as checked minor units: no floating point, no silent overflow, no mixing of currencies.
//!
//! On the wire money is `google.type.Money` (whole units and nanos, both of one sign):
//! <https://github.com/googleapis/googleapis/blob/master/google/type/money.proto>.

mod currency;
mod wire;

pub use currency::Currency;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an amount of money could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// ISO 4217 has no such currency.
    #[error("{0:?} is not a currency code of ISO 4217")]
    UnknownCurrency(String),
    /// Two amounts of different currencies met.
    #[error("amounts in {0} and {1} cannot be taken together")]
    CurrencyMismatch(Currency, Currency),
    /// The result does not fit.
    #[error("the amount is too large")]
    Overflow,
    /// Nanos beyond ±999,999,999, or of another sign than the units.
    #[error("nanos must be within 999999999 of zero and have the sign of units")]
    MalformedNanos,
    /// A fraction that the currency's minor unit cannot express.
    #[error("{0} has no fraction that small")]
    FractionTooFine(Currency),
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: cents for EUR, yen for JPY.
    pub minor: i64,
    /// What it is an amount of.
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Whether the amount is zero.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.minor == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`Error::CurrencyMismatch`], [`Error::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, Error> {
        self.same_currency(other)?;
        self.with(self.minor.checked_add(other.minor))
    }

    /// The difference.
    ///
    /// # Errors
    /// [`Error::CurrencyMismatch`], [`Error::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, Error> {
        self.same_currency(other)?;
        self.with(self.minor.checked_sub(other.minor))
    }

    /// This amount, `quantity` times.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn checked_mul(self, quantity: u32) -> Result<Self, Error> {
        self.with(self.minor.checked_mul(i64::from(quantity)))
    }

    /// The sum of many amounts, zero when there are none.
    ///
    /// # Errors
    /// [`Error::CurrencyMismatch`] when one is not in `currency`, [`Error::Overflow`].
    pub fn checked_sum(
        currency: Currency,
        amounts: impl IntoIterator<Item = Self>,
    ) -> Result<Self, Error> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }

    fn same_currency(self, other: Self) -> Result<(), Error> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(Error::CurrencyMismatch(self.currency, other.currency))
        }
    }

    fn with(self, minor: Option<i64>) -> Result<Self, Error> {
        minor.map(|minor| Self { minor, ..self }).ok_or(Error::Overflow)
    }
}

/// As people write it, code first: `EUR 12.30`, `JPY 500`, `KWD -0.005`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_major = self.currency.minor_per_major().unsigned_abs();
        let magnitude = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        write!(f, "{} {sign}{}", self.currency, magnitude / per_major)?;
        match self.currency.exponent() as usize {
            0 => Ok(()),
            digits => write!(f, ".{:0digits$}", magnitude % per_major),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked() {
        let price = Money::new(1_999, Currency::EUR);
        assert_eq!(price.checked_mul(3), Ok(Money::new(5_997, Currency::EUR)));
        assert_eq!(price.checked_sub(price), Ok(Money::zero(Currency::EUR)));
        let most = Money::new(i64::MAX, Currency::EUR);
        assert_eq!(most.checked_add(price), Err(Error::Overflow));
        assert_eq!(most.checked_mul(2), Err(Error::Overflow));
        assert_eq!(Money::new(i64::MIN, Currency::EUR).checked_sub(price), Err(Error::Overflow));
        assert_eq!(
            price.checked_add(Money::new(1, Currency::USD)),
            Err(Error::CurrencyMismatch(Currency::EUR, Currency::USD))
        );
    }

    #[test]
    fn a_sum_starts_at_zero_and_keeps_the_currency() {
        let sum = |amounts: &[Money]| Money::checked_sum(Currency::JPY, amounts.iter().copied());
        assert_eq!(sum(&[]), Ok(Money::zero(Currency::JPY)));
        let yen = Money::new(500, Currency::JPY);
        assert_eq!(sum(&[yen, yen]), Ok(Money::new(1_000, Currency::JPY)));
        assert!(sum(&[yen, Money::new(1, Currency::EUR)]).is_err());
    }

    #[test]
    fn it_reads_as_people_write_it() {
        let dinar = Currency::from_code("KWD").unwrap();
        for (money, text) in [
            (Money::new(1_230, Currency::EUR), "EUR 12.30"),
            (Money::new(-5, Currency::EUR), "EUR -0.05"),
            (Money::new(500, Currency::JPY), "JPY 500"),
            (Money::new(-5, dinar), "KWD -0.005"),
        ] {
            assert_eq!(money.to_string(), text);
        }
        assert_eq!(Money::new(i64::MIN, Currency::EUR).to_string(), "EUR -92233720368547758.08");
    }

    #[test]
    fn it_is_stored_as_minor_units_and_a_code() {
        let money = Money::new(1_230, Currency::EUR);
        let json = serde_json::to_string(&money).unwrap();
        assert_eq!(json, r#"{"minor":1230,"currency":"EUR"}"#);
        assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        assert!(serde_json::from_str::<Money>(r#"{"minor":1,"currency":"EURO"}"#).is_err());
    }
}
