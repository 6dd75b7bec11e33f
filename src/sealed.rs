//! What keeps public traits to the types of the library.
//!
//! Layer: ground.

/// Not exported, so that no other crate can implement a trait that requires it.
pub trait Sealed {}
