-- Whether who asked for it may give secrets to jobs: what ran in an interpreter reads what its jobs are given.
ALTER TABLE snapshots ADD COLUMN for_secrets BIGINT NOT NULL DEFAULT 0;
