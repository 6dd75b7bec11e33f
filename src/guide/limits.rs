//! Limits: how many at once, how many per second, in which order, and for whom.
