//! Complete applications on eventcore.
