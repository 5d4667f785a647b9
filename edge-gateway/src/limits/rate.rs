//! How much a caller may ask for, and of what.

use serde::Deserialize;

/// Calls that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Proving who one is: everybody may try, so it is counted by address, against guessing.
    Credentials,
    /// What changes orders and payments.
    Orders,
    /// What changes anything else.
    Writes,
    /// What changes nothing.
    Reads,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Credentials, Self::Orders, Self::Writes, Self::Reads];

    /// As settings, keys and figures name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Orders => "orders",
            Self::Writes => "writes",
            Self::Reads => "reads",
        }
    }
}

/// How methods that change nothing begin.
const READS: [&str; 7] = ["Get", "List", "Watch", "BatchGet", "Search", "Suggest", "Recommend"];

/// The class of a method of the contract; none for what is not counted at all.
pub fn class_of(service: &str, method: &str, is_public: bool) -> Option<Class> {
    match service {
        // The payment provider: one address, as many calls as there are orders, and each of them signed.
        _ if method == "HandleWebhook" => None,
        "souk.user.v1.UserService" if is_public => Some(Class::Credentials),
        _ if READS.iter().any(|read| method.starts_with(read)) => Some(Class::Reads),
        "souk.order.v1.OrderService" | "souk.payment.v1.PaymentService" => Some(Class::Orders),
        _ => Some(Class::Writes),
    }
}

/// The largest burst that can be set: stores count in microseconds, in numbers that hold integers up to 2^53.
const MAX_BURST: u32 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Calls per minute on average, and at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Rate {
    /// What one call takes, in microseconds.
    interval_us: i64,
    burst: u32,
}

/// A [`Rate`] as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    per_minute: u32,
    burst: u32,
}

impl TryFrom<Settings> for Rate {
    type Error = String;

    fn try_from(Settings { per_minute, burst }: Settings) -> Result<Self, String> {
        if per_minute == 0 || i64::from(per_minute) > MICROS_PER_MINUTE {
            return Err(format!("per_minute has to be 1 to {MICROS_PER_MINUTE}"));
        }
        if burst == 0 || burst > MAX_BURST {
            return Err(format!("burst has to be 1 to {MAX_BURST}"));
        }
        Ok(Self::new(per_minute, burst))
    }
}

impl Rate {
    /// `per_minute` on average, `burst` at once; each is at least 1.
    #[must_use]
    pub const fn new(per_minute: u32, burst: u32) -> Self {
        let per_minute = if per_minute == 0 { 1 } else { per_minute };
        let interval_us = MICROS_PER_MINUTE / per_minute as i64;
        let interval_us = if interval_us == 0 { 1 } else { interval_us };
        Self { interval_us, burst: if burst == 0 { 1 } else { burst } }
    }

    /// What one call takes, in microseconds.
    pub(super) fn interval_us(self) -> i64 {
        self.interval_us
    }

    /// How far what was taken may be ahead of the time for one more call to be allowed, in microseconds.
    pub(super) fn tolerance_us(self) -> i64 {
        self.interval_us * (i64::from(self.burst) - 1)
    }
}

/// What each class allows.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Register, Login, RefreshToken and the like, per address.
    pub credentials: Rate,
    /// Orders and payments.
    pub orders: Rate,
    /// Other changes.
    pub writes: Rate,
    /// Everything that changes nothing, pictures too.
    pub reads: Rate,
}

impl Default for Rates {
    /// An office or a family behind one address signs in; a person orders, fills a cart, and looks at a page with a
    /// hundred pictures, again and again.
    fn default() -> Self {
        Self {
            credentials: Rate::new(30, 30),
            orders: Rate::new(60, 30),
            writes: Rate::new(600, 200),
            reads: Rate::new(6_000, 2_000),
        }
    }
}

impl Rates {
    /// Of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> Rate {
        match class {
            Class::Credentials => self.credentials,
            Class::Orders => self.orders,
            Class::Writes => self.writes,
            Class::Reads => self.reads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk_proto::access;
    use souk_proto::options::v1::Access;

    #[test]
    fn every_method_that_the_edge_forwards_is_counted_as_what_it_is() {
        let named = |wanted: Option<Class>| {
            let exposed = access::all().filter(|m| m.is_public() || m.allows(Access::Customer));
            let of_class = exposed
                .filter(|m| class_of(&m.service, &m.method, m.is_public()) == wanted)
                .map(|m| m.method.as_str());
            let mut names: Vec<_> = of_class.collect();
            names.sort_unstable();
            names.join(" ")
        };
        let credentials =
            "Login RefreshToken Register RequestPasswordReset ResetPassword VerifyEmail";
        assert_eq!(named(Some(Class::Credentials)), credentials);
        assert_eq!(
            named(Some(Class::Orders)),
            "CancelOrder ConfirmPayment PlaceOrder RequestReturn"
        );
        assert_eq!(named(None), "HandleWebhook");
        let reads = named(Some(Class::Reads));
        assert!(reads.contains("GetCart") && reads.contains("BatchGetProducts"), "{reads}");
        let writes = named(Some(Class::Writes));
        assert!(writes.contains("AddItem") && writes.contains("Logout"), "{writes}");
    }

    #[test]
    fn a_rate_that_cannot_be_counted_is_refused() {
        let parsed = |per_minute, burst| Rate::try_from(Settings { per_minute, burst });
        assert_eq!(parsed(60, 5).unwrap(), Rate::new(60, 5));
        for (per_minute, burst) in [(0, 1), (1, 0), (60_000_001, 1), (1, 1_000_001)] {
            assert!(parsed(per_minute, burst).is_err(), "{per_minute} {burst}");
        }
    }
}
