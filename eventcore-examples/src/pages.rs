//! The README and the guide, so that `cargo test` compiles and runs every block of code in them.

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;

#[doc = include_str!("../../docs/guide.md")]
#[cfg(doctest)]
struct Guide;
