//! Contract suite, given/when/then kit and fault injection for eventcore stores and applications.
