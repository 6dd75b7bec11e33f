//! Testing: time that the test advances, threads in an order that a seed picks.
