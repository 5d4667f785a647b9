//! The pages of the shop, embedded in the binary.
