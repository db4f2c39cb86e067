-- Two roles without a login for the schema jwksctl. Run it once, as the owner of the
-- schema and with the right to create roles, after the first start of 'jwksctl serve' with a
-- login that may create the schema. Then give a role to each login:
--
--   CREATE ROLE replica LOGIN PASSWORD '…' IN ROLE jwksctl_signer;

-- A replica that only publishes (auth: off).
CREATE ROLE jwksctl_reader NOLOGIN;
GRANT USAGE ON SCHEMA jwksctl TO jwksctl_reader;
GRANT SELECT ON jwksctl.keyset, jwksctl.schema_version TO jwksctl_reader;

-- A replica that signs and rotates, and the commands that change keys.
CREATE ROLE jwksctl_signer NOLOGIN;
GRANT USAGE ON SCHEMA jwksctl TO jwksctl_signer;
GRANT SELECT ON jwksctl.schema_version TO jwksctl_signer;
GRANT SELECT, INSERT, UPDATE ON jwksctl.keyset TO jwksctl_signer;
GRANT SELECT, INSERT, UPDATE, DELETE ON jwksctl.private_key TO jwksctl_signer;
