//! What the screen looks like, what keys do, and that nothing breaks it.

mod frames;
mod keys;
mod limits;
mod scenes;
