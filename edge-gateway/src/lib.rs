//! The edge: the only thing that browsers and phones can reach.
