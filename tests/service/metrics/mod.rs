//! What control's metrics say: from nought, while it works, and of what the store holds.

mod census;
mod samples;
