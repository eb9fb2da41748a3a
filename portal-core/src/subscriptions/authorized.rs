//! What a person allowed a service to take, and whether a charge is within it.
