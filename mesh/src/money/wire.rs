//! Between minor units and the units and nanos of `google.type.Money`.

use souk_proto::google::r#type::Money as WireMoney;

use super::{Currency, Error, Money};

/// `google.type.Money.nanos` counts billionths of the major unit.
const NANOS_PER_MAJOR: i64 = 1_000_000_000;

impl Money {
    /// Reads `google.type.Money`'s three fields.
    ///
    /// # Errors
    /// Every variant of [`Error`] but [`Error::CurrencyMismatch`].
    pub fn from_units(currency_code: &str, units: i64, nanos: i32) -> Result<Self, Error> {
        let currency = Currency::from_code(currency_code)?;
        let nanos = i64::from(nanos);
        let signs_differ = (units > 0 && nanos < 0) || (units < 0 && nanos > 0);
        if nanos.abs() >= NANOS_PER_MAJOR || signs_differ {
            return Err(Error::MalformedNanos);
        }
        let nanos_per_minor = NANOS_PER_MAJOR / currency.minor_per_major();
        if nanos % nanos_per_minor != 0 {
            return Err(Error::FractionTooFine(currency));
        }
        // In 128 bits, because `units` alone may overflow where the sum of a negative fraction does not.
        let minor = i128::from(units) * i128::from(currency.minor_per_major())
            + i128::from(nanos / nanos_per_minor);
        i64::try_from(minor).map(|minor| Self { minor, currency }).map_err(|_| Error::Overflow)
    }

    /// Whole major units, and the rest in nanos: both of the amount's sign.
    #[must_use]
    pub fn to_units(self) -> (i64, i32) {
        let per_major = self.currency.minor_per_major();
        let nanos = (self.minor % per_major) * (NANOS_PER_MAJOR / per_major);
        let nanos = i32::try_from(nanos).expect("less than one major unit fits in nanos");
        (self.minor / per_major, nanos)
    }
}

impl TryFrom<&WireMoney> for Money {
    type Error = Error;

    fn try_from(wire: &WireMoney) -> Result<Self, Error> {
        Self::from_units(&wire.currency_code, wire.units, wire.nanos)
    }
}

impl TryFrom<WireMoney> for Money {
    type Error = Error;

    fn try_from(wire: WireMoney) -> Result<Self, Error> {
        Self::try_from(&wire)
    }
}

impl From<Money> for WireMoney {
    fn from(money: Money) -> Self {
        let (units, nanos) = money.to_units();
        Self { currency_code: money.currency.code().to_owned(), units, nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currencies() -> impl Strategy<Value = Currency> {
        prop::sample::select(vec!["EUR", "USD", "JPY", "KRW", "KWD", "TND", "CHF"])
            .prop_map(|code| Currency::from_code(code).unwrap())
    }

    proptest! {
        #[test]
        fn every_amount_survives_the_wire(minor in any::<i64>(), currency in currencies()) {
            let money = Money::new(minor, currency);
            let wire = WireMoney::from(money);
            prop_assert!(wire.units.signum() * i64::from(wire.nanos.signum()) >= 0, "signs differ");
            prop_assert_eq!(Money::try_from(wire), Ok(money));
        }

        #[test]
        fn what_is_accepted_comes_back_the_same(
            units in any::<i64>(),
            nanos in any::<i32>(),
            currency in currencies(),
        ) {
            if let Ok(money) = Money::from_units(currency.code(), units, nanos) {
                prop_assert_eq!(money.to_units(), (units, nanos));
            }
        }

        #[test]
        fn a_fraction_below_the_minor_unit_is_refused(cents in 0..100_i32, rest in 1..10_000_000_i32) {
            let nanos = cents * 10_000_000 + rest;
            prop_assert_eq!(
                Money::from_units("EUR", 1, nanos),
                Err(Error::FractionTooFine(Currency::EUR))
            );
        }
    }

    #[test]
    fn malformed_amounts_are_refused() {
        assert_eq!(Money::from_units("EUR", 1, -10_000_000), Err(Error::MalformedNanos));
        assert_eq!(Money::from_units("EUR", -1, 10_000_000), Err(Error::MalformedNanos));
        assert_eq!(Money::from_units("EUR", 0, 1_000_000_000), Err(Error::MalformedNanos));
        assert_eq!(Money::from_units("EUR", i64::MAX, 0), Err(Error::Overflow));
        assert!(matches!(Money::from_units("EURO", 1, 0), Err(Error::UnknownCurrency(_))));
        assert_eq!(
            Money::from_units("JPY", 0, 500_000_000),
            Err(Error::FractionTooFine(Currency::JPY))
        );
    }
}
