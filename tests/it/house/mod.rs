//! The house rules, on the sources as text: layers, words, comments, traits, orderings, and the pages about them.

mod comments;
mod layers;
mod orderings;
mod pages;
mod source;
mod traits;
mod words;
