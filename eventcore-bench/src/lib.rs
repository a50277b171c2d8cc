//! Benchmarks of eventcore.
