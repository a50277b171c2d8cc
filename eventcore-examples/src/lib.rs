//! Complete applications on eventcore.
//!
//! | application | what it shows |
//! |---|---|
//! | [`shop`] | many commands at once on a stream that all of them want, exactly once, and reports from the log |

mod pages;
pub mod shop;
