-- What an operation has cost of an allowance: given back with the operation, and never otherwise.
CREATE TABLE charge (
    operation TEXT PRIMARY KEY,
    service TEXT NOT NULL,
    mint TEXT NOT NULL,
    unit TEXT NOT NULL,
    amount INTEGER NOT NULL
) STRICT;
