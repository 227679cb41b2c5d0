//! The rules of this aggregate, as given/when/then.
