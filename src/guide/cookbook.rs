//! Recipes: short programs for common needs.
