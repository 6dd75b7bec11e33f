//! The tests that every storage must pass: [`storage_conformance!`](crate::storage_conformance)
//! writes them for a storage of your own.
//!
//! They see a storage through the trait alone. Time is that of a clock that they set by hand, so
//! they depend on no real time.
//
// - `env`: a storage under test, and the helpers of the cases.
// - `suite`: runs a case; the macro.
// - `order` to `many`, `shared`, `at_rest`: the cases, by chapters.
// - `model`, `draw`, `random`, `operations`: random operations, compared with a model.
//
// The numbers of the cases are those of the design. Without a case here: an output that is too
// large (28), which is the consumer's; and what the trait alone cannot show: old and new versions
// (94, 95), a fork (96).

#[doc(hidden)]
pub mod at_rest;
#[doc(hidden)]
pub mod batches;
mod draw;
#[doc(hidden)]
pub mod ends;
#[doc(hidden)]
pub mod env;
#[doc(hidden)]
pub mod failures;
#[doc(hidden)]
pub mod follow;
#[doc(hidden)]
pub mod hand;
#[doc(hidden)]
pub mod kinds;
#[doc(hidden)]
pub mod lanes;
#[doc(hidden)]
pub mod late;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod many;
#[doc(hidden)]
pub mod model;
mod operations;
#[doc(hidden)]
pub mod order;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod replace;
#[doc(hidden)]
pub mod results;
#[doc(hidden)]
pub mod schedules;
#[doc(hidden)]
pub mod sessions;
#[doc(hidden)]
pub mod shared;
mod suite;
#[doc(hidden)]
pub mod time;
#[doc(hidden)]
pub mod unique;

pub use env::Case;
#[doc(hidden)]
pub use env::Make;
#[doc(hidden)]
pub use suite::run;
