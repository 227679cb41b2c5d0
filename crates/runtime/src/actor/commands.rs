//! The compile-time list of an actor's commands.

use super::erased::Entry;
use super::model::{Actor, Command, Handle};

/// The commands of an actor: a tuple of 1 to 16 commands, each handled by it. Not to be implemented by users.
pub trait CommandSet<A: Actor> {
    /// One entry a command, in the tuple's order.
    #[doc(hidden)]
    const TABLE: &'static [Entry<A>];
}

/// That `C` is one of these commands, at the place `Index`, which the compiler finds.
///
/// Code that is generic over a command asks for `A: Handle<C>, A::Commands: Contains<C, Index>`.
#[diagnostic::on_unimplemented(
    message = "`{C}` is not one of this actor's commands",
    label = "not listed",
    note = "add it to `type Commands = (..)` in the actor's `impl Actor`"
)]
pub trait Contains<C, Index> {}

/// A place in a tuple of commands.
#[derive(Debug)]
pub struct At<const N: usize>;

macro_rules! command_tuples {
    // Every prefix of the list, from one command to all of them, is a command set.
    ([$($before:ident = $at:literal,)*]) => {};
    ([$($before:ident = $at:literal,)*] $next:ident = $nth:literal, $($rest:ident = $place:literal,)*) => {
        command_tuples!(@set $($before = $at,)* $next = $nth,);
        command_tuples!([$($before = $at,)* $next = $nth,] $($rest = $place,)*);
    };
    (@set $($command:ident = $at:literal,)+) => {
        impl<A: Actor $(+ Handle<$command>)+, $($command: Command),+> CommandSet<A> for ($($command,)+) {
            const TABLE: &'static [Entry<A>] = &[$(Entry::of::<$command>()),+];
        }
        command_tuples!(@each ($($command,)+) $($command = $at,)+);
    };
    (@each $all:tt $($command:ident = $at:literal,)+) => { $(command_tuples!(@one $all $command $at);)+ };
    (@one ($($all:ident,)+) $command:ident $at:literal) => {
        impl<$($all),+> Contains<$command, At<$at>> for ($($all,)+) {}
    };
}

command_tuples! {
    [] C0 = 0, C1 = 1, C2 = 2, C3 = 3, C4 = 4, C5 = 5, C6 = 6, C7 = 7,
    C8 = 8, C9 = 9, C10 = 10, C11 = 11, C12 = 12, C13 = 13, C14 = 14, C15 = 15,
}
