//! What the compiler says about the commonest mistakes: each message names the cure.
//!
//! The messages are compared with those of the pinned toolchain; to renew them: `TRYBUILD=overwrite`. Some are found only
//! where the program is built and not merely checked, so one that is right is built and run beside them.

#[test]
fn the_commonest_mistakes_are_met_by_a_message_that_names_the_cure() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/fits/*.rs");
    cases.compile_fail("tests/ui/*.rs");
}
