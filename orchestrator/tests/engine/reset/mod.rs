//! Resets: a run begins again from an event of its history, and whatever it then does, the money adds up.

mod anywhere;
mod rules;
mod setup;
