//! Questions that users ask, and short answers.
