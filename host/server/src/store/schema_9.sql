-- When a worker first could not read what was submitted, as one of an older version cannot.
ALTER TABLE jobs ADD COLUMN refused BIGINT;
