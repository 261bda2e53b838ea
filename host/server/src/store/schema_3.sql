CREATE TABLE secrets (
    tenant TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    -- By the service's key, for this tenant and name: `secret::Key`.
    sealed TEXT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);
