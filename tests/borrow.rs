//! The tests of what borrows, in a binary of their own: small enough to be built again for a sanitizer.

#[path = "it/handle.rs"]
mod handle;
#[path = "it/manual.rs"]
mod manual;
#[path = "it/map.rs"]
mod map;
#[path = "it/scope.rs"]
mod scope;
#[path = "it/scope_options.rs"]
mod scope_options;
#[path = "it/support.rs"]
mod support;
