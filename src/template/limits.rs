//! How far an expansion may go. An honest site of 5,000 domains stays far below all of them.

/// Values within values: `${a}` holds `${b}`, which holds `${c}` …
pub const MAX_DEPTH: usize = 16;
/// Bytes of one line of the template once it is expanded: the longest is a list of servers.
pub const MAX_LINE: usize = 4 << 20;
/// Bytes that may be looked through for one line, so that values of nothing cannot multiply for
/// ever either.
pub const MAX_WORK: usize = 256 << 20;
/// Bytes of one expanded file.
pub const MAX_TEXT: usize = 128 << 20;
/// Faults that are told of, and notes that are kept.
pub const MAX_FAULTS: usize = 50;
/// Characters of a first line that may be a header, as Zimbra has it.
pub const MAX_HEADER: usize = 100;
