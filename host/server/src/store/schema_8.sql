-- Interpreters that jobs start from: what ran in each, and where its memory is.
CREATE TABLE snapshots (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    source TEXT NOT NULL,
    -- A JSON list, and what these are: `packages::Packages` wrote it.
    packages TEXT NOT NULL,
    lock TEXT,
    -- That has made it.
    job TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, hash) REFERENCES files (tenant, hash)
);
CREATE INDEX snapshots_of_file ON snapshots (tenant, hash);

-- Of a job's snapshot: what runs before it where the snapshot cannot be used.
ALTER TABLE submissions ADD COLUMN before TEXT;
