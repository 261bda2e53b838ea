CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    -- skip, or one.
    missed TEXT NOT NULL,
    -- What is submitted: JSON, `job::Submission`.
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    -- Null: there is none any more.
    next_at BIGINT,
    -- The last turn, with its job or why there is none.
    last_at BIGINT,
    job TEXT,
    error TEXT
);
CREATE INDEX schedules_of_tenant ON schedules (tenant, id);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

-- Files that will be asked for again.
CREATE TABLE schedule_files (
    schedule TEXT NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (schedule, hash),
    FOREIGN KEY (tenant, hash) REFERENCES files (tenant, hash)
);
CREATE INDEX schedule_files_of_file ON schedule_files (tenant, hash);

-- For so many milliseconds a tenant's finished jobs are kept; null: as long as the service says.
ALTER TABLE tenants ADD COLUMN keep_ms BIGINT;
CREATE INDEX jobs_finished ON jobs (tenant, finished) WHERE finished IS NOT NULL;
