-- Tenants' files: each content once.
CREATE TABLE files (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    -- Its SHA-256.
    hash TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    -- Where it is kept: a name that is given once, so that nothing is removed that was put meanwhile.
    place TEXT NOT NULL,
    -- When it was put or asked for by a submission. One that no job has goes some time after that.
    used BIGINT NOT NULL,
    PRIMARY KEY (tenant, hash)
);
CREATE INDEX files_by_use ON files (used);

-- What jobs were given, and what they left.
CREATE TABLE job_files (
    job TEXT NOT NULL REFERENCES jobs (id),
    -- input, bundle, or output.
    role TEXT NOT NULL,
    path TEXT NOT NULL,
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (job, role, path),
    FOREIGN KEY (tenant, hash) REFERENCES files (tenant, hash)
);
CREATE INDEX job_files_of_file ON job_files (tenant, hash);

-- Places that are free, or will be at that time unless a file has them then.
CREATE TABLE leftovers (
    place TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX leftovers_by_time ON leftovers (at);

-- How many bytes of files a tenant may have.
ALTER TABLE tenants ADD COLUMN artifact_bytes BIGINT NOT NULL DEFAULT 1073741824;
