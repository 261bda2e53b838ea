-- What people call a job.
ALTER TABLE jobs ADD COLUMN name TEXT;

-- Starts of jobs that were followed by another. The last one is in the job's own row, so that most jobs have none here.
CREATE TABLE attempts (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    -- Where the job was after it.
    state TEXT NOT NULL,
    started BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    hit_limit TEXT,
    error TEXT,
    exit_code BIGINT,
    cpu_us BIGINT,
    wall_us BIGINT,
    memory BIGINT,
    output BIGINT,
    PRIMARY KEY (job, attempt)
);

-- Who runs jobs, by what it says itself from time to time.
CREATE TABLE workers (
    name TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    slots BIGINT NOT NULL,
    running BIGINT NOT NULL,
    leaving BIGINT NOT NULL,
    started BIGINT NOT NULL,
    seen BIGINT NOT NULL
);

CREATE INDEX usage_by_hour ON usage (hour);
