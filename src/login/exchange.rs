//! SASL rounds, whoever carries them.
