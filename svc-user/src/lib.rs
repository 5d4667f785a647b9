//! Accounts: registration, login with argon2id and signed tokens, addresses.
