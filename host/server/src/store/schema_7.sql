-- What the packages are that a submission asks for: `packages::Packages` wrote it.
ALTER TABLE submissions ADD COLUMN lock TEXT;
