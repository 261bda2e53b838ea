-- Both databases read this: times are milliseconds since 1970 by the database's own clock, flags are 0 or 1.

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    -- How many of its jobs may run, and wait, at once.
    max_running BIGINT NOT NULL,
    max_queued BIGINT NOT NULL,
    -- What one job may do and use up: JSON, `tenant::Rules`.
    rules TEXT NOT NULL
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    -- Of its SHA-256; the token itself is nowhere.
    hash TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    -- Words with a space between.
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT
);
CREATE INDEX tokens_of_tenant ON tokens (tenant, id);

CREATE TABLE jobs (
    -- Grows with time, so that a listing goes by it.
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    state TEXT NOT NULL,
    priority BIGINT NOT NULL,
    created BIGINT NOT NULL,
    -- It does not start before the one and not after the other.
    not_before BIGINT NOT NULL,
    expires BIGINT,
    idempotency_key TEXT,
    -- How often it has started. Who writes of a run names it, so that a run which was given up writes nothing.
    attempt BIGINT NOT NULL DEFAULT 0,
    -- How often it has failed, of which `retries` are allowed, and how often its worker was lost.
    failures BIGINT NOT NULL DEFAULT 0,
    losses BIGINT NOT NULL DEFAULT 0,
    retries BIGINT NOT NULL,
    backoff BIGINT NOT NULL,
    -- While it runs: where, until when that is believed without news, and whether it is to end.
    worker TEXT,
    lease BIGINT,
    cancel BIGINT NOT NULL DEFAULT 0,
    started BIGINT,
    finished BIGINT,
    -- The limit that ended it, what went wrong, and the program's exit code.
    hit_limit TEXT,
    error TEXT,
    exit_code BIGINT,
    cpu_us BIGINT,
    wall_us BIGINT,
    memory BIGINT,
    output BIGINT,
    -- JSON.
    result TEXT
);
-- A repeated submission finds the first one.
CREATE UNIQUE INDEX jobs_idempotency ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_of_tenant ON jobs (tenant, id);
CREATE INDEX jobs_waiting ON jobs (tenant, priority, not_before, id) WHERE state IN ('PENDING', 'RETRY');
CREATE INDEX jobs_expiring ON jobs (expires) WHERE state IN ('PENDING', 'RETRY') AND expires IS NOT NULL;
CREATE INDEX jobs_started ON jobs (tenant) WHERE state = 'STARTED';
CREATE INDEX jobs_leased ON jobs (lease) WHERE state = 'STARTED';

-- What was submitted: JSON, `job::Submission`. Apart from jobs, whose rows are rewritten often.
CREATE TABLE submissions (
    job TEXT PRIMARY KEY REFERENCES jobs (id),
    body TEXT NOT NULL
);

-- The waiting jobs of one tenant and priority.
CREATE TABLE lanes (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    priority BIGINT NOT NULL,
    queued BIGINT NOT NULL,
    -- When its next job may start; null: there is none.
    next_at BIGINT,
    -- When it was last served: the lane with the least is served next.
    turn BIGINT NOT NULL,
    PRIMARY KEY (tenant, priority)
);
CREATE INDEX lanes_in_turn ON lanes (priority DESC, turn) WHERE next_at IS NOT NULL;

-- One row: who gives jobs out holds it, so that turns are exact between processes.
CREATE TABLE dispatch (
    turn BIGINT NOT NULL
);
INSERT INTO dispatch (turn) VALUES (0);

CREATE TABLE logs (
    job TEXT NOT NULL REFERENCES jobs (id),
    attempt BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- stdout or stderr.
    stream TEXT NOT NULL,
    at BIGINT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, attempt, seq)
);

CREATE TABLE usage (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    -- Hours since 1970.
    hour BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    cpu_us BIGINT NOT NULL,
    wall_us BIGINT NOT NULL,
    output BIGINT NOT NULL,
    PRIMARY KEY (tenant, hour)
);
