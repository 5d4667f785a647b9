//! Search: full text, typo-tolerant, filtered, fed by product events.
