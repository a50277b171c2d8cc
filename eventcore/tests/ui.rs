//! What must not compile, and what the compiler says about it.
//!
//! After a change of messages: `TRYBUILD=overwrite cargo test -p eventcore --test ui`, and read the difference as a
//! person would who makes the mistake.

#[test]
fn mistakes_do_not_compile_and_the_message_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
