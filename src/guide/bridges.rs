//! Bridges: async code, windows with a main loop, callbacks, tracing, and other threads.
