//! vtwasm
