//! What the room promises, on folders of its own.
