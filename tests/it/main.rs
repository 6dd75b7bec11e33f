//! The black-box tests: one binary, a module a subject.

mod support;
