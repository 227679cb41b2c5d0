//! The bytes of everything Aether stores and sends: one folder a format, frozen once released.
//!
//! A change is a new folder beside the old one and an upcast, never an edit: golden bytes in the tests keep it so.

pub(crate) mod v1;
