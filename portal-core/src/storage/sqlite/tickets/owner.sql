-- Whose wallet this is, by the wallet's own key: another seed must not use the file.
CREATE TABLE owner (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key TEXT NOT NULL
) STRICT;

-- Its owner named this mint, not a stranger. Whoever kept a token for it has named it.
ALTER TABLE mint ADD COLUMN named INTEGER NOT NULL DEFAULT 0;
UPDATE mint SET named = 1 WHERE token IS NOT NULL;
