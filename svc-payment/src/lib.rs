//! Payments: the only code that knows the payment provider.
