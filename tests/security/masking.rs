//! Secrets and control characters: what is shown, and to whom.
