//! What the compiler says when an actor's commands and handlers do not fit together.
//!
//! The messages are compared with those of the pinned toolchain; to renew them: `TRYBUILD=overwrite`.

#[test]
fn a_misfit_of_commands_and_handlers_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
