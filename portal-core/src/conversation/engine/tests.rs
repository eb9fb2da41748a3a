//! Every transition of every machine, by name, through the table that owns them.

mod bench;
mod client;
mod fault;
mod handshake;
mod login;
mod one_answer;
mod payment;
mod properties;
mod refund;
mod send;
mod subscription;
mod walkin;
