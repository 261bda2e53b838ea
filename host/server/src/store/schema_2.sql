-- How much processor time a tenant's runs may use in its last hours by the clock, this one included; null: any.
ALTER TABLE tenants ADD COLUMN cpu_us BIGINT;
ALTER TABLE tenants ADD COLUMN cpu_hours BIGINT NOT NULL DEFAULT 24;
