//! Time: delays, time limits, retries and schedules, and what they count from.
